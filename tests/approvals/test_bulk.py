"""Several light questions at one press: each decided by itself, recorded by itself, refused by itself."""

from typing import Any

import pytest

from accounts.audit import verify
from accounts.errors import Forbidden, Invalid
from accounts.models import AuditEntry, Membership
from accounts.roles import Role
from approvals import bulk, services
from approvals.bulk import Item
from approvals.models import Approval, DecisionRecord
from runs.models import Inbox
from tests.approvals.builders import Desk, a_desk, an_approval, approve
from tests.people import a_member, acting

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def a_note(desk: Desk, text: str = "Called.", **changes: Any) -> Approval:
    """Return an open question about a note, which can be undone."""
    return an_approval(
        desk.run,
        **{
            "title": "Add a note",
            "action": {"tool": "notes.append@1", "effect": "reversible"},
            "payload": {"tool": "notes.append@1", "args": {"text": text}},
            **changes,
        },
    )


def item_of(approval: Approval) -> Item:
    return Item(str(approval.pk), approval.payload_hash)


def test_each_of_a_bulk_is_decided_recorded_and_reported_by_itself(desk: Desk) -> None:
    notes = [a_note(desk, f"Note {number}") for number in range(3)]
    outcomes = bulk.decide_each(desk.actor("bob"), [item_of(one) for one in notes], "approve")
    assert [one.done for one in outcomes] == [True] * 3
    records = DecisionRecord.objects.order_by("id")
    assert [one.payload_hash for one in records] == [one.payload_hash for one in notes]
    assert len({one.payload_hash for one in records}) == 3
    assert {one.fact["payload"]["args"]["text"] for one in Inbox.objects.all()} == {"Note 0", "Note 1", "Note 2"}
    assert AuditEntry.objects.filter(action="approval.approved").count() == 3
    assert verify(desk.team.workspace) is None


def test_what_one_item_is_refused_for_stops_none_of_the_others(desk: Desk) -> None:
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    taken, changed, grave, fine = a_note(desk, "1"), a_note(desk, "2"), an_approval(desk.run), a_note(desk, "4")
    theirs = a_note(desk, "5", roles=["manager"])
    services.decide(ben, taken.pk, approve(taken))
    asked = [item_of(taken), Item(str(changed.pk), "sha256:" + "0" * 64), item_of(grave), item_of(theirs)]
    asked += [Item("nothing", "x"), item_of(fine)]
    outcomes = bulk.decide_each(bob, asked, "approve")
    codes = [one.refused.code if one.refused else "" for one in outcomes]
    assert codes == ["already_decided", "payload_changed", "not_for_bulk", "not_a_reviewer", "not_found", ""]
    assert "Ben already approved this" in outcomes[0].refused.message  # type: ignore[union-attr]
    assert set(Approval.objects.filter(state="approved")) == {taken, fine}


def test_a_bulk_rejection_needs_a_reason_and_gives_it_to_each(desk: Desk) -> None:
    notes = [a_note(desk, text) for text in "ab"]
    asked = [item_of(one) for one in notes]
    refused = bulk.decide_each(desk.actor("bob"), asked, "reject", "  ")
    assert [one.refused.code for one in refused if one.refused] == ["reason_required"] * 2
    bulk.decide_each(desk.actor("bob"), asked, "reject", "Not now.")
    assert [one.reason for one in DecisionRecord.objects.all()] == ["Not now."] * 2


def test_the_starter_can_approve_none_of_a_bulk(desk: Desk) -> None:
    Membership.objects.filter(user=desk.actor("alice").user).update(roles=["composer", "reviewer"])
    [outcome] = bulk.decide_each(desk.actor("alice"), [item_of(a_note(desk))], "approve")
    assert outcome.refused
    assert outcome.refused.code == "own_request"


def test_somebody_who_decides_nothing_is_refused_before_any_of_a_bulk_is_tried(desk: Desk) -> None:
    with pytest.raises(Forbidden):
        bulk.decide_each(desk.actor("alice"), [item_of(a_note(desk))], "approve")


def test_a_stranger_learns_nothing_from_a_bulk(desk: Desk) -> None:
    note = a_note(desk)
    [outcome] = bulk.decide_each(desk.actor("charlie"), [item_of(note)], "approve")
    assert (outcome.approval, outcome.refused.code if outcome.refused else "") == (None, "not_found")


@pytest.mark.parametrize(("number", "choice", "code"), [(0, "approve", "bulk_size"), (101, "approve", "bulk_size")])
def test_a_bulk_has_a_size(desk: Desk, number: int, choice: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        bulk.decide_each(desk.actor("bob"), [Item(str(one), "") for one in range(number)], choice)
    assert refused.value.code == code


@pytest.mark.parametrize("choice", ["stop", "answer", "", "Approve"])
def test_only_yes_and_no_are_said_to_several(desk: Desk, choice: str) -> None:
    with pytest.raises(Invalid) as refused:
        bulk.decide_each(desk.actor("bob"), [item_of(a_note(desk))], choice)
    assert refused.value.code == "decision_not_offered"


def test_alike_is_the_same_light_action_of_the_same_step_for_the_same_reason(desk: Desk) -> None:
    one, two = a_note(desk, "a"), a_note(desk, "b")
    Approval.objects.filter(pk=one.pk).update(path="each[3].log")
    Approval.objects.filter(pk=two.pk).update(path="each[14].log")
    one.refresh_from_db()
    two.refresh_from_db()
    assert bulk.kin(one) == bulk.kin(two) is not None
    two.why = "Another rule."
    assert bulk.kin(one) != bulk.kin(two)
    assert bulk.kin(an_approval(desk.run)) is None
    assert bulk.kin(a_note(desk, min_approvals=2)) is None
    assert bulk.kin(a_note(desk, kind="edit")) is None
