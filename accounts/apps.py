from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts.privileges import grant

        # every app's migrations have run when the first app's signal is sent
        post_migrate.connect(grant, sender=self, dispatch_uid="accounts.privileges")
