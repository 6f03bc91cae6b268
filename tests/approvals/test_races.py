"""Several connections at one question: exactly one outcome, whatever the order."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from accounts.audit import verify
from accounts.errors import Refused
from accounts.roles import Role
from approvals import deadlines, services
from approvals.clock import ClockTimestamp
from approvals.models import Approval, DecisionRecord
from approvals.policy import Decision
from runs.effects import Close
from runs.models import Inbox
from tests.approvals.builders import EMAIL, a_desk, an_approval, approve
from tests.people import a_member, acting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
PAIRS = 200
ROUNDS = 40


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """Run each act on its own connection, released together; return its outcome or the code of its refusal."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> str:
        try:
            connection.ensure_connection()
            gate.wait()
            found = act()
            return found.state if isinstance(found, Approval) else str(found)
        except Refused as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.fixture(autouse=True)
def silent_bells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell costs a broker connection per thread and proves nothing here; the inbox row is the truth."""
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)


def test_two_reviewers_at_the_same_moment_make_one_decision() -> None:
    desk = a_desk()
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    for number in range(PAIRS):
        approval = an_approval(desk.run)
        second = approve(approval) if number % 2 else Decision("reject", approval.payload_hash, reason="No.")
        outcomes = at_once(
            lambda a=approval: services.decide(bob, a.pk, approve(a)),
            lambda a=approval, said=second: services.decide(ben, a.pk, said),
        )
        [code] = [outcome for outcome in outcomes if outcome not in ("approved", "rejected")]
        assert code == "already_decided"
        assert DecisionRecord.objects.filter(approval=approval).count() == 1
        assert Inbox.objects.filter(key=f"approval:{approval.pk}").count() == 1
    assert Inbox.objects.count() == PAIRS
    assert verify(desk.team.workspace) is None


def test_one_reviewer_who_clicks_twice_makes_one_decision() -> None:
    desk = a_desk()
    bob = desk.actor("bob")
    for needed in (1, 2):
        approval = an_approval(desk.run, min_approvals=needed)
        click = [lambda a=approval: services.decide(bob, a.pk, approve(a))] * 4
        assert sorted(at_once(*click)) == ["already_decided"] * 3 + ["approved" if needed == 1 else "open"]
        assert DecisionRecord.objects.filter(approval=approval).count() == 1


def test_a_quorum_of_two_among_four_at_once_counts_two_and_reports_once() -> None:
    desk = a_desk()
    people = [acting(a_member(desk.team.workspace, f"r{n}", Role.REVIEWER)) for n in range(4)]
    for _ in range(max(3, ROUNDS // 10)):
        approval = an_approval(desk.run, min_approvals=2)
        outcomes = at_once(*(lambda who=who, a=approval: services.decide(who, a.pk, approve(a)) for who in people))
        assert sorted(outcomes) == ["already_decided", "already_decided", "approved", "open"]
        assert Inbox.objects.filter(key=f"approval:{approval.pk}").count() == 1


def test_two_who_edit_at_once_approve_one_text() -> None:
    desk = a_desk()
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run, min_approvals=2)
    texts = [{**EMAIL, "args": {**EMAIL["args"], "body": f"From {who}"}} for who in ("bob", "ben")]
    outcomes = at_once(
        lambda: services.decide(bob, approval.pk, approve(approval, payload=texts[0])),
        lambda: services.decide(ben, approval.pk, approve(approval, payload=texts[1])),
    )
    assert sorted(outcomes) == ["open", "payload_changed"]


def test_at_the_due_moment_either_the_answer_or_the_deadline_counts() -> None:
    """Steers the deadline towards the moment at which the answer lands, so that they meet within a millisecond."""
    desk = a_desk()
    bob = desk.actor("bob")
    margin, step, outcomes = 10, 1, ["expired"]
    for _ in range(ROUNDS):
        approval = an_approval(desk.run)
        Approval.objects.filter(pk=approval.pk).update(expires_at=ClockTimestamp() + timedelta(milliseconds=margin))
        answered, expired = at_once(
            lambda a=approval: services.decide(bob, a.pk, approve(a)), lambda a=approval: _expire_when_due(a)
        )
        state = Approval.objects.get(pk=approval.pk).state
        assert (answered, expired, state) in (
            ("approved", "left alone", "approved"),
            ("expired", "expired", "expired"),
        )
        [row] = Inbox.objects.filter(key=f"approval:{approval.pk}")
        assert row.fact["decision"] == ("approve" if state == "approved" else "expire")
        step = min(step * 2, 16) if state == outcomes[-1] else 1
        margin = max(0, margin + (step if state == "expired" else -step))
        outcomes.append(state)
    assert set(outcomes[1:]) == {"approved", "expired"}


def _expire_when_due(approval: Approval) -> str:
    while not deadlines.expire(approval.pk):
        if Approval.objects.get(pk=approval.pk).state != "open":
            return "left alone"
    return "expired"


def test_two_workers_expire_a_question_once() -> None:
    desk = a_desk()
    for _ in range(5):
        approval = an_approval(desk.run, expires=0)
        assert sorted(at_once(*[lambda a=approval: deadlines.expire(a.pk)] * 3)) == ["False", "False", "True"]
        assert Inbox.objects.filter(key=f"approval:{approval.pk}").count() == 1


def test_a_question_withdrawn_while_it_is_answered_ends_one_way() -> None:
    desk = a_desk()
    bob = desk.actor("bob")
    for _ in range(max(5, ROUNDS // 5)):
        approval = an_approval(desk.run)
        answered, withdrawn = at_once(
            lambda a=approval: services.decide(bob, a.pk, approve(a)),
            lambda a=approval: _withdraw(Close(str(a.run_id), a.request)),
        )
        assert (answered, withdrawn) in (("approved", "0"), ("already_decided", "1"))


def _withdraw(row: Close) -> int:
    """As `runs.store` writes it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update approvals_approval set state = 'cancelled', decided_at = now() "
            "where run_id = %s and request = %s and state = 'open'",
            (row.run_id, row.request),
        )
        return int(cursor.rowcount)
