"""What new runs get is read where nobody else changes it: who waits behind a change is held to what came of that."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.access import Actor
from accounts.errors import Refused
from pipelines import drafts, publish, splits, version_pages
from pipelines.models import Draft, Pipeline
from tests.conftest import wait_for
from tests.people import Team, a_team, acting
from tests.pipelines.builders import a_document, a_published_pipeline

pytestmark = pytest.mark.django_db(transaction=True)
HALF, WHY = [(1, 50), (2, 50)], "The fair"


@pytest.fixture
def team() -> Team:
    """A team whose pipeline lets a run spend $1 in version 1, and half of that in version 2, which is published."""
    team = a_team()
    pipeline = a_published_pipeline(acting(team.alice))
    drafted(team, pipeline, "0.50")
    publish.publish(acting(team.alice), pipeline)
    return team


def drafted(team: Team, pipeline: Pipeline, cap: str) -> None:
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(acting(team.alice), pipeline, a_document(budget={"max_cost_usd": cap}), revision)


def brief() -> Pipeline:
    return Pipeline.objects.select_related("workspace", "published").get(slug="brief")


def behind(first: Callable[[], object], second: Callable[[], object]) -> str:
    """Do the first in a transaction that ends once the second waits for it, on a connection of its own.

    Return the code with which the second was refused, "" where it was done.
    """
    codes: list[str] = []

    def run() -> None:
        try:
            second()
            codes.append("")
        except Refused as refused:
            codes.append(refused.code)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        first()
        thread.start()
        wait_for(lambda: not thread.is_alive() or _somebody_waits_for_me(), 20)
    thread.join()
    return codes[0]


def _somebody_waits_for_me() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "select exists (select from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def shared(actor: Actor) -> Any:
    return splits.put(actor, brief(), HALF, WHY)


def test_a_split_waits_for_what_is_published_and_is_held_to_that(team: Team) -> None:
    alice, dana, mine = acting(team.alice), acting(team.dana), brief()
    publish.rollback(dana, mine, 1, WHY)
    code = behind(lambda: publish.rollback(dana, brief(), 2), lambda: splits.put(alice, mine, HALF))
    assert code == "may_not_raise_cap"
    assert brief().split == []


def test_a_split_waits_for_another_and_is_held_to_that(team: Team) -> None:
    alice, mine = acting(team.alice), brief()
    shared(acting(team.dana))
    code = behind(lambda: splits.put(alice, brief(), [(2, 100)]), lambda: splits.put(alice, mine, HALF))
    assert code == "may_not_raise_cap"
    assert brief().split == [{"version": 2, "percent": 100}]


def test_publishing_waits_for_a_split_and_is_held_to_that(team: Team) -> None:
    alice, dana, mine = acting(team.alice), acting(team.dana), brief()
    shared(dana)
    drafted(team, mine, "1.00")
    only = lambda: splits.put(alice, brief(), [(2, 100)])  # noqa: E731
    assert behind(only, lambda: publish.publish(alice, mine)) == "may_not_raise_cap"
    shared(dana)
    assert behind(only, lambda: publish.rollback(alice, mine, 1)) == "may_not_raise_cap"
    assert brief().published == mine.published


def test_the_end_of_a_split_waits_for_another_and_is_held_to_that(team: Team) -> None:
    alice, dana, mine = acting(team.alice), acting(team.dana), brief()
    publish.rollback(dana, mine, 1, WHY)
    splits.put(alice, mine, [(3, 50), (2, 50)])
    code = behind(lambda: splits.put(alice, brief(), [(2, 100)]), lambda: splits.end(alice, mine))
    assert code == "may_not_raise_cap"
    assert brief().split == [{"version": 2, "percent": 100}]


def test_what_keeps_a_share_is_what_was_published_when_its_turn_came(team: Team) -> None:
    alice, dana = acting(team.alice), acting(team.dana)
    publish.rollback(dana, brief(), 1, WHY)
    code = behind(
        lambda: publish.rollback(alice, brief(), 2),
        lambda: version_pages.publish_draft(alice, "brief", {"share": "10"}),
    )
    assert code == ""
    assert brief().split == [{"version": 4, "percent": 90}, {"version": 5, "percent": 10}]


def test_two_who_publish_and_split_at_once_wait_for_each_other_in_one_order(team: Team) -> None:
    alice, mine = acting(team.alice), brief()
    acts = [
        lambda: publish.publish(alice, mine),
        lambda: splits.put(alice, brief(), [(2, 100)]),
        lambda: version_pages.publish_draft(alice, "brief", {"share": "50"}),
        lambda: splits.end(alice, mine),
    ]
    start, failed = threading.Barrier(len(acts)), list[BaseException]()

    def often(act: Callable[[], object]) -> None:
        try:
            start.wait()
            for _ in range(5):
                act()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=often, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert mine.versions.count() == 12
