"""Events from outside that let a run go on."""

from datetime import timedelta
from typing import Any

from runs.engine.facts import EventArrived
from tests.engine.building import NOON
from tests.engine.meeting import Meeting, a_meeting

TOPIC = "orders/17"


def a_step_before_a_wait(keep: str) -> Meeting:
    """Return a run whose Wait begins only after a first step has ended."""
    event = {"name": "paid", "topic": TOPIC, "keep": keep}
    player = a_meeting(
        "start >> pack >> hold; hold:event_paid >> ship >> result", hold={"kind": "wait", "event": event}
    )
    player.begin()
    return player


def asked_for(player: Meeting) -> dict[str, Any]:
    (waiting,) = [event.payload for event in player.events if event.type == "step_waiting"]
    return dict(waiting)


def test_transient_trigger() -> None:
    """An event counts only while somebody waits for it; one that came before is lost."""
    player = a_step_before_a_wait("PT0S")
    player.send(TOPIC, {"sum": 1}, "paid")
    player.finish("pack")
    assert player.state("hold") == "waiting"
    assert asked_for(player)["events"][0]["since"] == NOON.isoformat(), "nothing before this moment is asked for"
    player.send(TOPIC, {"sum": 2}, "paid")
    assert player.row("hold")["output"]["payload"] == {"sum": 2}
    assert list(player.open) == ["ship"]


def test_persistent_trigger() -> None:
    """An event is kept until somebody is there to take it; the Wait looks back, also after a crash, and takes one."""
    player = a_step_before_a_wait("P1D")
    sent = {"id": "1", "name": "paid", "topic": TOPIC, "payload": {"sum": 1}, "by": "eve", "at": NOON.isoformat()}
    player.finish("pack")
    wanted = asked_for(player)
    assert wanted["events"][0]["since"] == (NOON - timedelta(days=1)).isoformat(), "what was kept is asked for"
    player.crash()
    player.tell(EventArrived(wanted["request"], sent))
    assert player.row("hold")["output"]["payload"] == {"sum": 1}
    again = player.tell(EventArrived(wanted["request"], {**sent, "id": "2"}))
    assert not again.starts
    assert list(player.open) == ["ship"]
