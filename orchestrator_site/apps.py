from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "orchestrator_site"

    def ready(self) -> None:
        # Shared tasks ring this application's broker. Not imported with the package: the supervisor stays small.
        import orchestrator_site.celery  # noqa: F401
