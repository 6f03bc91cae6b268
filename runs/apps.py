from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs import allowance, cache, circuits, dispatch, limits

        for sweep in (allowance.sweep, limits.sweep, circuits.sweep, cache.sweep):
            dispatch.on_poll(sweep)
