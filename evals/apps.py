from django.apps import AppConfig


class EvalsConfig(AppConfig):
    name = "evals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from evals import content, gates, progress
        from pipelines import conditions, connection_uses
        from runs import dispatch, removal

        removal.unless(content.NEEDED)
        dispatch.on_poll(progress.advance_all)
        conditions.on_publish(gates.stands_in_the_way)
        connection_uses.on_look(gates.uses_of_models)
