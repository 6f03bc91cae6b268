"""The rules of a workspace at the desk: they add approvals, are frozen as a question is asked, and follow an edit."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import Conflict, Forbidden, Gone
from accounts.models import AuditEntry, Membership
from accounts.roles import Role
from approvals import attention, inbox, services
from approvals.models import Absence, Approval, DecisionRecord, Notice
from approvals.policy import Decision
from pipelines.graph.canonical import digest
from runs.models import Inbox
from tests.approvals.builders import (
    EMAIL,
    Desk,
    a_desk,
    a_question,
    a_rule,
    a_run,
    an_approval,
    approve,
    away,
    fall_due,
    wait,
)
from tests.people import a_member, acting, signed_in_as

pytestmark = pytest.mark.django_db
OVER_1000 = {"amount_at": "/json/amount", "amount_least": 1_000}
HOUR = timedelta(hours=1)


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def a_payment(amount: Any, method: str = "POST") -> dict[str, Any]:
    args = {"method": method, "url": "https://bank.example/pay", "json": {"amount": amount}}
    return {"tool": "http.request@1", "args": args}


def a_payment_asked(desk: Desk, amount: Any, **changes: Any) -> Approval:
    action = {"tool": "http.request@1", "effect": "irreversible"}
    return an_approval(desk.run, payload=a_payment(amount), action=action, **changes)


def state(approval: Approval) -> str:
    return Approval.objects.get(pk=approval.pk).state


def decided(desk: Desk, name: str, approval: Approval, **changes: Any) -> str:
    fresh = Approval.objects.get(pk=approval.pk)
    return services.decide(desk.actor(name), approval.pk, approve(fresh, **changes)).state


def test_a_rule_asks_its_people_beside_those_of_the_pipeline(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    assert decided(desk, "bob", approval) == "open"
    assert not Inbox.objects.exists()
    assert [(need.name[:4], lack) for need, lack in services.still_missing(approval)] == [("Rule", 1)]
    assert decided(desk, "carol", approval) == "approved"
    assert Inbox.objects.get().fact["decision"] == "approve"


def test_the_people_of_a_rule_do_not_replace_those_of_the_pipeline(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    assert decided(desk, "carol", approval) == "open"
    assert decided(desk, "bob", approval) == "approved"


def test_anyone_a_rule_asks_may_reject(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    services.decide(desk.actor("carol"), approval.pk, Decision("reject", reason="Too much."))
    assert state(approval) == "rejected"


def test_a_rule_of_another_workspace_or_pipeline_asks_nobody(desk: Desk) -> None:
    a_rule(desk.team.elsewhere)
    a_rule(desk.team.workspace, pipeline=a_run(desk.team.workspace, desk.team.alice).pipeline)
    approval = an_approval(desk.run)
    assert approval.rules == []
    assert decided(desk, "bob", approval) == "approved"
    mine = a_rule(desk.team.workspace, pipeline=desk.run.pipeline)
    assert [rule["id"] for rule in an_approval(desk.run).rules] == [str(mine.pk)]


@pytest.mark.parametrize("kind", ["answer", "failure", "budget", "outcome_unknown"])
def test_rules_are_about_approvals_only(desk: Desk, kind: str) -> None:
    a_rule(desk.team.workspace)
    assert a_question(desk.run, kind).rules == []


def test_an_admin_with_every_role_who_edited_the_version_is_asked_by_no_rule(desk: Desk) -> None:
    eve = a_member(desk.team.workspace, "eve", *Role)
    a_rule(desk.team.workspace, {"roles": ["manager"], "people": ["eve@example.com"]})
    approval = an_approval(a_run(desk.team.workspace, desk.team.alice, eve))
    away(desk.team.carol, eve, desk.team.workspace)
    with pytest.raises(Forbidden) as refused:
        services.decide(acting(eve), approval.pk, approve(approval))
    assert refused.value.code == "own_request"
    assert not DecisionRecord.objects.exists()


# --- what is frozen, and what is judged anew


def test_a_rule_changed_between_look_and_decide_changes_nothing(desk: Desk) -> None:
    rule = a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    rule.levels, rule.least = [{"roles": ["reviewer"], "people": [], "within": None}], 1
    rule.save()
    assert decided(desk, "bob", approval) == "open"
    rule.delete()
    assert [(need.least, lack) for need, lack in services.still_missing(approval)] == [(1, 1)]
    assert decided(desk, "carol", approval) == "approved"
    assert decided(desk, "bob", an_approval(desk.run)) == "approved"


def test_a_rule_made_later_is_about_later_questions(desk: Desk) -> None:
    approval = an_approval(desk.run)
    a_rule(desk.team.workspace)
    assert decided(desk, "bob", approval) == "approved"


@pytest.mark.parametrize("open_", [True, False])
def test_no_program_changes_the_rules_of_a_question(desk: Desk, open_: bool) -> None:
    a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    if not open_:
        services.decide(desk.actor("bob"), approval.pk, Decision("reject", reason="No."))
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(rules=[])


def test_a_question_cannot_be_written_without_its_rules(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    made = Approval.objects.create(
        **{**_columns(an_approval(desk.run)), "request": "other!1", "rules": []},
    )
    made.refresh_from_db()
    assert len(made.rules) == 1


def _columns(approval: Approval) -> dict[str, Any]:
    names = ("workspace_id", "pipeline_id", "run_id", "path", "kind", "payload", "payload_hash", "roles")
    return {name: getattr(approval, name) for name in names}


def test_below_the_threshold_one_reviewer_is_enough(desk: Desk) -> None:
    a_rule(desk.team.workspace, **OVER_1000)
    assert decided(desk, "bob", a_payment_asked(desk, 999)) == "approved"
    assert decided(desk, "bob", a_payment_asked(desk, 1_000)) == "open"


def test_an_edit_that_crosses_the_threshold_is_judged_anew(desk: Desk) -> None:
    a_rule(desk.team.workspace, **OVER_1000)
    approval = a_payment_asked(desk, 10)
    attention.attend_waking()
    assert decided(desk, "bob", approval, payload=a_payment(50_000)) == "open"
    assert not Inbox.objects.exists()
    attention.attend_waking()
    assert list(inbox.mine(desk.actor("carol"))) == [approval]
    with pytest.raises(Conflict):  # what she would lower again is no longer for one to change
        decided(desk, "carol", approval, payload=a_payment(10))
    assert decided(desk, "carol", approval) == "approved"
    assert Inbox.objects.get().fact["payload"] == a_payment(50_000)


def test_an_edit_that_makes_the_amount_unreadable_does_not_slip_below(desk: Desk) -> None:
    a_rule(desk.team.workspace, **OVER_1000)
    assert decided(desk, "bob", a_payment_asked(desk, 10), payload=a_payment("50,000")) == "open"


def test_an_edit_below_the_threshold_needs_what_the_smaller_call_needs(desk: Desk) -> None:
    a_rule(desk.team.workspace, **OVER_1000)
    assert decided(desk, "bob", a_payment_asked(desk, 50_000), payload=a_payment(10)) == "approved"


def test_an_edit_into_a_worse_effect_is_judged_by_that_effect(desk: Desk) -> None:
    a_rule(desk.team.workspace, effect="irreversible")
    action = {"tool": "http.request@1", "effect": "none"}
    approval = an_approval(desk.run, payload=a_payment(1, "GET"), action=action)
    assert decided(desk, "bob", approval, payload=a_payment(1, "POST")) == "open"
    harmless = an_approval(desk.run, payload=a_payment(1, "GET"), action=action)
    assert decided(desk, "bob", harmless) == "approved"


# --- the quorum


def test_several_rules_have_each_to_be_met(desk: Desk) -> None:
    ben = a_member(desk.team.workspace, "ben", Role.REVIEWER)
    a_rule(desk.team.workspace, least=2, name="Two")
    a_rule(desk.team.workspace, {"people": ["ben@example.com"]}, name="Ben")
    mia = a_member(desk.team.workspace, "mia", Role.MANAGER, Role.REVIEWER)
    approval = an_approval(desk.run)
    assert decided(desk, "carol", approval) == "open"
    assert services.decide(acting(mia), approval.pk, approve(approval)).state == "open"
    assert [need.name for need, _ in services.still_missing(approval)] == ["Ben"]
    assert services.decide(acting(ben), approval.pk, approve(approval)).state == "approved"


@pytest.mark.parametrize("lost", ["membership", "role", "account"])
def test_the_approval_of_somebody_who_may_not_any_more_does_not_count(desk: Desk, lost: str) -> None:
    ben = a_member(desk.team.workspace, "ben", Role.REVIEWER)
    approval = an_approval(desk.run, min_approvals=2)
    services.decide(acting(ben), approval.pk, approve(approval))
    membership = Membership.objects.get(user=ben)
    if lost == "membership":
        membership.delete()
    elif lost == "role":
        Membership.objects.filter(pk=membership.pk).update(roles=["admin", "composer"])
    else:
        ben.is_active = False
        ben.save()
    assert decided(desk, "bob", approval) == "open"
    ada = a_member(desk.team.workspace, "ada", Role.REVIEWER)
    assert services.decide(acting(ada), approval.pk, approve(approval)).state == "approved"


# --- absences


def test_a_deputy_answers_for_the_absent_and_the_record_says_so(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    away(desk.team.carol, desk.team.bob, desk.team.workspace)
    approval = an_approval(desk.run, roles=["manager"])
    assert list(inbox.mine(desk.actor("bob"))) == [approval]
    assert decided(desk, "bob", approval) == "approved"
    assert DecisionRecord.objects.get().stands_for == desk.team.carol
    assert AuditEntry.objects.get(action="approval.approved").data["stands_for"] == "carol@example.com"


def test_absent_and_deputy_are_one_seat_of_a_quorum(desk: Desk) -> None:
    a_rule(desk.team.workspace, least=2)
    away(desk.team.carol, desk.team.bob, desk.team.workspace)
    approval = an_approval(desk.run)
    assert decided(desk, "bob", approval) == "open"
    assert decided(desk, "carol", approval) == "open"
    mia = a_member(desk.team.workspace, "mia", Role.MANAGER)
    assert services.decide(acting(mia), approval.pk, approve(approval)).state == "approved"


def test_a_deputy_who_is_barred_stays_barred_and_gets_past_nobody_elses_bar(desk: Desk) -> None:
    mia = a_member(desk.team.workspace, "mia", Role.MANAGER, Role.COMPOSER)
    away(desk.team.carol, mia, desk.team.workspace)
    approval = an_approval(a_run(desk.team.workspace, mia), roles=["manager"])
    with pytest.raises(Forbidden) as refused:
        services.decide(acting(mia), approval.pk, approve(approval))
    assert refused.value.code == "own_request"
    away(mia, desk.team.bob, desk.team.workspace)
    with pytest.raises(Forbidden) as refused:
        services.decide(desk.actor("bob"), approval.pk, approve(approval))
    assert refused.value.code == "not_a_reviewer"
    assert approval not in inbox.team(desk.actor("bob"))


@pytest.mark.parametrize("moved", [timedelta(days=2), timedelta(days=-2)])
def test_an_absence_counts_while_it_lasts(desk: Desk, moved: timedelta) -> None:
    absence = away(desk.team.carol, desk.team.bob, desk.team.workspace)
    absence.starts_at, absence.ends_at = absence.starts_at + moved, absence.ends_at + moved
    absence.save()
    approval = an_approval(desk.run, roles=["manager"])
    with pytest.raises(Forbidden):
        services.decide(desk.actor("bob"), approval.pk, approve(approval))


def test_what_a_deputy_approved_counts_only_while_the_absent_could_have(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    absence = away(desk.team.carol, desk.team.bob, desk.team.workspace)
    approval = an_approval(desk.run, min_approvals=2)
    decided(desk, "bob", approval)
    Absence.objects.filter(pk=absence.pk).update(ends_at=absence.starts_at + HOUR)  # she is back, and it stands
    assert [need.name for need, _ in services.still_missing(approval)] == [""]
    Membership.objects.filter(user=desk.team.carol).update(roles=["viewer"])
    assert len(services.still_missing(approval)) == 2


def test_an_absence_elsewhere_is_no_absence_here(desk: Desk) -> None:
    Membership.objects.create(workspace=desk.team.elsewhere, user=desk.team.bob, roles=["reviewer"])
    away(desk.team.carol, desk.team.bob, desk.team.elsewhere)
    approval = an_approval(desk.run, roles=["manager"])
    with pytest.raises(Forbidden):
        services.decide(acting(desk.team.bob, desk.team.workspace), approval.pk, approve(approval))


# --- levels, deadlines, reminders

CHAIN = ({"roles": ["manager"], "within": 3_600}, {"people": ["mia@example.com"], "within": 7_200})


def told(approval: Approval) -> list[tuple[str, list[str]]]:
    return [(one.kind, one.audience) for one in Notice.objects.filter(approval=approval).order_by("id")]


def test_when_a_level_is_silent_the_next_is_asked_too_once(desk: Desk) -> None:
    mia = a_member(desk.team.workspace, "mia", Role.REVIEWER)
    a_rule(desk.team.workspace, *CHAIN)
    approval = an_approval(desk.run, roles=["manager"], expires=86_400)
    attention.attend_waking()
    assert approval not in inbox.team(acting(mia))
    services.claim(desk.actor("carol"), approval.pk)
    wait(approval, HOUR)
    attention.attend_waking()
    fresh = Approval.objects.get(pk=approval.pk)
    assert fresh.claimed_by is None
    assert (fresh.also_roles, fresh.also_people) == (["manager"], ["mia@example.com"])
    assert list(inbox.mine(acting(mia))) == [approval]
    assert told(approval) == [("escalated", ["manager", "mia@example.com"])]
    [entry] = AuditEntry.objects.filter(action="approval.escalated")
    assert (entry.actor, entry.data["level"]) == ("policy", 2)
    assert services.decide(acting(mia), approval.pk, approve(approval)).state == "open"
    assert decided(desk, "carol", approval) == "approved"


def test_the_last_level_ends_the_question_and_silence_is_no_approval(desk: Desk) -> None:
    a_rule(desk.team.workspace, *CHAIN)
    approval = an_approval(desk.run, kind="edit", on_expire="default", expires=86_400)
    attention.attend_waking()
    due = Approval.objects.get(pk=approval.pk).expires_at
    assert due == approval.created_at + timedelta(hours=3)
    page = signed_in_as(desk.team.carol).get(f"/approvals/{approval.pk}/").content.decode()
    assert ", then rejected" in page
    assert "default is used" not in page
    wait(approval, HOUR)
    wait(approval, timedelta(hours=3))
    assert state(approval) == "expired"
    assert Inbox.objects.get().fact["decision"] == "reject"
    assert AuditEntry.objects.get(action="approval.expired").data["then"] == "reject"
    assert [kind for kind, _ in told(approval)] == ["escalated", "expired"]


def test_a_rule_never_lengthens_the_deadline_of_the_pipeline(desk: Desk) -> None:
    a_rule(desk.team.workspace, *CHAIN)
    approval = an_approval(desk.run, expires=600)
    attention.attend_waking()
    assert Approval.objects.get(pk=approval.pk).expires_at == approval.expires_at


def test_a_question_nobody_has_looked_at_is_counted_before_it_is_answered(desk: Desk) -> None:
    """The workers were away for a day: whoever answers first finds the rule's time up."""
    a_rule(desk.team.workspace, {"roles": ["manager"], "within": 3_600})
    approval = an_approval(desk.run, expires=None)
    Approval.objects.filter(pk=approval.pk).update(created_at=approval.created_at - timedelta(days=1))
    with pytest.raises(Gone):
        decided(desk, "carol", approval)
    assert not DecisionRecord.objects.exists()
    attention.attend_waking()
    fall_due(approval)


def test_reminders_come_half_way_and_an_hour_before_each_once(desk: Desk) -> None:
    approval = an_approval(desk.run, expires=4 * 3_600)
    attention.attend_waking()
    assert told(approval) == []
    wait(approval, timedelta(hours=2, minutes=1))
    for _ in range(3):
        attention.attend_waking()
    assert told(approval) == [("reminder", ["reviewer"])]
    wait(approval, HOUR)
    assert told(approval) == [("reminder", ["reviewer"])] * 2
    assert Approval.objects.get(pk=approval.pk).wakes_at is None


def test_a_rule_says_when_its_people_are_reminded(desk: Desk) -> None:
    a_rule(desk.team.workspace, *CHAIN, remind_before=[600])
    approval = an_approval(desk.run, expires=None)
    attention.attend_waking()
    wait(approval, timedelta(minutes=51))
    assert told(approval) == [("reminder", ["manager"])]
    wait(approval, timedelta(minutes=10))
    wait(approval, timedelta(minutes=111))
    both = ["manager", "mia@example.com"]
    assert told(approval) == [("reminder", ["manager"]), ("escalated", both), ("reminder", both)]


def test_a_decided_question_reminds_nobody(desk: Desk) -> None:
    approval = an_approval(desk.run, expires=4 * 3_600)
    attention.attend_waking()
    decided(desk, "bob", approval)
    Approval.objects.filter(pk=approval.pk).update(wakes_at=approval.created_at)
    attention.attend_waking()
    assert told(approval) == []


def test_what_runs_is_still_bound_to_its_fingerprint_under_rules(desk: Desk) -> None:
    a_rule(desk.team.workspace)
    approval = an_approval(desk.run)
    with pytest.raises(Conflict):
        services.decide(desk.actor("carol"), approval.pk, Decision("approve", digest({**EMAIL, "tool": "other@1"})))
