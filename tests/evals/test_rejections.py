"""A rejection becomes a test case: who may, what it says, and what a later answer is held against."""

from typing import Any

import pytest
from django.test import Client

from accounts.errors import Conflict, Forbidden, NotFound
from accounts.models import AuditEntry
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from evals import rejections
from evals.models import Case, Dataset, DatasetVersion
from pipelines import sharing
from pipelines.sharing import Lists
from runs.execution.worker import Worker
from runs.models import Run, Step
from runs.services import Order, start_run
from tests.approvals.builders import EMAIL, Desk, a_desk, a_question, an_approval, approve, fall_due
from tests.conftest import wait_for
from tests.evals.builders import SEND, an_echo, evaluated
from tests.people import Team, acting, bearer, signed_in_as

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(120)]
REASON = "It promises a discount of {20} % that we do not give."


@pytest.fixture
def desk(db: None) -> Desk:
    desk = a_desk()
    desk.run.input = {"company": "Halden Metals"}
    desk.run.save(update_fields=["input"])
    return desk


def a_rejection(desk: Desk, reason: str = REASON, **changes: Any) -> Approval:
    approval = an_approval(desk.run, **changes)
    return services.decide(desk.actor("bob"), approval.pk, Decision("reject", approval.payload_hash, reason=reason))


def a_person_step(desk: Desk, path: str) -> None:
    Step.objects.create(run=desk.run, path=path, node="send", kind="human", state="succeeded", position=1)


def test_the_reviewers_reason_is_what_later_answers_are_held_against(desk: Desk) -> None:
    approval = a_rejection(desk)
    version = rejections.add(desk.actor("alice"), approval.pk, "outreach")
    case = Case.objects.get()
    assert (version.number, version.note, case.source) == (1, f"Rejected in run {desk.run.number}", desk.run.pk)
    assert case.name == "Rejected: Send an email to ana@northwind.example with the subject “Hello”."
    assert (case.inputs, case.has_expected) == ({"company": "Halden Metals"}, False)
    assert case.context == {"rejected": EMAIL, "reason": REASON}
    assert case.metadata == {"approval": str(approval.pk), "run": desk.run.number}
    [assertion] = case.asserts
    assert (assertion["type"], assertion["name"]) == ("rubric", "not_rejected_again")
    assert f"“{REASON}”" in assertion["rubric"]
    assert "of" not in assertion, "nothing of an action's output is what was rejected"
    assert AuditEntry.objects.filter(action="dataset.saved", target="outreach").count() == 1


def test_where_a_person_step_asked_its_output_is_judged(desk: Desk) -> None:
    for path, judged in (("send", "send"), ("send#2", None)):
        a_person_step(desk, path)
        approval = a_rejection(desk)
        Approval.objects.filter(pk=approval.pk).update(path=path)
        rejections.add(desk.actor("alice"), approval.pk, "outreach")
        assert Case.objects.order_by("id").last().asserts[0].get("of") == judged  # type: ignore[union-attr]


def test_the_longest_reason_still_makes_a_rubric_and_stands_whole_in_the_context(desk: Desk) -> None:
    approval = a_rejection(desk, "x" * 4_000)
    rejections.add(desk.actor("alice"), approval.pk, "outreach")
    assert Case.objects.get().context["reason"] == "x" * 4_000


def test_a_rejection_joins_the_cases_that_are_there_under_a_name_of_its_own(desk: Desk) -> None:
    for number in (1, 2):
        assert rejections.add(desk.actor("alice"), a_rejection(desk).pk, "outreach", "Too loud").number == number
    newest = DatasetVersion.objects.get(number=2)
    assert list(Case.objects.filter(version=newest).values_list("name", flat=True)) == ["Too loud", "Too loud (2)"]


def test_only_what_a_person_rejected_makes_a_case(desk: Desk) -> None:
    waits, approved, late = (an_approval(desk.run) for _ in range(3))
    services.decide(desk.actor("bob"), approved.pk, approve(approved))
    fall_due(late)
    Approval.objects.filter(pk=late.pk).update(state="expired", decided_at=late.created_at)
    money = a_question(desk.run, "budget", payload={"add_usd": "2"})
    services.decide(desk.actor("carol"), money.pk, Decision("reject", reason="No."))
    for approval in (waits, approved, late, money):
        with pytest.raises(Conflict) as refusal:
            rejections.add(desk.actor("alice"), approval.pk, "outreach")
        assert refusal.value.code == "not_rejected"
    assert not Dataset.objects.exists()


def test_who_may_not_edit_saves_no_rejection_and_charlie_does_not_find_it(desk: Desk) -> None:
    approval = a_rejection(desk)
    for name in ("bob", "carol", "erin"):
        with pytest.raises(Forbidden):
            rejections.add(desk.actor(name), approval.pk, "outreach")
        assert signed_in_as(getattr(desk.team, name)).get(f"/approvals/{approval.pk}/case/").status_code == 403
    with pytest.raises(NotFound):
        rejections.add(acting(desk.team.charlie), approval.pk, "outreach")
    assert not Dataset.objects.exists()


def test_a_rejection_of_a_pipeline_that_is_kept_for_others_is_not_found(desk: Desk) -> None:
    approval = a_rejection(desk)
    sharing.put(desk.actor("dana"), desk.run.pipeline, Lists(see=("reviewer",)))
    with pytest.raises(NotFound):
        rejections.add(desk.actor("alice"), approval.pk, "outreach")


def test_a_program_saves_a_rejection(desk: Desk) -> None:
    approval = a_rejection(desk)
    alice, bob = (bearer(person, desk.team.workspace) for person in (desk.team.alice, desk.team.bob))
    address, body = f"/api/v1/approvals/{approval.pk}/case", {"dataset": "outreach", "name": "Too loud"}
    refused = Client().post(address, body, "application/json", headers=bob)
    saved = Client().post(address, body, "application/json", headers=alice)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (saved.status_code, saved.json()["version"], saved.json()["cases"]) == (201, 1, 1)
    waits = an_approval(desk.run)
    early = Client().post(f"/api/v1/approvals/{waits.pk}/case", body, "application/json", headers=alice)
    assert (early.status_code, early.json()["code"]) == (409, "not_rejected")


def test_the_decision_page_leads_to_the_form_and_the_form_saves(desk: Desk) -> None:
    approval = a_rejection(desk, "<b>No</b>, because.")
    alice, bob = signed_in_as(desk.team.alice), signed_in_as(desk.team.bob)
    page = f"/approvals/{approval.pk}/"
    assert f'href="{page}case/">Make it a test case' in alice.get(page).content.decode()
    assert "who edits pipelines can make it a test case" in bob.get(page).content.decode()
    assert "test case" not in alice.get(f"/approvals/{an_approval(desk.run).pk}/").content.decode()
    form = alice.get(f"{page}case/").content.decode()
    assert "Rejected because:</b> &lt;b&gt;No&lt;/b&gt;, because." in form
    wrong = alice.post(f"{page}case/", {"dataset": "No Name!"})
    assert wrong.status_code == 422
    assert "small letters" in wrong.content.decode()
    saved = alice.post(f"{page}case/", {"dataset": "outreach", "name": "Too loud"})
    assert (saved.status_code, saved["Location"]) == (302, "/datasets/outreach/")
    assert "not_rejected_again" in alice.get("/datasets/outreach/").content.decode()


def test_a_judge_holds_the_next_answer_against_the_reason(team: Team, worker: Worker) -> None:
    approve = {"kind": "human", "mode": "approve", "guards": "send", "roles": ["reviewer"]}
    mailer = an_echo(team, "mailer", approve=approve, send=SEND)
    run = start_run(acting(team.alice), mailer, Order({"text": "Buy now!"}))
    Run.objects.filter(pk=run.pk).update(started_by=None)
    wait_for(lambda: Approval.objects.filter(run=run).exists(), 30)
    asked = Approval.objects.get(run=run)
    Approval.objects.filter(pk=asked.pk).update(barred=[])
    services.decide(acting(team.bob), asked.pk, Decision("reject", asked.payload_hash, reason="Nobody shouts here."))
    rejections.add(acting(team.alice), asked.pk, "shouts")

    done = evaluated(team, mailer, dataset="shouts", judge="demo/judge")

    [result] = done.results.all()
    [metric] = result.metrics.all()
    assert (result.state, metric.name) == ("scored", "not_rejected_again")
    assert metric.run is not None
    judged = Step.objects.get(run=metric.run, path="judge").input
    assert "Nobody shouts here." in judged["rubrics"][0]["rubric"]
    answered = metric.run.input["text"].partition("The context:")[0]
    assert "a@b.example" in answered, "what would be approved now is judged, not what the run gives back"
