from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from approvals import deadlines, handlers
        from runs import dispatch, effects

        effects.on("approval_requested")(handlers.ask)
        effects.on("approval_decided")(handlers.withdraw)
        dispatch.on_poll(deadlines.expire_due)
