"""A question appears in the commit of the decision that asks, and only there."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from approvals import handlers
from approvals.models import Approval
from pipelines.graph.canonical import digest
from runs import effects, store
from runs.engine.decision import Event
from runs.models import Run
from tests.approvals.builders import EMAIL, a_desk, asked, facts_of
from tests.conftest import database_url

pytestmark = pytest.mark.django_db(transaction=True)


def commit(run: Run, events: list[Event], owner: str = "worker/1") -> bool:
    """Commit a decision with these events as the worker does; return whether its fence held."""
    fresh = Run.objects.get(pk=run.pk)
    values: dict[str, Any] = {column.name: getattr(fresh, column.name, None) for column in store.RUN}
    values |= {"id": str(run.pk), "owner": owner, "revision": fresh.revision + 1, "release": False}
    decided = store.Commit(run=values, rows=effects.rows_for(events, facts_of(run)))

    async def write() -> dict[str, bool]:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            return await store.write(connection, [decided])

    return str(run.pk) in asyncio.run(write())


@pytest.fixture
def run() -> Run:
    run = a_desk().run
    Run.objects.filter(pk=run.pk).update(
        owner="worker/1", lease_until=timezone.now() + timedelta(minutes=1), state="running"
    )
    return run


def test_the_engines_commit_puts_the_question_on_the_desk(run: Run) -> None:
    request = Event("approval_requested", "send", asked(request="send!1", people=["Bob@Example.com"]))
    assert commit(run, [request])
    approval = Approval.objects.get(pk=handlers.id_of(str(run.pk), "send!1"))
    assert (approval.state, approval.payload, approval.payload_hash) == ("open", EMAIL, digest(EMAIL))
    assert (approval.roles, approval.people, approval.barred) == (
        ["reviewer"],
        ["bob@example.com"],
        [run.started_by_id],
    )
    assert (approval.asked, approval.form, approval.trust) == (None, None, {"/args/body": "model"})
    assert digest(approval.payload) == approval.payload_hash


def test_the_same_commit_again_asks_once(run: Run) -> None:
    request = Event("approval_requested", "send", asked(request="send!1"))
    assert commit(run, [request])
    assert commit(run, [request])
    assert Approval.objects.count() == 1


def test_a_former_owners_commit_asks_nothing(run: Run) -> None:
    request = Event("approval_requested", "send", asked(request="send!1"))
    assert not commit(run, [request], owner="zombie/1")
    assert not Approval.objects.exists()


def test_a_withdrawn_question_is_closed_in_the_commit(run: Run) -> None:
    commit(run, [Event("approval_requested", "send", asked(request="send!1"))])
    assert commit(run, [Event("approval_decided", "send", {"request": "send!1", "decision": "cancelled"})])
    approval = Approval.objects.get()
    assert approval.state == "cancelled"
    assert approval.decided_at is not None
