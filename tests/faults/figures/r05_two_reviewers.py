"""R5: two reviewers decide the same question at the same moment, two hundred times."""

import pytest

from accounts.roles import Role
from approvals import services
from approvals.models import DecisionRecord
from approvals.policy import Decision
from runs.models import Inbox
from tests.approvals.builders import a_desk, an_approval, approve
from tests.approvals.test_races import at_once
from tests.faults.figures.telling import tell
from tests.people import a_member, acting

PAIRS = 200

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(300)]


def test_r5_two_reviewers_never_both_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)  # the inbox row is what is counted
    desk = a_desk()
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    double = none = 0
    for _ in range(PAIRS):
        approval = an_approval(desk.run)
        no = Decision("reject", approval.payload_hash, reason="No.")
        at_once(
            lambda a=approval: services.decide(bob, a.pk, approve(a)),
            lambda a=approval, no=no: services.decide(ben, a.pk, no),
        )
        decisions = DecisionRecord.objects.filter(approval=approval).count()
        reported = Inbox.objects.filter(key=f"approval:{approval.pk}").count()
        double += decisions > 1 or reported > 1
        none += decisions == 0 or reported == 0
    tell("R5", {"pairs": PAIRS, "double_decisions": double, "undecided": none}, double_decisions=0, undecided=0)
