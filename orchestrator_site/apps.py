from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "orchestrator_site"

    def ready(self) -> None:
        # Shared tasks ring this application's broker. Not imported with the package: the supervisor stays small.
        import orchestrator_site.celery  # noqa: F401
        from accounts import attempts, recovery_codes, sessions, violations
        from orchestrator_site import head_sending
        from runs import dispatch

        for tidy in (violations.sweep, sessions.sweep):
            dispatch.on_poll(tidy, every=3600)
        for soon in (attempts.tell, recovery_codes.hash_old):
            dispatch.on_poll(soon, every=30)
        dispatch.on_poll(head_sending.keep, every=600)
