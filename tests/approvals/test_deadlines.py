"""What happens to questions that nobody answered in time."""

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from approvals import deadlines
from approvals.models import Approval
from runs.models import Inbox
from tests.approvals.builders import a_desk, a_question, an_approval, fall_due

pytestmark = pytest.mark.django_db


def test_a_due_question_expires_and_its_run_is_told() -> None:
    desk = a_desk()
    approval = an_approval(desk.run, on_expire="default")
    fall_due(approval)
    deadlines.expire_due()
    fresh = Approval.objects.get(pk=approval.pk)
    assert fresh.state == "expired"
    assert fresh.decided_at is not None
    [row] = Inbox.objects.filter(run=desk.run)
    assert (row.key, row.fact["decision"], row.fact["request"]) == (
        f"approval:{approval.pk}",
        "expire",
        approval.request,
    )
    entry = AuditEntry.objects.get(action="approval.expired")
    assert (entry.actor, entry.data["then"]) == ("policy", "default")


def test_what_is_not_due_or_has_no_deadline_or_is_decided_stays() -> None:
    desk = a_desk()
    later, open_ended = an_approval(desk.run, expires=60), a_question(desk.run, "answer", expires=None)
    closed = an_approval(desk.run)
    Approval.objects.filter(pk=closed.pk).update(
        state="cancelled", decided_at=closed.created_at, expires_at=closed.created_at - timedelta(days=1)
    )
    deadlines.expire_due()
    assert [Approval.objects.get(pk=a.pk).state for a in (later, open_ended, closed)] == ["open", "open", "cancelled"]
    assert not Inbox.objects.exists()


def test_expiring_again_changes_nothing() -> None:
    desk = a_desk()
    approval = an_approval(desk.run)
    fall_due(approval)
    assert deadlines.expire(approval.pk) is True
    assert deadlines.expire(approval.pk) is False
    deadlines.expire_due()
    assert Inbox.objects.count() == 1


@pytest.mark.parametrize("kind", ["approve", "edit", "answer", "failure", "budget", "outcome_unknown"])
def test_every_kind_of_question_can_expire(kind: str) -> None:
    desk = a_desk()
    approval = a_question(desk.run, kind)
    fall_due(approval)
    deadlines.expire_due()
    assert Approval.objects.get(pk=approval.pk).state == "expired"
