"""Events at a topic start runs: once for each event, whoever sends it how often."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Membership
from accounts.roles import Role
from runs import topics
from runs.engine.trust import TOOL
from runs.models import Firing
from runs.topics import NewEvent
from runs.triggers import definitions, firing
from tests.people import a_member, a_workspace, acting, bearer, signed_in_as
from tests.triggers.builders import a_composer, a_listener, firings, fresh, poll, runs_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db: Any) -> Actor:
    return a_composer()


def test_an_event_starts_every_trigger_at_its_topic_and_no_other(alice: Actor) -> None:
    here, too = a_listener(alice), a_listener(alice, "too", input={})
    elsewhere, off = a_listener(alice, "elsewhere", topic="order"), a_listener(alice, "off", enabled=False)
    zoe = a_composer("zoe", a_workspace("globex"))
    theirs = a_listener(zoe)
    topics.send(alice, NewEvent("orders", {"title": "Order 17"}, "paid"))
    poll()
    assert [len(runs_of(one)) for one in (here, too, elsewhere, off, theirs)] == [1, 1, 0, 0, 0]
    (run,) = runs_of(here)
    assert run.input == {"topic": "Order 17"}
    assert run.origin == {"labels": {"input.topic": TOOL}, "editors": [str(alice.user.pk)]}


def test_an_event_sent_again_under_its_key_starts_nothing_again(alice: Actor) -> None:
    trigger = a_listener(alice)
    for _ in range(3):
        topics.send(alice, NewEvent("orders", {"title": "Order 17"}, key="order-17"))
        poll()
    assert len(runs_of(trigger)) == 1
    topics.send(alice, NewEvent("orders", {"title": "Order 18"}, key="order-18"))
    poll()
    assert len(runs_of(trigger)) == 2
    assert [one.key for one in firings(trigger)] == ["event:sent:order-17", "event:sent:order-18"]


@pytest.mark.django_db(transaction=True)
def test_an_event_over_the_api_starts_its_runs_at_once() -> None:
    alice = a_composer()
    trigger = a_listener(alice)
    body = {"topic": "orders", "payload": {"title": "Order 17"}, "key": "order-17"}
    headers = bearer(alice.user, alice.workspace)
    for _ in range(2):
        answer = signed_in_as(alice.user).post("/api/v1/events", body, "application/json", headers=headers)
        assert answer.status_code == 202
    assert len(runs_of(trigger)) == 1, "no worker has looked yet"
    assert Firing.objects.count() == 1


def test_whoever_sends_an_event_does_not_decide_about_what_it_set_off(alice: Actor) -> None:
    """The run is alice's, but its input is bob's: he may not be the one who says yes to it."""
    trigger = a_listener(alice)
    bob = acting(a_member(alice.workspace, "bob", Role.COMPOSER, Role.REVIEWER), alice.workspace)
    topics.send(bob, NewEvent("orders", {"title": "Pay bob"}))
    poll()
    (run,) = runs_of(trigger)
    assert run.started_by == alice.user
    assert run.origin["editors"] == sorted(map(str, (alice.user.pk, bob.user.pk)))


def test_who_wrote_a_triggers_input_does_not_decide_about_its_runs_once_somebody_else_has_saved_it(
    alice: Actor,
) -> None:
    """bob writes what is to be done, alice changes another word of it: the run is hers, and bob must not say yes."""
    bob = acting(a_member(alice.workspace, "bob", Role.COMPOSER, Role.REVIEWER), alice.workspace)
    trigger = a_listener(bob, input={"topic": "Pay bob ${event.payload.title}"})
    definitions.update(alice, trigger.slug, {"version": 1})
    carol = acting(a_member(alice.workspace, "carol", Role.COMPOSER), alice.workspace)
    topics.send(carol, NewEvent("orders", {"title": "now"}))
    poll()
    (run,) = runs_of(trigger)
    assert run.started_by == alice.user
    assert set(run.origin["editors"]) == {str(one.user.pk) for one in (alice, bob, carol)}


def test_a_trigger_that_is_removed_while_an_event_is_sent_is_passed_over(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = a_listener(alice, "gone"), a_listener(alice, "stays")
    kept = firing.kept

    def after_removal(triggers: Any) -> Any:
        definitions.remove(alice, "gone")
        return kept(triggers)

    monkeypatch.setattr(firing, "kept", after_removal)
    topics.send(alice, NewEvent("orders", {"title": "Order 17"}))
    poll()
    assert (len(runs_of(gone)), len(runs_of(stays))) == (0, 1)


def test_an_event_that_lacks_what_the_input_reads_is_refused_and_the_event_is_sent(alice: Actor) -> None:
    trigger = a_listener(alice)
    sent = topics.send(alice, NewEvent("orders", {"name": "Order 17"}))
    poll()
    assert sent.event.pk
    assert not runs_of(trigger)
    said = fresh(trigger).last_error or {}
    assert said["code"] == "bad_template"
    assert "title" in said["message"]


def test_a_trigger_turned_off_before_its_run_was_started_starts_none(alice: Actor) -> None:
    trigger = a_listener(alice)
    topics.send(alice, NewEvent("orders", {"title": "Order 17"}))
    definitions.update(alice, "paid", {"enabled": False})
    firing.look()
    assert not runs_of(trigger)
    assert [(one.state, (one.error or {}).get("code")) for one in firings(trigger)] == [("refused", "trigger_off")]


def test_who_saves_a_trigger_is_who_its_runs_are_started_by(alice: Actor) -> None:
    trigger = a_listener(alice)
    dana = acting(a_member(alice.workspace, "dana", Role.ADMIN), alice.workspace)
    definitions.update(dana, "paid", {"input": {"topic": "Written by dana"}})
    Membership.objects.filter(user=alice.user).delete()
    topics.send(dana, NewEvent("orders"))
    poll()
    assert [run.started_by for run in runs_of(trigger)] == [dana.user]
