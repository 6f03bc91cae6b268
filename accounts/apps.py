from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from allauth.mfa import signals

        from accounts import second_factor, second_line
        from accounts.privileges import WEB, grant

        signals.authenticator_added.connect(second_factor.on_added)
        signals.authenticator_removed.connect(second_factor.on_removed)
        signals.authenticator_used.connect(second_factor.on_used)
        signals.authentication_failed.connect(second_factor.on_failed)
        # every app's migrations have run when the first app's signal is sent
        post_migrate.connect(grant, sender=self, dispatch_uid="accounts.privileges")
        if settings.DATABASE_ROLE == WEB:
            connection_created.connect(second_line.watch, dispatch_uid="accounts.second_line")
