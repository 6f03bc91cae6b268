"""Several connections at one question: exactly one outcome, whatever the order."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.audit import verify
from accounts.errors import Refused
from accounts.models import AuditEntry
from accounts.roles import Role
from approvals import attention, deadlines, services
from approvals.clock import ClockTimestamp
from approvals.models import Approval, DecisionRecord, Notice
from approvals.policy import Decision
from runs import store
from runs.effects import Close
from runs.models import Inbox
from tests.approvals.builders import EMAIL, a_desk, a_rule, an_approval, approve
from tests.people import a_member, acting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
PAIRS = 200
ROUNDS = 40
MOST_ROUNDS = 600
ZERO, HOUR = timedelta(0), timedelta(hours=1)
# Silence is written some statements after the look that found it due; `test_deadline_moment` has both exactly.
NEAR = {"approved": timedelta(milliseconds=1), "expired": timedelta(milliseconds=10)}


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
    monkeypatch.setattr("runs.live.ring_workspace", lambda workspace_id: None)


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
    """Steers the deadline towards the moment at which the answer lands, until both have won by as little as `NEAR`.

    By the database's clock: how long before the deadline an answer counted, and how long after it silence did.
    """
    desk = a_desk()
    bob = desk.actor("bob")
    margin, step, last = 10.0, 1.0, "expired"
    nearest = {"approved": HOUR, "expired": HOUR}
    for number in range(MOST_ROUNDS):
        approval = an_approval(desk.run)
        Approval.objects.filter(pk=approval.pk).update(expires_at=ClockTimestamp() + timedelta(milliseconds=margin))
        answered, expired = at_once(
            lambda a=approval: services.decide(bob, a.pk, approve(a)), lambda a=approval: _expire_when_due(a)
        )
        row = Approval.objects.get(pk=approval.pk)
        assert (answered, expired, row.state) in (
            ("approved", "left alone", "approved"),
            ("expired", "expired", "expired"),
            ("expired", "left alone", "expired"),  # another worker's look at what is due came first
        )
        [told] = Inbox.objects.filter(key=f"approval:{approval.pk}")
        assert told.fact["decision"] == ("approve" if row.state == "approved" else "expire")
        assert row.decided_at is not None
        assert row.expires_at is not None
        early = row.expires_at - row.decided_at
        assert early > ZERO if row.state == "approved" else early <= ZERO
        nearest[row.state] = min(nearest[row.state], abs(early))
        if number >= ROUNDS and all(nearest[state] <= NEAR[state] for state in NEAR):
            break
        step = min(step * 2, 16) if row.state == last else 0.5
        margin = max(0, margin + (step if row.state == "expired" else -step))
        last = row.state
    assert all(nearest[state] <= NEAR[state] for state in NEAR), nearest


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
            lambda a=approval: withdraw(Close(str(a.run_id), a.request)),
        )
        assert (answered, withdrawn) in (("approved", "0"), ("already_decided", "1"))


def withdraw(row: Close) -> int:
    """As `runs.store` writes it."""
    with connection.cursor() as cursor:
        cursor.execute(store.CLOSE, (row.run_id, row.request))
        return int(cursor.rowcount)


def test_two_at_once_at_the_quorum_of_a_rule_complete_it_once() -> None:
    desk = a_desk()
    a_rule(desk.team.workspace, {"roles": ["manager"]}, least=2)
    mia = acting(a_member(desk.team.workspace, "mia", Role.MANAGER))
    bob, carol = desk.actor("bob"), desk.actor("carol")
    for _ in range(ROUNDS):
        approval = an_approval(desk.run)
        acts = [lambda who=who, a=approval: services.decide(who, a.pk, approve(a)) for who in (bob, carol, mia)]
        assert sorted(at_once(*acts)) == ["approved", "open", "open"]
        assert Inbox.objects.filter(key=f"approval:{approval.pk}").count() == 1


def test_an_escalation_that_meets_a_decision_changes_no_answer_and_comes_once() -> None:
    """The level's time is up in the moment of the decision, and two workers look at once."""
    desk = a_desk()
    a_rule(desk.team.workspace, {"roles": ["manager"], "within": 60}, {"people": ["bob@example.com"]})
    carol, seen = desk.actor("carol"), set()
    for number in range(ROUNDS):
        approval = an_approval(desk.run, roles=["manager"], expires=None)
        assert attention.attend(approval.pk)
        turns = Approval.objects.get(pk=approval.pk).turns
        for turn in turns.values():
            turn["ends"][0] = (timezone.now() + timedelta(milliseconds=number * 4)).isoformat()
        Approval.objects.filter(pk=approval.pk).update(turns=turns, wakes_at=turns[next(iter(turns))]["ends"][0])
        decided, *_ = at_once(
            lambda a=approval: services.decide(carol, a.pk, approve(a)),
            *[lambda a=approval: attention.attend(a.pk)] * 2,
        )
        escalated = Notice.objects.filter(approval=approval, kind="escalated").count()
        assert (decided, Approval.objects.get(pk=approval.pk).state) == ("approved", "approved")
        assert escalated <= 1
        assert AuditEntry.objects.filter(action="approval.escalated", target=str(approval.pk)).count() == escalated
        seen.add(escalated)
    assert seen == {0, 1}
    assert verify(desk.team.workspace) is None
