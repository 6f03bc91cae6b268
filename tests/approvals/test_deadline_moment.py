"""One moment before the deadline and one after it, by the database's clock, which stands still for this."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from accounts.errors import Gone
from accounts.models import User
from approvals import deadlines, services
from approvals.models import Approval, DecisionRecord
from runs.models import Inbox
from tests.approvals.builders import a_desk, a_rule, an_approval, approve
from tests.people import acting

pytestmark = pytest.mark.django_db
DUE = datetime(2031, 5, 2, 12, tzinfo=UTC)
MILLISECOND, MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
BEFORE = [-MILLISECOND, -MICROSECOND]
FROM_THEN_ON = [timedelta(0), MICROSECOND, MILLISECOND]
Clock = Callable[[timedelta], None]


@pytest.fixture
def clock(db: None) -> Clock:
    """Return a function that sets the clock by which the desk goes to so much from the deadline."""
    with connection.cursor() as cursor:
        cursor.execute("create schema standing")
        cursor.execute(
            "create function standing.clock_timestamp() returns timestamptz volatile language sql "
            "as $$ select current_setting('standing.now')::timestamptz $$"
        )
        cursor.execute("set local search_path = standing, public, pg_catalog")

    def at(distance: timedelta) -> None:
        with connection.cursor() as cursor:
            cursor.execute("select set_config('standing.now', %s, true)", [(DUE + distance).isoformat()])

    at(-timedelta(minutes=1))
    return at


@pytest.fixture
def asked(clock: Clock) -> Approval:
    approval = an_approval(a_desk().run)
    Approval.objects.filter(pk=approval.pk).update(expires_at=DUE)
    approval.refresh_from_db()
    return approval


def decided(approval: Approval) -> str:
    try:
        return services.decide(acting(User.objects.get(email="bob@example.com")), approval.pk, approve(approval)).state
    except Gone as gone:
        return gone.code


def outcome(approval: Approval) -> tuple[str, list[str], int]:
    """Return the state, what the run was told, and how many answers are recorded."""
    approval.refresh_from_db()
    told = [row.fact["decision"] for row in Inbox.objects.filter(key=f"approval:{approval.pk}")]
    return approval.state, told, DecisionRecord.objects.filter(approval=approval).count()


@pytest.mark.parametrize("distance", BEFORE, ids=str)
@pytest.mark.parametrize("first", ["answer", "deadline"])
def test_before_the_deadline_the_answer_counts_and_silence_does_not(
    asked: Approval, clock: Clock, distance: timedelta, first: str
) -> None:
    clock(distance)
    if first == "deadline":
        assert not deadlines.expire(asked.pk)
    assert decided(asked) == "approved"
    clock(MILLISECOND)
    assert not deadlines.expire(asked.pk)
    assert outcome(asked) == ("approved", ["approve"], 1)
    assert asked.decided_at == DUE + distance


@pytest.mark.parametrize("distance", FROM_THEN_ON, ids=str)
@pytest.mark.parametrize("first", ["answer", "deadline"])
def test_from_the_deadline_on_silence_counts_and_the_answer_is_too_late(
    asked: Approval, clock: Clock, distance: timedelta, first: str
) -> None:
    clock(distance)
    if first == "deadline":
        assert deadlines.expire(asked.pk)
    assert decided(asked) == "expired"
    assert deadlines.expire(asked.pk) == (first == "answer")
    assert outcome(asked) == ("expired", ["expire"], 0)
    assert asked.decided_at == DUE + distance


@pytest.mark.parametrize("held", [False, True], ids=["at once", "with time to take it back"])
def test_an_answer_that_begins_before_the_deadline_and_lands_after_it_is_too_late(
    asked: Approval, clock: Clock, held: bool
) -> None:
    if held:
        a_rule(asked.workspace, {"roles": ["reviewer"]}, hold=600)
        asked = an_approval(asked.run)
        Approval.objects.filter(pk=asked.pk).update(expires_at=DUE)
    clock(-MILLISECOND)
    landed: list[str] = []

    def lands_late(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "approvals_approval" SET "held_until"' if held else "UPDATE") and "CLOCK_TIME" in sql:
            landed.append(sql)
            with connection.cursor() as cursor:
                cursor.execute("select set_config('standing.now', %s, true)", [(DUE + MILLISECOND).isoformat()])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(lands_late):
        assert decided(asked) == "expired"
    assert landed
    clock(MILLISECOND)
    assert deadlines.expire(asked.pk)
    assert outcome(asked) == ("expired", ["expire"], 0)
