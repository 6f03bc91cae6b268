"""The one door into an approval."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import members
from accounts.access import Actor
from accounts.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Refused
from accounts.ids import new_id
from accounts.models import AuditEntry, Membership
from accounts.roles import Role, Scope
from approvals import services
from approvals.models import Approval, Comment, DecisionRecord
from approvals.policy import CHOICES, Decision
from pipelines import sharing
from pipelines.graph.canonical import digest
from pipelines.sharing import Lists
from runs.models import Inbox
from tests.approvals.builders import (
    EMAIL,
    Desk,
    a_desk,
    a_question,
    a_run,
    an_approval,
    approve,
    fall_due,
)
from tests.people import a_member, acting

pytestmark = pytest.mark.django_db
EDITED = {**EMAIL, "args": {**EMAIL["args"], "body": "Better words."}}


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def facts_of(approval: Approval) -> list[dict[str, Any]]:
    return [row.fact for row in Inbox.objects.filter(run=approval.run_id, key=f"approval:{approval.pk}")]


def refusal(error: type[Refused], code: str, act: Callable[[], Any]) -> Refused:
    with pytest.raises(error) as caught:
        act()
    assert caught.value.code == code
    return caught.value


def assert_untouched(approval: Approval) -> None:
    fresh = Approval.objects.get(pk=approval.pk)
    assert (fresh.state, fresh.payload, fresh.payload_hash) == ("open", approval.payload, approval.payload_hash)
    assert not fresh.decisions.exists()
    assert facts_of(approval) == []
    assert not AuditEntry.objects.filter(target=str(approval.pk)).exists()


def test_an_approval_reaches_the_run_with_the_payload_that_was_seen(desk: Desk) -> None:
    approval = an_approval(desk.run)
    decided = services.decide(desk.actor("bob"), approval.pk, approve(approval, reason=" fine "))
    assert (decided.state, decided.payload) == ("approved", EMAIL)
    assert decided.decided_at is not None
    assert facts_of(approval) == [
        {
            "fact": "answered",
            "request": approval.request,
            "approval": str(approval.pk),
            "decision": "approve",
            "payload": EMAIL,
            "payload_hash": digest(EMAIL),
            "by": "bob@example.com",
            "reason": "fine",
        }
    ]


def test_a_decision_is_kept_with_its_fingerprint_and_audited(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, Decision("reject", approval.payload_hash, reason="Wrong Ana."))
    record = DecisionRecord.objects.get(approval=approval)
    assert (record.by, record.decision, record.reason) == (desk.team.bob, "reject", "Wrong Ana.")
    assert record.payload_hash == approval.payload_hash
    entry = AuditEntry.objects.get(target=str(approval.pk))
    assert (entry.actor, entry.action) == ("bob@example.com", "approval.rejected")
    assert entry.data["payload_hash"] == approval.payload_hash
    assert facts_of(approval)[0]["reason"] == "Wrong Ana."
    assert Approval.objects.get(pk=approval.pk).state == "rejected"


KINDS_AND_CHOICES = [(kind, str(choice)) for kind, choices in CHOICES.items() for choice in choices]


@pytest.mark.parametrize(("kind", "choice"), KINDS_AND_CHOICES)
def test_every_kind_takes_each_of_its_decisions(desk: Desk, kind: str, choice: str) -> None:
    approval = a_question(desk.run, kind)
    payload = {"value": 7} if choice in ("answer", "use") else None
    decision = Decision(choice, approval.payload_hash, payload, "because")
    decided = services.decide(desk.actor("carol" if kind == "budget" else "bob"), approval.pk, decision)
    assert decided.state == {"approve": "approved", "reject": "rejected"}.get(choice, "answered")
    [fact] = facts_of(approval)
    assert (fact["decision"], fact["payload"]) == (choice, payload)


def test_a_budget_is_raised_by_the_amount_the_manager_names(desk: Desk) -> None:
    approval = a_question(desk.run, "budget", payload={"add_usd": "1.00"})
    services.decide(desk.actor("carol"), approval.pk, Decision("approve", payload={"add_usd": "2.50"}))
    assert facts_of(approval)[0]["payload"] == {"add_usd": "2.50"}


def test_a_budget_without_an_amount_is_raised_as_it_was_asked(desk: Desk) -> None:
    approval = a_question(desk.run, "budget", payload={"add_usd": "1.00"})
    services.decide(desk.actor("carol"), approval.pk, Decision("approve"))
    assert facts_of(approval)[0]["payload"] == {"add_usd": "1.00"}


@pytest.mark.parametrize("kind", ["approve", "edit"])
def test_an_edit_replaces_what_runs_and_keeps_what_was_asked(desk: Desk, kind: str) -> None:
    approval = an_approval(desk.run, kind=kind)
    decided = services.decide(desk.actor("bob"), approval.pk, approve(approval, payload=EDITED))
    assert (decided.payload, decided.payload_hash, decided.asked) == (EDITED, digest(EDITED), EMAIL)
    [fact] = facts_of(approval)
    assert (fact["payload"], fact["payload_hash"]) == (EDITED, digest(EDITED))
    assert AuditEntry.objects.get(target=str(approval.pk)).data["edited"] is True


def test_an_edit_to_another_tool_is_refused_and_changes_nothing(desk: Desk) -> None:
    approval = an_approval(desk.run)
    other = {**EDITED, "tool": "http.request@1"}
    said = approve(approval, payload=other)
    refusal(Invalid, "only_args_may_change", lambda: services.decide(desk.actor("bob"), approval.pk, said))
    assert_untouched(approval)


def test_an_edit_outside_the_tools_schema_is_refused_with_its_place(desk: Desk) -> None:
    approval = an_approval(desk.run)
    said = approve(approval, payload={**EMAIL, "args": {**EMAIL["args"], "subject": 5}})
    error = refusal(Invalid, "invalid_payload", lambda: services.decide(desk.actor("bob"), approval.pk, said))
    assert error.where == "/payload/args/subject"
    assert_untouched(approval)


@pytest.mark.parametrize("kind", list(CHOICES))
@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dana", "erin"])
def test_nobody_answers_their_own_run_whatever_their_roles(kind: str, name: str) -> None:
    desk = a_desk()
    starter = getattr(desk.team, name)
    Membership.objects.filter(user=starter).update(roles=[str(role) for role in Role])
    approval = a_question(a_run(desk.team.workspace, starter), kind, people=[starter.email])
    for choice in CHOICES[kind]:
        said = Decision(choice, approval.payload_hash, reason="mine")
        refusal(Forbidden, "own_request", lambda said=said: services.decide(acting(starter), approval.pk, said))
    refusal(Forbidden, "own_request", lambda: services.claim(acting(starter), approval.pk))
    refusal(Forbidden, "own_request", lambda: services.assign(acting(starter), approval.pk, "bob@example.com"))
    assert_untouched(approval)


def test_nobody_answers_a_version_they_edited(desk: Desk) -> None:
    approval = an_approval(a_run(desk.team.workspace, desk.team.alice, desk.team.bob))
    refusal(Forbidden, "own_request", lambda: services.decide(desk.actor("bob"), approval.pk, approve(approval)))
    assert_untouched(approval)


def test_a_composer_may_answer_a_plain_question_of_their_own_run_where_it_says_so(desk: Desk) -> None:
    approval = a_question(desk.run, "answer", roles=["composer"], not_starter=False)
    services.decide(desk.actor("alice"), approval.pk, Decision("answer", payload="blue"))
    assert facts_of(approval)[0]["payload"] == "blue"


@pytest.mark.parametrize("name", ["carol", "dana", "erin"])
def test_only_a_reviewer_approves(desk: Desk, name: str) -> None:
    approval = an_approval(desk.run)
    refusal(Forbidden, "not_a_reviewer", lambda: services.decide(desk.actor(name), approval.pk, approve(approval)))
    assert_untouched(approval)


def test_a_reviewer_does_not_raise_a_budget(desk: Desk) -> None:
    approval = a_question(desk.run, "budget")
    refusal(Forbidden, "not_a_reviewer", lambda: services.decide(desk.actor("bob"), approval.pk, Decision("approve")))


@pytest.mark.parametrize("kind", ["approve", "answer"])
def test_a_token_without_the_scope_decide_decides_nothing(desk: Desk, kind: str) -> None:
    approval = an_approval(desk.run) if kind == "approve" else a_question(desk.run, "answer")
    bob = desk.actor("bob")
    limited = Actor(bob.user, bob.workspace, bob.roles, frozenset(Scope) - {Scope.DECIDE})
    said = approve(approval) if kind == "approve" else Decision("answer", payload="x")
    refusal(Forbidden, "not_a_reviewer", lambda: services.decide(limited, approval.pk, said))
    assert_untouched(approval)


def test_a_strangers_approval_is_not_there(desk: Desk) -> None:
    approval = an_approval(desk.run)
    charlie = desk.actor("charlie")
    absent = refusal(NotFound, "not_found", lambda: services.decide(charlie, new_id(), approve(approval)))
    for act in (
        lambda: services.decide(charlie, approval.pk, approve(approval)),
        lambda: services.claim(charlie, approval.pk),
        lambda: services.release(charlie, approval.pk),
        lambda: services.assign(charlie, approval.pk, "charlie@example.com"),
        lambda: services.comment(charlie, approval.pk, "hello"),
    ):
        assert refusal(NotFound, "not_found", act).message == absent.message
    assert_untouched(approval)


@pytest.mark.parametrize("malformed", ["", "x", "0", "00000000-0000-0000-0000-00000000000g", "a" * 5_000, "\x00"])
def test_a_malformed_id_is_an_absent_one(desk: Desk, malformed: str) -> None:
    refusal(NotFound, "not_found", lambda: services.decide(desk.actor("bob"), malformed, Decision("approve")))


def test_another_fingerprint_is_a_changed_payload(desk: Desk) -> None:
    approval = an_approval(desk.run)
    said = approve(approval, payload_hash=digest(EDITED))
    refusal(Conflict, "payload_changed", lambda: services.decide(desk.actor("bob"), approval.pk, said))
    assert_untouched(approval)


def test_a_row_whose_payload_is_not_that_of_its_fingerprint_is_never_approved(desk: Desk) -> None:
    approval = an_approval(desk.run, payload=EDITED, payload_hash=digest(EMAIL))
    refusal(Conflict, "payload_changed", lambda: services.decide(desk.actor("bob"), approval.pk, approve(approval)))
    assert facts_of(approval) == []


def test_a_decided_question_says_who_decided_and_when(desk: Desk) -> None:
    approval = an_approval(desk.run)
    a_member(desk.team.workspace, "ben", Role.REVIEWER)
    decided = services.decide(desk.actor("bob"), approval.pk, approve(approval))
    ben = acting(Membership.objects.get(user__email="ben@example.com").user)
    for said in (approve(approval), Decision("reject", reason="no")):
        error = refusal(Conflict, "already_decided", lambda said=said: services.decide(ben, approval.pk, said))
        assert "Bob already approved this at" in error.message
        assert error.extra == {"state": "approved", "by": "bob@example.com", "at": decided.decided_at}
    assert len(facts_of(approval)) == 1


def test_a_withdrawn_question_cannot_be_answered(desk: Desk) -> None:
    approval = an_approval(desk.run)
    Approval.objects.filter(pk=approval.pk).update(state="cancelled", decided_at=timezone.now())
    error = refusal(
        Conflict, "already_decided", lambda: services.decide(desk.actor("bob"), approval.pk, approve(approval))
    )
    assert "withdrew" in error.message


def test_a_question_past_its_due_time_is_gone_before_anybody_expired_it(desk: Desk) -> None:
    approval = an_approval(desk.run)
    fall_due(approval, timedelta(milliseconds=1))
    refusal(Gone, "expired", lambda: services.decide(desk.actor("bob"), approval.pk, approve(approval)))
    assert_untouched(approval)


def test_a_quorum_needs_that_many_people_and_reports_once(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run, min_approvals=2)
    assert services.decide(desk.actor("bob"), approval.pk, approve(approval)).state == "open"
    assert facts_of(approval) == []
    error = refusal(
        Conflict, "already_decided", lambda: services.decide(desk.actor("bob"), approval.pk, approve(approval))
    )
    assert "waits for 1 more" in error.message
    assert services.decide(ben, approval.pk, approve(approval)).state == "approved"
    assert len(facts_of(approval)) == 1


def test_one_rejection_ends_a_quorum(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run, min_approvals=3)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    assert services.decide(ben, approval.pk, Decision("reject", reason="No.")).state == "rejected"


def test_in_a_quorum_the_others_approve_what_the_first_made_of_it(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run, min_approvals=2)
    edited = services.decide(desk.actor("bob"), approval.pk, approve(approval, payload=EDITED))
    assert edited.state == "open"
    refusal(Conflict, "payload_changed", lambda: services.decide(ben, approval.pk, approve(approval)))
    again = approve(edited, payload=EMAIL)
    refusal(Conflict, "edit_too_late", lambda: services.decide(ben, approval.pk, again))
    decided = services.decide(ben, approval.pk, approve(edited))
    assert (decided.state, decided.payload) == ("approved", EDITED)
    assert facts_of(approval)[0]["payload"] == EDITED


@pytest.mark.parametrize(
    "change",
    [
        {"state": "rejected"},
        {"payload": EDITED, "payload_hash": digest(EDITED)},
        {"payload_hash": digest(EDITED)},
        {"decided_at": None, "state": "open"},
        {"barred": []},
    ],
)
def test_the_database_keeps_an_answer_as_it_was_given(desk: Desk, change: dict[str, Any]) -> None:
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        DecisionRecord.objects.filter(approval=approval).update(reason="another")


def test_the_database_refuses_a_payload_under_another_ones_fingerprint(desk: Desk) -> None:
    approval = an_approval(desk.run)
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(payload=EDITED)


def test_a_claim_tells_the_others_and_keeps_nobody_out(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run)
    assert services.claim(desk.actor("bob"), approval.pk).claimed_by == desk.team.bob
    assert services.claim(desk.actor("bob"), approval.pk).claimed_by == desk.team.bob
    error = refusal(Conflict, "already_claimed", lambda: services.claim(ben, approval.pk))
    assert "Bob is on it" in error.message
    assert services.decide(ben, approval.pk, approve(approval)).state == "approved"
    assert AuditEntry.objects.filter(action="approval.claimed").count() == 1


def test_a_question_goes_to_nobody_who_does_not_see_it(desk: Desk) -> None:
    approval = an_approval(desk.run)
    a_member(desk.team.workspace, "ben", Role.REVIEWER)
    owner = acting(a_member(desk.team.workspace, "olga", Role.COMPOSER), desk.team.workspace)
    sharing.put(owner, desk.run.pipeline, Lists(see=("bob@example.com", "composer")))
    bob, ben = desk.actor("bob"), "ben@example.com"
    refusal(Invalid, "cannot_be_assigned", lambda: services.assign(bob, approval.pk, ben))
    refusal(Invalid, "cannot_be_asked", lambda: services.ask(bob, approval.pk, "Is she there?", ben))
    assert services.ask(bob, approval.pk, "Is she there?", "alice@example.com")


@pytest.mark.parametrize("leave", [members.remove, members.deactivate])
def test_what_somebody_holds_is_released_when_they_leave(desk: Desk, leave: Callable[..., Any]) -> None:
    claimed, handed, others = (an_approval(desk.run) for _ in range(3))
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    services.claim(desk.actor("bob"), claimed.pk)
    services.assign(ben, handed.pk, "bob@example.com")
    services.claim(ben, others.pk)
    leave(desk.actor("dana"), "bob@example.com")
    for approval in (claimed, handed, others):
        approval.refresh_from_db()
    assert (claimed.claimed_by, handed.assigned_to, others.claimed_by) == (None, None, ben.user)
    released = AuditEntry.objects.filter(action="approval.released")
    assert {entry.target for entry in released} == {str(claimed.pk), str(handed.pk)}
    assert {(entry.actor, entry.data["of"]) for entry in released} == {("dana@example.com", "bob@example.com")}
    services.claim(ben, claimed.pk)


def test_a_claim_is_released_by_its_owner_only(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run)
    services.claim(desk.actor("bob"), approval.pk)
    refusal(Conflict, "not_claimed", lambda: services.release(ben, approval.pk))
    assert services.release(desk.actor("bob"), approval.pk).claimed_by is None
    assert services.claim(ben, approval.pk).claimed_by == ben.user


def test_a_question_is_handed_to_somebody_who_may_answer_it(desk: Desk) -> None:
    ben = a_member(desk.team.workspace, "ben", Role.REVIEWER)
    approval = an_approval(desk.run)
    services.claim(desk.actor("bob"), approval.pk)
    handed = services.assign(desk.actor("bob"), approval.pk, " Ben@Example.com ")
    assert (handed.assigned_to, handed.claimed_by) == (ben, None)


@pytest.mark.parametrize(
    ("email", "why"),
    [
        ("alice@example.com", "started the run"),
        ("dana@example.com", "may not answer"),
        ("charlie@example.com", "Nobody in this workspace"),
        ("nobody@example.com", "Nobody in this workspace"),
        ("", "Nobody in this workspace"),
    ],
)
def test_a_question_is_not_handed_to_somebody_who_may_not(desk: Desk, email: str, why: str) -> None:
    approval = an_approval(desk.run)
    error = refusal(Invalid, "cannot_be_assigned", lambda: services.assign(desk.actor("bob"), approval.pk, email))
    assert why in error.message


def test_a_decided_question_is_neither_claimed_nor_handed_over(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    refusal(Conflict, "already_decided", lambda: services.claim(desk.actor("bob"), approval.pk))
    refusal(Conflict, "already_decided", lambda: services.assign(desk.actor("bob"), approval.pk, "bob@example.com"))


def test_the_one_who_asked_may_explain_in_a_comment_which_decides_nothing(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.comment(desk.actor("alice"), approval.pk, "Ana asked for it\x00 herself.")
    services.comment(desk.actor("bob"), approval.pk, "Thanks.")
    assert [c.text for c in Comment.objects.order_by("id")] == ["Ana asked for it\ufffd herself.", "Thanks."]
    assert Approval.objects.get(pk=approval.pk).state == "open"


@pytest.mark.parametrize("text", ["", " \n ", "x" * 4_001])
def test_a_comment_has_words_and_a_limit(desk: Desk, text: str) -> None:
    approval = an_approval(desk.run)
    refusal(Invalid, "invalid_comment", lambda: services.comment(desk.actor("bob"), approval.pk, text))


def test_an_auditor_reads_and_does_not_comment(desk: Desk) -> None:
    approval = an_approval(desk.run)
    with pytest.raises(Forbidden):
        services.comment(desk.actor("erin"), approval.pk, "hm")
