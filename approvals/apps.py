from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import members
        from approvals import attention, content, deadlines, handlers, joining, services, settling
        from runs import dispatch, effects, removal

        effects.on("approval_requested")(handlers.ask)
        effects.on("approval_decided")(handlers.withdraw)
        removal.also(*content.REMOVE)
        removal.unless(content.IS_OPEN)
        members.on_leave(services.release_all)
        dispatch.on_poll(attention.attend_waking)
        dispatch.on_poll(deadlines.expire_due)
        dispatch.on_poll(settling.release_due)
        dispatch.on_poll(joining.tell)
