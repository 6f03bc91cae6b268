"""Wait: timers that are never early, and the first of several events or times (deferred choice)."""

from datetime import timedelta
from typing import Any

import pytest

from runs.engine.facts import CancelRequested, EventArrived, PauseRequested, ResumeRequested, Tick
from tests.engine.building import NOON
from tests.engine.meeting import Meeting, a_meeting

PAID = {"name": "paid", "topic": "orders/${input.order}"}
CANCELLED = {"name": "cancelled", "topic": "orders/${input.order}"}


def a_wait(**config: Any) -> Meeting:
    """Return a run that waits and then goes on by the way of the port that was taken."""
    ports = [f"event_{event['name']}" for event in _events(config)]
    ports += ["time"] if {"for", "until"} & config.keys() else []
    ports += ["timeout"] if "timeout" in config else []
    drawing = "start >> hold; " + "; ".join(f"hold:{port} >> by_{port} >> result" for port in ports)
    player = a_meeting(drawing, hold={"kind": "wait", **config}, input={"order": 17})
    player.begin()
    return player


def _events(config: dict[str, Any]) -> list[dict[str, Any]]:
    found = config.get("event") or []
    return found if isinstance(found, list) else [found]


def went_by(player: Meeting) -> str:
    (taken,) = [path for path in player.paths_started() if path.startswith("by_")]
    return taken.removeprefix("by_")


def test_a_timer_is_never_early_and_the_run_may_be_parked_meanwhile() -> None:
    player = a_wait(**{"for": "PT10M"})
    assert (player.state("hold"), player.row("hold")["wait_reason"]) == ("waiting", "timer")
    assert player.run.state == "waiting"
    assert player.last.idle
    assert player.last.wake_at == NOON + timedelta(minutes=10)
    player.wait(599.999)
    assert player.state("hold") == "waiting"
    player.wait(0.001)
    assert went_by(player) == "time"


def test_until_takes_a_moment_with_its_zone() -> None:
    player = a_wait(until="2026-11-20T13:30:00+01:00")
    assert player.last.wake_at == NOON + timedelta(minutes=30)
    assert went_by(a_wait(until="2026-11-20T11:59:59Z")) == "time", "what has passed already is over at once"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"until": "tomorrow"}, "bad_time"),
        ({"until": "2026-11-20T13:30:00"}, "bad_time"),
        ({"until": "2037-01-01T00:00:00Z"}, "bad_time"),
        ({"until": "9999-12-31T23:59:59-23:59"}, "bad_time"),
        ({"until": "0001-01-01T00:00:00+23:59"}, "bad_time"),
        ({"event": {"name": "paid", "topic": ""}}, "bad_topic"),
        ({"event": {"name": "paid", "topic": "x" * 201}}, "bad_topic"),
        ({"timeout": "PT1H"}, "empty_wait"),
    ],
)
def test_what_cannot_be_waited_for_fails_by_name(config: dict[str, Any], code: str) -> None:
    assert a_wait(**config).row("hold")["error"]["code"] == code


def test_the_first_of_several_events_and_times_wins_and_the_others_are_gone() -> None:
    ways: dict[str, Any] = {"event": [PAID, CANCELLED], "for": "PT2H", "timeout": "PT1H"}
    player = a_wait(**ways)
    player.send("orders/17", {"by": "card"}, "cancelled")
    assert went_by(player) == "event_cancelled"
    player.send("orders/17", None, "paid")
    player.wait(86_400)
    assert went_by(player) == "event_cancelled"
    assert player.row("hold")["output"]["payload"] == {"by": "card"}
    assert not player.waits
    late = a_wait(**ways)
    late.wait(3_600)
    assert went_by(late) == "timeout"
    assert late.row("hold")["output"] is None
    assert went_by(_ticked(a_wait(**{**ways, "for": "PT1H"}), 3_600)) == "time", "of equal times, time wins"


def _ticked(player: Meeting, seconds: float) -> Meeting:
    player.wait(seconds)
    return player


def test_an_event_counts_by_topic_name_and_match() -> None:
    player = a_wait(event={**PAID, "match": "event.payload.sum >= input.order"})
    for topic, payload, name in (
        ("orders/18", {"sum": 99}, "paid"),
        ("orders/17", {"sum": 99}, "cancelled"),
        ("orders/17", {"sum": 16}, "paid"),
        ("orders/17", {"total": 99}, "paid"),
        ("orders/17", "${input.order}", "paid"),
    ):
        player.send(topic, payload, name)
        assert player.state("hold") == "waiting"
    player.send("orders/17", {"sum": 17})
    assert went_by(player) == "event_paid"


def test_an_event_is_least_trusted_and_never_a_template() -> None:
    send = {"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.hold.output.payload}"}}
    player = a_meeting(
        "start >> hold; hold:event_paid >> send >> result",
        hold={"kind": "wait", "event": PAID},
        send=send,
        input={"order": 17},
    )
    player.begin()
    player.send("orders/17", "${input.order} ${board.secret}")
    (question,) = player.asked()
    assert question["payload"]["args"] == {"body": "${input.order} ${board.secret}"}
    assert question["trust"] == {"/args/body": "tool"}


def test_a_fact_about_another_wait_changes_nothing() -> None:
    player = a_wait(event=PAID)
    event = {"id": "1", "name": "", "topic": "orders/17", "payload": 1, "by": "", "at": NOON.isoformat()}
    for request in ("hold!2", "start!1", "nobody!1", "hold"):
        assert not player.tell(EventArrived(request, event)).events
    player.tell(EventArrived("hold!1", event))
    assert player.state("hold") == "succeeded"
    assert not player.tell(EventArrived("hold!1", event)).events


def test_a_crash_forgets_neither_the_event_nor_the_time_waited_for() -> None:
    player = a_wait(event=PAID, timeout="PT1H")
    player.wait(1_800)
    player.crash()
    assert player.run.state == "waiting"
    assert player.last.wake_at == NOON + timedelta(hours=1)
    other = a_wait(event=PAID, timeout="PT1H")
    other.crash()
    other.send("orders/17")
    assert went_by(other) == "event_paid"
    player.wait(1_800)
    assert went_by(player) == "timeout"


def test_a_cancelled_wait_is_taken_back() -> None:
    player = a_wait(event=PAID)
    player.tell(CancelRequested())
    assert player.run.state == "cancelled"
    assert player.events[-1].type == "run_finished"
    assert [event.payload for event in player.events if event.type == "wait_ended"] == [
        {"request": "hold!1", "event": None}
    ]


def test_a_paused_run_takes_its_event_and_starts_nothing() -> None:
    player = a_wait(event=PAID)
    player.tell(PauseRequested())
    player.send("orders/17")
    assert player.state("hold") == "succeeded"
    assert not player.started
    player.tell(ResumeRequested())
    assert went_by(player) == "event_paid"


def test_what_was_kept_is_asked_for_from_the_moment_the_author_chose() -> None:
    player = a_wait(event=[{**PAID, "keep": "P1D"}, CANCELLED])
    (waiting,) = [event.payload for event in player.events if event.type == "step_waiting"]
    assert [entry["since"] for entry in waiting["events"]] == ["2026-11-19T12:00:00+00:00", "2026-11-20T12:00:00+00:00"]


def test_of_two_events_at_one_topic_each_looks_back_as_far_as_its_own_keep() -> None:
    both = [{**PAID, "keep": "P1D"}, CANCELLED]
    player = a_wait(event=both)
    player.send("orders/17", name="cancelled", ago=3_600)
    player.send("orders/17", name="paid", ago=90_000)
    assert player.state("hold") == "waiting"
    player.send("orders/17", name="paid", ago=3_600)
    assert went_by(player) == "event_paid"

    player = a_wait(event=both[::-1])
    player.send("orders/17", ago=3_600)
    assert went_by(player) == "event_paid", "one without a name counts for whoever looks back to it"

    player = a_wait(event=both)
    player.send("orders/17", name="cancelled")
    assert went_by(player) == "event_cancelled"


def test_items_wait_each_for_its_own_event() -> None:
    inner = {"nodes": {"hold": {"kind": "wait", "event": {"name": "in", "topic": "docs/${item}"}}}, "edges": []}
    player = a_meeting("start >> each >> result", each={"kind": "each", "over": ["a", "b"], "graph": inner})
    player.begin()
    player.send("docs/b", 2)
    player.crash()
    player.send("docs/a", 1)
    assert player.run.state == "succeeded"
    assert [item["payload"] for item in player.row("each")["output"]] == [1, 2]


def test_nothing_is_logged_for_looking_at_the_clock_while_waiting() -> None:
    player = a_wait(event=PAID, timeout="PT1H")
    assert not player.tell(Tick()).events
