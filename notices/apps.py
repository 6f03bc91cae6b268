from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "notices"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import safe
        from approvals import telling
        from notices import alerts, channels, content, digest, handlers, sending, spreading
        from runs import dispatch, effects, removal

        effects.on("approval_requested")(handlers.asked)
        effects.on("budget_alert")(handlers.alerted)
        removal.also(*content.REMOVE)
        telling.on_act(handlers.acted)
        dispatch.on_poll(alerts.look)
        dispatch.on_poll(spreading.spread)
        dispatch.on_poll(digest.write_due)
        dispatch.on_poll(sending.wake)
        safe.on_look(channels.uses_of_secrets)
