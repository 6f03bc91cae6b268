"""R5: two reviewers decide the same question at the same moment, two hundred times."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from accounts.roles import Role
from approvals import services
from approvals.models import Approval, DecisionRecord
from approvals.policy import Decision
from runs.models import Inbox
from tests.approvals.builders import a_desk, an_approval, approve
from tests.approvals.test_races import at_once
from tests.faults.figures.telling import tell
from tests.people import a_member, acting

PAIRS = 200
LIMITS = {"double_decisions": 0, "undecided": 0}

Act = Callable[[Approval], Any]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(300)]


def test_r5_two_reviewers_never_both_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)  # the inbox row is what is counted
    desk = a_desk()
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    values = raced(
        (an_approval(desk.run) for _ in range(PAIRS)),
        lambda asked: services.decide(bob, asked.pk, approve(asked)),
        lambda asked: services.decide(ben, asked.pk, Decision("reject", asked.payload_hash, reason="No.")),
    )
    tell("R5", values, **LIMITS)


def raced(questions: Iterable[Approval], *answers: Act) -> dict[str, int]:
    """Answer each question in these ways at the same moment; return how many were decided twice, or not at all."""
    pairs = double = none = 0
    for asked in questions:
        at_once(*(partial(answer, asked) for answer in answers))
        decisions = DecisionRecord.objects.filter(approval=asked).count()
        reported = Inbox.objects.filter(key=f"approval:{asked.pk}").count()
        pairs += 1
        double += decisions > 1 or reported > 1
        none += decisions == 0 or reported == 0
    return {"pairs": pairs, "double_decisions": double, "undecided": none}
