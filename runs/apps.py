from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import idempotency, safe
        from pipelines import connection_uses
        from pipelines.library import price_changes
        from runs import (
            allowance,
            boards,
            cache,
            circuits,
            dispatch,
            effects,
            limits,
            locks,
            months,
            removal,
            talks,
            topics,
        )
        from runs.execution.otlp import sending
        from runs.spending import booking, retention
        from runs.triggers import firing, lines, schedules

        for tidy in (limits, circuits, cache, topics, talks, schedules, retention, removal):
            dispatch.on_poll(tidy.sweep, every=60)
        for seldom in (months, idempotency):
            dispatch.on_poll(seldom.sweep, every=3600)
        for keep in (allowance.sweep, booking.book, price_changes.apply_due):
            dispatch.on_poll(keep)
        for look in (topics.look, locks.look, schedules.look, firing.look):
            dispatch.on_poll(look)
        dispatch.on_poll(sending.wake)
        topics.on_sent(firing.heard)
        for handler in (topics.waits_for, locks.ask):
            effects.on("step_waiting")(handler)
        effects.on("wait_ended")(topics.ended)
        effects.on("event_sent")(topics.published)
        effects.on("lock_released")(locks.give_back)
        effects.on("board_changed")(boards.changed)
        effects.on("budget_raised")(allowance.more_for)
        safe.on_look(lines.uses_of_secrets)
        connection_uses.on_pins(lines.pins)
