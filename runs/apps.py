from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs import allowance, boards, cache, circuits, dispatch, effects, limits, locks, talks, topics

        for sweep in (allowance.sweep, limits.sweep, circuits.sweep, cache.sweep, topics.sweep, talks.sweep):
            dispatch.on_poll(sweep)
        for look in (topics.look, locks.look):
            dispatch.on_poll(look)
        for handler in (topics.waits_for, locks.ask):
            effects.on("step_waiting")(handler)
        effects.on("wait_ended")(topics.ended)
        effects.on("event_sent")(topics.published)
        effects.on("lock_released")(locks.give_back)
        effects.on("board_changed")(boards.changed)
        effects.on("budget_raised")(allowance.more_for)
