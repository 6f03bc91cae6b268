"""An approval can be taken back while its rules leave time: nothing is told before that, and one thing only."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from accounts.errors import Conflict, Forbidden, Gone
from accounts.models import AuditEntry, Membership
from accounts.roles import Role, Scope
from approvals import attention, deadlines, inbox, services, settling
from approvals.models import Approval, DecisionRecord, Notice
from approvals.policy import Decision
from runs.effects import Close
from runs.models import Inbox
from tests.approvals.builders import EMAIL, Desk, a_desk, a_rule, an_approval, approve, fall_due
from tests.approvals.test_races import at_once, withdraw
from tests.people import a_member, acting

ANY_REVIEWER = {"roles": ["reviewer"]}


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    made = a_desk()
    a_rule(made.team.workspace, ANY_REVIEWER, hold=60)
    return made


@pytest.fixture(autouse=True)
def silent_bells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)
    monkeypatch.setattr("runs.live.ring_workspace", lambda workspace_id: None)


def given(desk: Desk, approval: Approval, name: str = "bob") -> Approval:
    return services.decide(desk.actor(name), approval.pk, approve(Approval.objects.get(pk=approval.pk)))


def time_is_up(approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(held_until=F("held_until") - timedelta(seconds=61))


def told(approval: Approval) -> list[str]:
    """Return the decisions the run was told of this question."""
    return [row.fact["decision"] for row in Inbox.objects.filter(key=f"approval:{approval.pk}")]


def test_what_is_approved_is_told_only_when_the_time_is_up(desk: Desk) -> None:
    approval = an_approval(desk.run)
    held = given(desk, approval)
    assert (held.state, held.decided_at) == ("open", None)
    assert held.held_until is not None
    settling.release_due()
    assert told(approval) == []
    time_is_up(approval)
    settling.release_due()
    settling.release_due()
    approval.refresh_from_db()
    assert (approval.state, approval.held_until) == ("approved", None)
    assert told(approval) == ["approve"]
    assert Inbox.objects.get().fact["by"] == "bob@example.com"
    assert AuditEntry.objects.filter(action="approval.released").count() == 1


def test_taken_back_it_waits_as_before_and_can_be_approved_anew(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    assert inbox.mine(desk.actor("bob")).count() == 0
    services.take_back(desk.actor("bob"), approval.pk)
    time_is_up(approval)
    settling.release_due()
    assert told(approval) == []
    assert [one.pk for one in inbox.mine(desk.actor("bob"))] == [approval.pk]
    given(desk, approval)
    time_is_up(approval)
    settling.release_due()
    assert told(approval) == ["approve"]
    records = DecisionRecord.objects.filter(approval=approval).order_by("id")
    assert [one.withdrawn_at is None for one in records] == [False, True]


def test_a_colleague_can_reject_what_is_held_but_not_approve_or_change_it_again(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run)
    given(desk, approval)
    approval.refresh_from_db()
    edited = {**EMAIL, "args": {**EMAIL["args"], "body": "Another"}}
    for again in (approve(approval), approve(approval, payload=edited)):
        with pytest.raises(Conflict) as refused:
            services.decide(ben, approval.pk, again)
        assert refused.value.code == "already_decided"
    services.decide(ben, approval.pk, Decision("reject", approval.payload_hash, reason="Wrong person."))
    assert told(approval) == ["reject"]
    with pytest.raises(Conflict) as late:
        services.take_back(desk.actor("bob"), approval.pk)
    assert late.value.code == "already_decided"


def test_what_was_approved_in_time_does_not_expire_while_it_is_held(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    fall_due(approval)
    deadlines.expire_due()
    approval.refresh_from_db()
    assert approval.state == "open"
    services.take_back(desk.actor("bob"), approval.pk)
    with pytest.raises(Gone):
        given(desk, approval)
    deadlines.expire_due()
    assert told(approval) == ["expire"]


def test_an_approver_who_left_meanwhile_does_not_count(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    Membership.objects.filter(user=desk.team.bob).update(roles=["viewer"])
    time_is_up(approval)
    settling.release_due()
    approval.refresh_from_db()
    assert (approval.state, approval.held_until) == ("open", None)
    assert told(approval) == []


def test_the_payload_of_what_is_held_cannot_be_changed_behind_the_desk(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    time_is_up(approval)
    other = {**EMAIL, "args": {**EMAIL["args"], "to": "eve@evil.example"}}
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(payload=other)
    settling.release_due()
    assert Inbox.objects.get().fact["payload"] == EMAIL


def test_an_edit_that_is_taken_back_can_be_edited_again_and_what_was_asked_first_is_kept(desk: Desk) -> None:
    approval = an_approval(desk.run)
    texts = [{**EMAIL, "args": {**EMAIL["args"], "body": body}} for body in ("One", "Two")]
    for text in texts:
        fresh = Approval.objects.get(pk=approval.pk)
        services.decide(desk.actor("bob"), approval.pk, approve(fresh, payload=text))
        if text is texts[0]:
            services.take_back(desk.actor("bob"), approval.pk)
    time_is_up(approval)
    settling.release_due()
    approval.refresh_from_db()
    assert (approval.asked, approval.payload) == (EMAIL, texts[1])
    assert Inbox.objects.get().fact["payload"] == texts[1]


def test_one_of_two_approvals_can_be_taken_back_without_any_rule(transactional_db: None) -> None:
    desk = a_desk()
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    approval = an_approval(desk.run, min_approvals=2)
    given(desk, approval)
    with pytest.raises(Conflict) as nothing:
        services.take_back(ben, approval.pk)
    assert nothing.value.code == "not_yours"
    services.take_back(desk.actor("bob"), approval.pk)
    services.decide(ben, approval.pk, approve(approval))
    assert told(approval) == []
    given(desk, approval)
    assert told(approval) == ["approve"]


def test_taken_back_as_the_time_is_up_has_one_outcome(desk: Desk) -> None:
    bob = desk.actor("bob")
    for _ in range(40):
        approval = an_approval(desk.run)
        given(desk, approval)
        time_is_up(approval)
        outcomes = at_once(
            lambda a=approval: services.take_back(bob, a.pk),
            lambda a=approval: settling.release(a.pk),
            lambda a=approval: settling.release(a.pk),
        )
        taken = outcomes[0] == "open"
        assert told(approval) == ([] if taken else ["approve"])
        assert outcomes[1:].count("True") == (0 if taken else 1)
        assert Approval.objects.get(pk=approval.pk).state == ("open" if taken else "approved")


def test_a_record_of_what_was_answered_cannot_be_taken_back_afterwards_by_any_program(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    time_is_up(approval)
    settling.release_due()
    record = DecisionRecord.objects.get()
    for change in ({"withdrawn_at": record.at}, {"reason": "Another"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            DecisionRecord.objects.filter(pk=record.pk).update(**change)


def test_what_no_longer_matches_its_fingerprint_is_not_released(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    time_is_up(approval)
    other = {**EMAIL, "args": {**EMAIL["args"], "to": "eve@evil.example"}}
    with connection.cursor() as cursor:  # somebody with more rights than this program has
        cursor.execute("alter table approvals_approval disable trigger approvals_stay")
        Approval.objects.filter(pk=approval.pk).update(payload=other)
        cursor.execute("alter table approvals_approval enable trigger approvals_stay")
    settling.release_due()
    assert told(approval) == []
    assert AuditEntry.objects.filter(action="approval.not_released").count() == 1
    approval.refresh_from_db()
    assert (approval.state, approval.held_until) == ("open", None)


def test_a_program_takes_nothing_back_without_the_scope_to_decide(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    bob = desk.actor("bob")
    with pytest.raises(Forbidden):
        services.take_back(replace(bob, scopes=frozenset({Scope.READ})), approval.pk)
    approval.refresh_from_db()
    assert approval.held_until is not None


def test_taken_back_by_one_of_two_it_stays_held_while_the_other_is_enough(transactional_db: None) -> None:
    desk = a_desk()
    a_rule(desk.team.workspace, {"roles": ["manager"]}, hold=60)
    dora = acting(a_member(desk.team.workspace, "dora", Role.REVIEWER, Role.MANAGER))
    approval = an_approval(desk.run)
    assert given(desk, approval).held_until is None, "a manager is missing"
    assert services.decide(dora, approval.pk, approve(approval)).held_until is not None
    assert services.take_back(desk.actor("bob"), approval.pk).held_until is not None
    time_is_up(approval)
    settling.release_due()
    assert told(approval) == ["approve"]
    assert Inbox.objects.get().fact["by"] == "dora@example.com"


def test_nobody_is_reminded_of_what_is_held_and_no_list_offers_it(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    Approval.objects.filter(pk=approval.pk).update(wakes_at=F("created_at") - timedelta(hours=2))
    fall_due(approval, timedelta(hours=-1))
    attention.attend_waking()
    assert not Notice.objects.exists()
    bob = desk.actor("bob")
    assert (inbox.counts(bob).team, inbox.counts(bob).mine) == (0, 0)
    assert [one.pk for one in inbox.held(bob)] == [approval.pk]


def test_a_run_that_is_cancelled_withdraws_what_is_held(desk: Desk) -> None:
    approval = an_approval(desk.run)
    given(desk, approval)
    withdraw(Close(str(approval.run_id), approval.request))
    approval.refresh_from_db()
    assert (approval.state, approval.held_until) == ("cancelled", None)
    settling.release_due()
    assert told(approval) == []
