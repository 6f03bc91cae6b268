"""An event and a wait find each other however they cross, once, and only within their workspace."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.access import Actor
from accounts.errors import Conflict, Forbidden, Invalid
from accounts.roles import Role
from runs import effects, topics
from runs.effects import RunFacts
from runs.engine.decision import Event
from runs.models import EventWait, Inbox, Run, SentEvent, TakenEvent
from runs.topics import NewEvent
from tests.people import a_member, acting
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    return a_run(state="waiting")


@pytest.fixture
def alice(run: Run) -> Actor:
    return acting(a_member(run.workspace, "alice", Role.COMPOSER))


def wait_at(run: Run, topic: str = "orders/17", request: str = "hold!1", ago: float = 0.0) -> EventWait:
    since = timezone.now() - timedelta(seconds=ago)
    return EventWait.objects.create(workspace=run.workspace, run=run, request=request, topic=topic, since=since)


def facts(run: Run) -> list[dict[str, Any]]:
    return list(Inbox.objects.filter(run=run).order_by("id").values_list("fact", flat=True))


def test_an_event_reaches_every_step_that_waits_at_its_topic(run: Run, alice: Actor) -> None:
    other = a_run(run.workspace, state="waiting")
    for waiting in (run, other):
        wait_at(waiting)
    wait_at(run, "orders/18", "hold!2")
    sent = topics.send(alice, NewEvent("orders/17", {"paid": True}, "paid"))
    assert sent.waits == 2
    (fact,) = facts(run)
    assert (fact["fact"], fact["request"]) == ("event_arrived", "hold!1")
    assert {name: fact["event"][name] for name in ("topic", "name", "payload", "by")} == {
        "topic": "orders/17",
        "name": "paid",
        "payload": {"paid": True},
        "by": "alice@example.com",
    }
    assert len(facts(other)) == 1


def test_another_workspace_hears_nothing(run: Run, alice: Actor) -> None:
    from tests.people import a_workspace

    elsewhere = a_run(a_workspace("globex"), state="waiting")
    wait_at(elsewhere)
    assert topics.send(alice, NewEvent("orders/17")).waits == 0
    topics.look()
    assert facts(elsewhere) == []


def test_the_same_key_is_the_same_event_and_another_one_under_it_is_refused(run: Run, alice: Actor) -> None:
    wait_at(run)
    first = topics.send(alice, NewEvent("orders/17", {"n": 1}, key="evt_1"))
    again = topics.send(alice, NewEvent("orders/17", {"n": 1}, key="evt_1"))
    assert (again.event.pk, again.waits) == (first.event.pk, 0)
    assert len(facts(run)) == 1
    with pytest.raises(Conflict) as refused:
        topics.send(alice, NewEvent("orders/17", {"n": 2}, key="evt_1"))
    assert refused.value.code == "idempotency_conflict"


def test_an_event_sent_before_is_lost_unless_the_wait_looks_back(run: Run, alice: Actor) -> None:
    topics.send(alice, NewEvent("orders/17", "early"))
    SentEvent.objects.update(at=timezone.now() - timedelta(minutes=5))
    wait_at(run)
    topics.look()
    assert facts(run) == [], "transient: nobody waited"
    wait_at(run, request="hold!2", ago=600)
    topics.look()
    assert [fact["request"] for fact in facts(run)] == ["hold!2"], "persistent: it was kept"
    topics.look()
    assert len(facts(run)) == 1


def test_an_event_and_a_wait_that_cross_find_each_other(run: Run, alice: Actor) -> None:
    """Neither transaction has seen the other's row: the look after either commit brings them together, once."""
    for looked in ("wait", "event"):
        Inbox.objects.all().delete()
        EventWait.objects.all().delete()
        wait = wait_at(run, ago=5)
        event = SentEvent.objects.create(
            workspace=run.workspace, key=looked, topic="orders/17", by="eve", at=timezone.now(), payload=1
        )
        if looked == "wait":  # the event was looked at before the wait was there
            SentEvent.objects.filter(pk=event.pk).update(looked_at=timezone.now())
        else:
            EventWait.objects.filter(pk=wait.pk).update(looked_at=timezone.now())
        topics.look()
        topics.look()
        assert [fact["event"]["id"] for fact in facts(run)] == [str(event.pk)]


def test_what_a_run_has_taken_it_is_not_given_again(run: Run, alice: Actor) -> None:
    first, second = (topics.send(alice, NewEvent("orders/17", n)).event for n in (1, 2))
    TakenEvent.objects.create(run=run, event=first)
    wait_at(run, ago=60)
    topics.look()
    assert [fact["event"]["id"] for fact in facts(run)] == [str(second.pk)]


def test_many_kept_events_come_in_their_order(run: Run, alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "BATCH", 2)
    for n in range(5):
        topics.send(alice, NewEvent("orders/17", n))
    wait_at(run, ago=60)
    topics.look()
    assert [fact["event"]["payload"] for fact in facts(run)] == [0, 1, 2, 3, 4]


def test_a_wait_is_written_with_the_decision_and_removed_with_its_end() -> None:
    known = RunFacts("r", "w", "p", "v", None, (), timezone.now())
    entries = [
        {"name": "a", "topic": "t", "since": "2026-11-20T12:00:00+00:00"},
        {"name": "b", "topic": "t", "since": "2026-11-19T12:00:00+00:00"},
        {"name": "c", "topic": "u", "since": "2026-11-20T12:00:00+00:00"},
    ]
    opened = Event("step_waiting", "hold", {"reason": "event", "request": "hold!1", "events": entries})
    rows = effects.rows_for([opened], known)
    assert [(row.row["topic"], row.row["since"][:10]) for row in rows] == [("t", "2026-11-19"), ("u", "2026-11-20")]  # type: ignore[union-attr]
    ended = Event("wait_ended", "hold", {"request": "hold!1", "event": "7"})
    removed, taken = effects.rows_for([ended], known)
    assert removed.where == {"run_id": "r", "request": "hold!1"}  # type: ignore[union-attr]
    assert taken.row == {"run_id": "r", "event_id": 7}  # type: ignore[union-attr]
    approval = Event("step_waiting", "send", {"reason": "approval", "request": "send!1"})
    assert effects.rows_for([approval], known) == []


def test_a_rehearsal_is_heard_by_nobody() -> None:
    told = Event("event_sent", "tell", {"request": "tell!1", "topic": "t", "payload": 1})
    known = RunFacts("r", "w", "p", "v", None, (), timezone.now())
    (row,) = effects.rows_for([told], known)
    assert row.row["key"] == "run:r:tell!1"  # type: ignore[union-attr]
    assert effects.rows_for([told], replace(known, rehearsal=True)) == []


def test_old_events_and_waits_of_ended_runs_are_forgotten(run: Run, alice: Actor) -> None:
    topics.send(alice, NewEvent("orders/17"))
    wait_at(run)
    topics.sweep()
    assert SentEvent.objects.exists()
    assert EventWait.objects.exists()
    SentEvent.objects.update(at=timezone.now() - topics.KEPT - timedelta(seconds=1))
    Run.objects.update(state="failed")
    topics.sweep()
    assert not SentEvent.objects.exists()
    assert not EventWait.objects.exists()


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (NewEvent(""), "bad_topic"),
        (NewEvent("x" * 201), "bad_topic"),
        (NewEvent("t", name="x" * 64), "bad_topic"),
        (NewEvent("t", key="x" * 201), "bad_topic"),
        (NewEvent("t\0"), "not_storable"),
        (NewEvent("t", {"a": "\ud800"}), "not_storable"),
        (NewEvent("t", "x" * topics.MAX_BYTES), "payload_too_large"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(alice: Actor, new: NewEvent, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        topics.send(alice, new)
    assert refused.value.code == code
    assert not SentEvent.objects.exists()


def test_who_may_not_start_runs_may_not_steer_them(run: Run) -> None:
    viewer = acting(a_member(run.workspace, "victor", Role.VIEWER))
    with pytest.raises(Forbidden):
        topics.send(viewer, NewEvent("orders/17"))
