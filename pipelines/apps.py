from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "pipelines"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import safe
        from pipelines import connection_uses

        safe.on_look(connection_uses.of_secrets)
