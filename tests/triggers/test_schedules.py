"""Schedules: once for what is due, by the database's clock, whoever looks and whatever dies meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models.functions import Now

from accounts.access import Actor
from accounts.clock import database_now
from accounts.models import Membership
from runs.models import Firing, Run, Trigger
from runs.triggers import definitions, firing, schedules
from tests.triggers.builders import a_composer, a_schedule, firings, fresh, make_due, poll, runs_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db: Any) -> Actor:
    return a_composer()


def test_a_due_schedule_starts_one_run_and_waits_for_the_next_time(alice: Actor) -> None:
    trigger = a_schedule(alice)
    due = fresh(trigger).next_at
    assert due is not None
    poll()
    assert not runs_of(trigger), "never early"
    make_due(trigger)
    poll()
    poll()
    (run,) = runs_of(trigger)
    assert (run.started_by, run.version.number, run.via) == (alice.user, 1, "trigger:daily")
    assert run.input["topic"].startswith("News of 20")
    seen = fresh(trigger)
    assert (seen.next_at, seen.last_run, seen.last_error) == (due, run, None)
    assert seen.last_fired_at is not None


def test_after_an_outage_it_starts_once_for_the_first_time_that_was_missed(alice: Actor) -> None:
    trigger = a_schedule(alice, cron="* * * * *", input={"topic": "${event.due}"})
    make_due(trigger, timedelta(days=3))
    missed = fresh(trigger).next_at
    began = database_now()
    poll()
    coming = fresh(trigger).next_at
    assert coming is not None
    assert began < coming <= database_now() + timedelta(minutes=1)
    make_due(trigger, -timedelta(hours=1))  # no minute ends before it looks again
    poll()
    (run,) = runs_of(trigger)
    assert missed is not None
    assert run.input == {"topic": missed.isoformat(timespec="seconds").replace("+00:00", "Z")}


def test_a_schedule_that_is_off_does_not_go_off_and_begins_anew_when_it_is_on(alice: Actor) -> None:
    trigger = a_schedule(alice)
    make_due(trigger)
    definitions.update(alice, "daily", {"enabled": False})
    assert fresh(trigger).next_at is None
    poll()
    definitions.update(alice, "daily", {"enabled": True})
    poll()
    assert not runs_of(trigger), "what was due while it was off is not made up for"
    assert Trigger.objects.filter(pk=trigger.pk, next_at__gt=Now()).exists()


def test_changing_something_else_does_not_lose_what_is_due(alice: Actor) -> None:
    trigger = a_schedule(alice)
    make_due(trigger)
    definitions.update(alice, "daily", {"input": {"topic": "Another"}})
    poll()
    assert [run.input for run in runs_of(trigger)] == [{"topic": "Another"}]


def test_a_starter_who_lost_their_role_starts_nothing_and_the_trigger_says_so(alice: Actor) -> None:
    trigger = a_schedule(alice)
    Membership.objects.filter(user=alice.user).update(roles=["viewer"])
    make_due(trigger)
    poll()
    assert not runs_of(trigger)
    said = fresh(trigger).last_error
    assert said is not None
    assert said["code"] == "forbidden"
    assert "start runs" in said["message"]
    assert [(one.state, one.error) for one in firings(trigger)] == [("refused", said)]
    Membership.objects.filter(user=alice.user).delete()
    make_due(trigger)
    poll()
    assert (fresh(trigger).last_error or {})["code"] == "starter_gone"
    Membership.objects.create(user=alice.user, workspace=alice.workspace, roles=["composer"])
    make_due(trigger)
    poll()
    assert (len(runs_of(trigger)), fresh(trigger).last_error) == (1, None)


def test_a_deleted_starter_starts_nothing(alice: Actor) -> None:
    trigger = a_schedule(alice)
    Trigger.objects.filter(pk=trigger.pk).update(runs_as=None)
    make_due(trigger)
    poll()
    assert (fresh(trigger).last_error or {})["code"] == "starter_gone"
    assert not Run.objects.exists()


def test_a_pipeline_without_a_version_and_an_archived_one_start_nothing(alice: Actor) -> None:
    trigger = a_schedule(alice)
    pipeline = trigger.pipeline
    published, pipeline.published = pipeline.published, None
    pipeline.save()
    make_due(trigger)
    poll()
    assert (fresh(trigger).last_error or {})["code"] == "not_published"
    pipeline.published = published
    pipeline.archived_at = pipeline.created_at
    pipeline.save()
    make_due(trigger)
    poll()
    assert (fresh(trigger).last_error or {})["code"] == "archived"
    assert not Run.objects.exists()


def test_a_pinned_version_is_the_one_that_runs(alice: Actor) -> None:
    from pipelines import publish

    trigger = a_schedule(alice, version=1)
    publish.publish(alice, trigger.pipeline, "again")
    make_due(trigger)
    poll()
    assert [run.version.number for run in runs_of(trigger)] == [1]


def test_a_schedule_whose_zone_is_forgotten_says_so_and_stops_nobody(alice: Actor) -> None:
    broken, whole = a_schedule(alice, "broken"), a_schedule(alice, "whole")
    Trigger.objects.filter(pk=broken.pk).update(zone="Europe/Atlantis")
    make_due(broken, timedelta(minutes=9))
    make_due(whole)
    poll()
    assert len(runs_of(whole)) == 1
    assert (fresh(broken).last_error or {})["code"] == "bad_cron"
    assert fresh(broken).next_at is None


def test_old_firings_go_and_those_that_are_due_stay(alice: Actor) -> None:
    trigger = a_schedule(alice)
    for state in ("due", "started"):
        Firing.objects.create(trigger=trigger, key=state, state=state, at=Now() - timedelta(days=91))
    Firing.objects.create(trigger=trigger, key="new", state="started", at=Now())
    schedules.sweep()
    assert [one.key for one in firings(trigger)] == ["due", "new"]


# Several at once, and dying in the middle


def _in_threads(work: Any, times: int) -> None:
    def done(_: int) -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        list(pool.map(done, range(times)))


@pytest.mark.django_db(transaction=True)
def test_many_workers_that_look_at_once_start_one_run_for_each_due_moment() -> None:
    alice = a_composer()
    triggers = [a_schedule(alice, f"daily-{number}") for number in range(5)]
    for trigger in triggers:
        make_due(trigger)
    _in_threads(poll, 6)
    poll()
    assert [len(runs_of(trigger)) for trigger in triggers] == [1] * 5
    assert [len(firings(trigger)) for trigger in triggers] == [1] * 5


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_between_claim_and_start_loses_nothing_and_nothing_starts_twice(monkeypatch: Any) -> None:
    alice = a_composer()
    trigger = a_schedule(alice)
    make_due(trigger)
    schedules.look()  # claimed: the schedule waits for its next time already
    assert Trigger.objects.filter(pk=trigger.pk, next_at__gt=Now()).exists()
    assert [one.state for one in firings(trigger)] == ["due"]

    started = firing._started

    def dies(*args: Any) -> Run:
        run = started(*args)
        with connection.cursor() as cursor:  # as a killed process does, its connection is cut in the middle
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")
        return run

    monkeypatch.setattr(firing, "_started", dies)
    with pytest.raises(Exception, match=r"terminating|closed"):
        firing.look()
    connection.close()
    monkeypatch.undo()
    assert not runs_of(trigger)
    assert [one.state for one in firings(trigger)] == ["due"]
    _in_threads(poll, 4)
    assert len(runs_of(trigger)) == 1
    assert [(one.state, one.event) for one in firings(trigger)] == [("started", None)]


@pytest.mark.django_db(transaction=True)
def test_a_firing_that_cannot_be_carried_out_does_not_keep_the_others(monkeypatch: Any) -> None:
    alice = a_composer()
    bad, good = a_schedule(alice, "bad"), a_schedule(alice, "good")
    make_due(bad, timedelta(minutes=2))
    make_due(good)
    started = firing._started
    monkeypatch.setattr(
        firing, "_started", lambda trigger, one: 1 / 0 if trigger.slug == "bad" else started(trigger, one)
    )
    poll()
    poll()
    assert (len(runs_of(bad)), len(runs_of(good))) == (0, 1)
    assert (fresh(bad).last_error or {})["code"] == "internal"
