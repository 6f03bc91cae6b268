"""Asking a colleague for information beside a question, and what differs from the last one like it."""

import pytest

from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import Membership
from accounts.roles import Role
from approvals import inbox, precedents, services
from approvals.models import Approval, Comment
from approvals.policy import Decision
from notices.models import Notice
from tests.approvals.builders import EMAIL, Desk, a_desk, a_run, an_approval, approve
from tests.notices.builders import named, spread
from tests.people import a_member, acting

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def test_the_starter_is_asked_told_and_answers_by_a_comment(desk: Desk) -> None:
    approval = an_approval(desk.run)
    bob, alice = desk.actor("bob"), desk.actor("alice")
    written = services.ask(bob, approval.pk, "Is Ana still there?")
    assert (written.asked_of, written.answered_at) == (desk.team.alice, None)
    assert [one.pk for one in inbox.asked_of(alice)] == [approval.pk]
    assert inbox.mine(bob).get().waits_for_information
    spread()
    assert named("information") == ["alice"]
    assert "Is Ana still there?" in Notice.objects.get(kind="information").data["said"]
    services.comment(alice, approval.pk, "Yes, since May.")
    written.refresh_from_db()
    assert written.answered_at is not None
    assert not inbox.asked_of(alice).exists()
    assert not inbox.mine(bob).get().waits_for_information
    spread()
    assert "bob" in named("comment")


def test_another_ones_comment_answers_nothing(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.ask(desk.actor("bob"), approval.pk, "Is Ana still there?", "carol@example.com")
    services.comment(desk.actor("alice"), approval.pk, "I do not know.")
    assert Comment.objects.get(asked_of=desk.team.carol).answered_at is None


def test_who_is_told_late_hears_nothing_of_what_is_closed(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.ask(desk.actor("bob"), approval.pk, "Is Ana still there?")
    services.decide(desk.actor("bob"), approval.pk, Decision("reject", approval.payload_hash, reason="No."))
    spread()
    assert named("information") == []
    with pytest.raises(Conflict):
        services.ask(desk.actor("bob"), approval.pk, "Too late?")


@pytest.mark.parametrize("whom", ["bob@example.com", "charlie@example.com", "nobody@example.com"])
def test_oneself_and_strangers_cannot_be_asked(desk: Desk, whom: str) -> None:
    approval = an_approval(desk.run)
    with pytest.raises(Invalid) as refused:
        services.ask(desk.actor("bob"), approval.pk, "Who?", whom)
    assert (refused.value.code, refused.value.where) == ("cannot_be_asked", "/user")
    assert not Comment.objects.exists()


def test_only_who_may_answer_asks(desk: Desk) -> None:
    approval = an_approval(desk.run)
    with pytest.raises(Forbidden):
        services.ask(desk.actor("alice"), approval.pk, "Please approve it.", "bob@example.com")


def approved(desk: Desk, **args: object) -> Approval:
    run = a_run(desk.team.workspace, desk.team.alice)
    run.pipeline = desk.run.pipeline
    approval = an_approval(run, payload={**EMAIL, "args": {**EMAIL["args"], **args}})
    Approval.objects.filter(pk=approval.pk).update(pipeline=desk.run.pipeline)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    return approval


def test_the_last_approved_call_of_the_same_step_is_what_it_is_compared_with(desk: Desk) -> None:
    approved(desk, body="The first.")
    last = approved(desk, to="bo@northwind.example", cc="ceo@northwind.example")
    now = an_approval(desk.run)
    found = precedents.precedent(desk.actor("bob"), now)
    assert found is not None
    assert found.approval.pk == last.pk
    assert [(one.name, one.before, one.after, one.is_gone) for one in found.changes] == [
        ("to", "bo@northwind.example", "ana@northwind.example", False),
        ("cc", "ceo@northwind.example", None, True),
    ]


def test_what_was_rejected_is_of_another_step_or_another_workspace_is_no_precedent(desk: Desk) -> None:
    bob = desk.actor("bob")
    rejected = an_approval(desk.run)
    services.decide(bob, rejected.pk, Decision("reject", rejected.payload_hash, reason="No."))
    other = an_approval(desk.run)
    Approval.objects.filter(pk=other.pk).update(path="another")
    services.decide(bob, other.pk, approve(other))
    assert precedents.precedent(bob, an_approval(desk.run)) is None


def test_items_rounds_and_attempts_of_a_step_are_the_same_step() -> None:
    assert precedents.steps("each[3].send") == precedents.steps("each[11].send") == "each.send"
    assert precedents.steps("loop#2.send@1") == "loop.send"


def test_an_edit_is_told_apart_from_what_was_asked(desk: Desk) -> None:
    approval = an_approval(desk.run)
    edited = {**EMAIL, "args": {**EMAIL["args"], "subject": "Good day"}}
    services.decide(desk.actor("bob"), approval.pk, approve(approval, payload=edited))
    approval.refresh_from_db()
    [change] = precedents.edits(approval)
    assert (change.name, change.before, change.after) == ("subject", "Hello", "Good day")
    assert [piece.mark for piece in change.pieces] == ["del", "ins"]
    assert precedents.edits(an_approval(desk.run)) == []


def test_a_stranger_sees_no_precedent(desk: Desk) -> None:
    approved(desk)
    assert precedents.precedent(acting(desk.team.charlie), an_approval(desk.run)) is None


def test_who_is_asked_may_answer_whatever_their_role(desk: Desk) -> None:
    approval = an_approval(desk.run)
    vera = acting(a_member(desk.team.workspace, "vera", Role.VIEWER))
    with pytest.raises(Forbidden):
        services.comment(vera, approval.pk, "Nobody asked me.")
    services.ask(desk.actor("bob"), approval.pk, "Who is Ana?", "vera@example.com")
    services.comment(vera, approval.pk, "Our buyer.")
    assert Comment.objects.get(asked_of=vera.user).answered_at is not None
    with pytest.raises(Forbidden):
        services.comment(vera, approval.pk, "And another thing.")


def test_a_starter_who_left_is_not_asked(desk: Desk) -> None:
    approval = an_approval(desk.run)
    Membership.objects.filter(user=desk.team.alice).delete()
    with pytest.raises(Invalid) as refused:
        services.ask(desk.actor("bob"), approval.pk, "Is Ana still there?")
    assert refused.value.code == "cannot_be_asked"
