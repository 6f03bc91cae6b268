"""What people do on pages: run, stop, approve, edit, reject, answer; each as a plain form."""

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from approvals.models import Approval
from runs.models import Inbox, Run
from tests.approvals.builders import EMAIL, a_question
from tests.pages.builders import World, a_step, an_event
from tests.people import signed_in_as

INPUT = {
    "field-company": "Halden Metals",
    "field-contact": "Ingrid",
    "field-email": "ingrid@halden.example",
    "field-product": "A planner",
}


def decide(browser: Client, approval: Approval, **posted: str) -> Any:
    return browser.post(f"/approvals/{approval.pk}/", {"payload_hash": approval.payload_hash, **posted})


def test_run_starts_a_run_and_opens_its_page(world: World) -> None:
    response = signed_in_as(world.team.alice).post(f"/pipelines/{world.pipeline.slug}/run/", INPUT)
    started = Run.objects.exclude(pk=world.run.pk).get()
    assert response["Location"] == f"/runs/{started.pk}/"
    assert started.input["company"] == "Halden Metals"
    assert started.started_by == world.team.alice


def test_a_refused_input_keeps_what_was_typed(world: World) -> None:
    posted = {**INPUT, "field-company": "x" * 300}
    response = signed_in_as(world.team.alice).post(f"/pipelines/{world.pipeline.slug}/run/", posted)
    assert response.status_code == 422
    assert "x" * 300 in response.content.decode()
    assert Run.objects.count() == 1


def test_somebody_who_may_not_run_is_told_so(world: World) -> None:
    response = signed_in_as(world.team.erin).post(f"/pipelines/{world.pipeline.slug}/run/", INPUT)
    assert response.status_code == 403
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "fact"),
    [("cancel", "cancel_requested"), ("pause", "pause_requested"), ("resume", "resume_requested")],
)
def test_stop_pause_and_resume_reach_the_run(world: World, name: str, fact: str) -> None:
    signed_in_as(world.team.alice).post(f"/runs/{world.run.pk}/{name}/")
    assert Inbox.objects.get(run=world.run).fact["fact"] == fact


@pytest.mark.parametrize(
    ("posted", "label"),
    [("each[2].draft#1.look", "this step"), ("each[2].draft#1", "round 1"), ("each[2]", "item 3")],
)
def test_a_step_and_what_it_runs_in_are_stopped_from_its_drawer(world: World, posted: str, label: str) -> None:
    a_step(world.run, "each[2].draft#1.look", "agent", state="running", title="Look")
    address = f"/runs/{world.run.pk}/step/?path={quote('each[2].draft#1.look')}"
    carol = signed_in_as(world.team.carol)
    drawer = carol.get(address).content.decode()
    assert f'name="path" value="{posted}"' in drawer
    assert f"Stop {label}</button>" in drawer
    response = carol.post(f"/runs/{world.run.pk}/stop/", {"path": posted})
    assert response["Location"] == f"/runs/{world.run.pk}/"
    told = Inbox.objects.get(run=world.run).fact
    assert (told["fact"], told["path"], told["by"]) == ("stop_requested", posted, world.team.carol.email)


@pytest.mark.parametrize(("name", "status"), [("bob", 403), ("charlie", 404)])
def test_who_may_not_stop_the_run_stops_no_step(world: World, name: str, status: int) -> None:
    browser = signed_in_as(getattr(world.team, name))
    assert browser.post(f"/runs/{world.run.pk}/stop/", {"path": "approve"}).status_code == status
    assert not Inbox.objects.filter(run=world.run).exists()
    drawer = signed_in_as(world.team.bob).get(f"/runs/{world.run.pk}/step/?path=approve").content.decode()
    assert "Stop this step" not in drawer


def test_what_has_ended_offers_no_stop_and_says_so_when_it_is_told_to(world: World) -> None:
    alice = signed_in_as(world.team.alice)
    assert "Stop this step" not in alice.get(f"/runs/{world.run.pk}/step/?path=research").content.decode()
    assert "Stop this step" in alice.get(f"/runs/{world.run.pk}/step/?path=approve").content.decode()
    response = alice.post(f"/runs/{world.run.pk}/stop/", {"path": "research"})
    assert response.status_code == 409
    assert "research has ended already." in response.content.decode()
    Run.objects.filter(pk=world.run.pk).update(state="cancelled")
    assert "Stop this step" not in alice.get(f"/runs/{world.run.pk}/step/?path=approve").content.decode()


def test_a_run_that_paused_by_itself_can_be_resumed_from_its_page(world: World) -> None:
    """The page asks for its buttons anew when the run pauses, since a fragment of the socket carries no CSRF token."""
    alice = signed_in_as(world.team.alice)
    address = f"/runs/{world.run.pk}"
    Run.objects.filter(pk=world.run.pk).update(state="running")
    assert f'action="{address}/pause/"' in alice.get(f"{address}/buttons/").content.decode()
    Run.objects.filter(pk=world.run.pk).update(state="paused")
    world.run.refresh_from_db()
    paused = an_event(world.run, "run_paused", before="send")
    assert "data-asks" in alice.get(f"{address}/changes?after={paused.seq - 1}").content.decode()
    shown = alice.get(f"{address}/buttons/").content.decode()
    assert f'action="{address}/resume/"' in shown
    assert "csrfmiddlewaretoken" in shown
    assert "<form" not in signed_in_as(world.team.bob).get(f"{address}/buttons/").content.decode()


def test_a_reviewer_cannot_stop_a_run(world: World) -> None:
    assert signed_in_as(world.team.bob).post(f"/runs/{world.run.pk}/cancel/").status_code == 403
    assert not Inbox.objects.exists()


def test_approve_approves_what_was_shown(world: World) -> None:
    decide(signed_in_as(world.team.bob), world.approval, decision="approve")
    world.approval.refresh_from_db()
    assert world.approval.state == "approved"
    assert Inbox.objects.get(run=world.run).fact["payload"] == EMAIL


def test_an_old_page_cannot_approve_what_changed_since(world: World) -> None:
    browser = signed_in_as(world.team.bob)
    response = decide(browser, world.approval, decision="approve", payload_hash="sha256:" + "0" * 64)
    assert response.status_code == 409
    world.approval.refresh_from_db()
    assert world.approval.state == "open"


def test_an_edit_replaces_only_what_was_touched(world: World) -> None:
    fields = {f"field-{name}": value for name, value in EMAIL["args"].items()}
    edited = {**fields, "field-subject": "Good morning"}
    decide(signed_in_as(world.team.bob), world.approval, decision="approve", edited="1", **edited)
    payload = Inbox.objects.get(run=world.run).fact["payload"]
    assert payload == {**EMAIL, "args": {**EMAIL["args"], "subject": "Good morning"}}


def test_an_untouched_edit_is_no_edit(world: World) -> None:
    fields = {f"field-{name}": value for name, value in EMAIL["args"].items()}
    decide(signed_in_as(world.team.bob), world.approval, decision="approve", edited="1", **fields)
    world.approval.refresh_from_db()
    assert world.approval.asked is None
    assert world.approval.payload == EMAIL


def test_a_rejection_needs_a_reason_and_says_so(world: World) -> None:
    response = decide(signed_in_as(world.team.bob), world.approval, decision="reject", reason="  ")
    assert response.status_code == 422
    assert "Say why you reject it" in response.content.decode()


def test_the_starter_cannot_approve_their_own_run(world: World) -> None:
    response = decide(signed_in_as(world.team.alice), world.approval, decision="approve")
    assert response.status_code == 403
    world.approval.refresh_from_db()
    assert world.approval.state == "open"


def test_opening_a_decision_decides_nothing(world: World) -> None:
    signed_in_as(world.team.bob).get(f"/approvals/{world.approval.pk}/?decision=approve")
    world.approval.refresh_from_db()
    assert world.approval.state == "open"


def test_a_decision_without_the_csrf_token_is_refused(world: World) -> None:
    browser = signed_in_as(world.team.bob, csrf=True)
    assert decide(browser, world.approval, decision="approve").status_code == 403


def test_a_question_is_answered_with_its_form(world: World) -> None:
    form = {"type": "object", "required": ["lead"], "properties": {"lead": {"type": "string", "enum": ["A", "B"]}}}
    question = a_question(world.run, "answer", form=form, roles=["reviewer"])
    decide(signed_in_as(world.team.bob), question, decision="answer", **{"field-lead": "B"})
    assert Inbox.objects.get(run=world.run).fact["payload"] == {"lead": "B"}


FORM = {
    "type": "object",
    "required": ["lead"],
    "properties": {
        "lead": {"type": "string", "enum": ["A", "B"]},
        "many": {"type": "integer"},
        "sure": {"type": "boolean", "default": True},
        "more": {"type": "string"},
        "rest": {"type": "object"},
    },
}


@pytest.mark.parametrize(
    ("kind", "changes"), [("failure", {"form": FORM}), ("outcome_unknown", {"payload": EMAIL, "action": {"tool": "x"}})]
)
def test_an_output_is_used_as_it_was_typed_whatever_was_sent_or_is_wanted(
    world: World, kind: str, changes: dict[str, Any]
) -> None:
    question = a_question(world.run, kind, roles=["reviewer"], **changes)
    decide(signed_in_as(world.team.bob), question, decision="use", value='{"lead": "B"}')
    assert Inbox.objects.get(run=world.run).fact["payload"] == {"lead": "B"}


def test_an_output_that_does_not_fit_is_refused_with_what_was_typed(world: World) -> None:
    question = a_question(world.run, "failure", form=FORM, roles=["reviewer"])
    response = decide(signed_in_as(world.team.bob), question, decision="use", value='{"lead": "C"}')
    assert response.status_code == 422
    assert "{&quot;lead&quot;: &quot;C&quot;}</textarea>" in response.content.decode()


def test_a_refused_answer_keeps_what_was_typed_into_its_fields(world: World) -> None:
    question = a_question(world.run, "answer", form=FORM, roles=["reviewer"])
    typed = {"field-lead": "B", "field-many": "a dozen", "field-more": "<i>typed</i>", "field-rest": '{"half'}
    response = decide(signed_in_as(world.team.bob), question, decision="answer", **typed)
    content = response.content.decode()
    assert response.status_code == 422
    assert '<option value="B" selected>' in content
    assert 'name="field-many" value="a dozen"' in content
    assert "&lt;i&gt;typed&lt;/i&gt;" in content
    assert ">{&quot;half</textarea>" in content
    assert "checked" not in content, "what was unticked stays so"


def test_a_refused_edit_keeps_what_was_typed_and_still_shows_what_would_run(world: World) -> None:
    fields = {f"field-{name}": value for name, value in EMAIL["args"].items()}
    posted = {**fields, "field-subject": "My better subject", "payload_hash": "sha256:" + "0" * 64}
    response = decide(signed_in_as(world.team.bob), world.approval, decision="approve", edited="1", **posted)
    content = response.content.decode()
    assert response.status_code == 409
    assert "What would run is no longer what you saw" in content
    before, form = content.split('id="acts"')
    assert 'value="My better subject"' in form
    assert "My better subject" not in before
    assert EMAIL["args"]["subject"] in before


def test_a_refused_rejection_leaves_the_fields_of_the_edit_as_they_are(world: World) -> None:
    response = decide(signed_in_as(world.team.bob), world.approval, decision="reject", reason=" ")
    assert f'value="{EMAIL["args"]["subject"]}"' in response.content.decode().split('id="acts"')[1]


def test_money_is_added_by_a_manager(world: World) -> None:
    question = a_question(world.run, "budget")
    decide(signed_in_as(world.team.carol), question, decision="approve", add_usd="$2.50")
    assert Inbox.objects.get(run=world.run).fact["payload"] == {"add_usd": "2.50"}


@pytest.mark.parametrize(
    ("posted", "payload"),
    [
        ({"decision": "retry"}, None),
        ({"decision": "skip"}, None),
        ({"decision": "use", "value": '{"ok": true}'}, {"ok": True}),
        ({"decision": "use", "value": "plain words"}, "plain words"),
    ],
)
@pytest.mark.parametrize("kind", ["failure", "outcome_unknown"])
def test_a_failed_step_is_retried_skipped_or_replaced(
    world: World, kind: str, posted: dict[str, str], payload: Any
) -> None:
    question = a_question(world.run, kind, roles=["reviewer"])
    decide(signed_in_as(world.team.bob), question, **posted)
    fact = Inbox.objects.get(run=world.run).fact
    assert (fact["decision"], fact["payload"]) == (posted["decision"], payload)


def test_a_claim_is_seen_by_the_others_and_can_be_given_back(world: World) -> None:
    browser, page = signed_in_as(world.team.bob), f"/approvals/{world.approval.pk}/"
    browser.post(f"{page}claim/")
    world.approval.refresh_from_db()
    assert world.approval.claimed_by == world.team.bob
    assert "Give it back" in browser.get(page).content.decode()
    browser.post(f"{page}release/")
    world.approval.refresh_from_db()
    assert world.approval.claimed_by is None


def test_only_colleagues_who_may_answer_are_offered(world: World) -> None:
    content = signed_in_as(world.team.bob).get(f"/approvals/{world.approval.pk}/").content.decode()
    assert f'value="{world.team.alice.email}"' not in content
    assert f'value="{world.team.bob.email}"' not in content


def test_a_question_cannot_be_handed_to_its_starter(world: World) -> None:
    page = f"/approvals/{world.approval.pk}/"
    response = signed_in_as(world.team.bob).post(f"{page}hand-over/", {"user": world.team.alice.email})
    assert response.status_code == 422
    assert "Choose somebody else" in response.content.decode()


def test_a_comment_stands_and_decides_nothing(world: World) -> None:
    page = f"/approvals/{world.approval.pk}/"
    signed_in_as(world.team.alice).post(f"{page}comment/", {"text": "<b>Please look twice.</b>"})
    content = signed_in_as(world.team.bob).get(page).content.decode()
    assert "&lt;b&gt;Please look twice." in content
    world.approval.refresh_from_db()
    assert world.approval.state == "open"


@pytest.mark.parametrize("act", ["claim", "release", "hand-over", "comment"])
def test_charlie_and_forged_forms_reach_no_question(world: World, act: str) -> None:
    address = f"/approvals/{world.approval.pk}/{act}/"
    posted = {"text": "x", "user": world.team.bob.email}
    assert signed_in_as(world.team.charlie).post(address, posted).status_code == 404
    assert signed_in_as(world.team.bob, csrf=True).post(address, posted).status_code == 403
    assert signed_in_as(world.team.bob).get(address).status_code == 405
    world.approval.refresh_from_db()
    assert (world.approval.claimed_by, world.approval.comments.count()) == (None, 0)


@pytest.mark.parametrize("act", ["claim", "hand-over"])
def test_the_starter_takes_nothing_into_their_hands(world: World, act: str) -> None:
    address = f"/approvals/{world.approval.pk}/{act}/"
    assert signed_in_as(world.team.alice).post(address, {"user": world.team.bob.email}).status_code == 403


def test_a_question_about_money_shows_no_raw_names(world: World) -> None:
    question = a_question(world.run, "budget", show={"cap": "run", "spent_usd": "0"})
    assert "usd</h3>" not in signed_in_as(world.team.carol).get(f"/approvals/{question.pk}/").content.decode().lower()


@pytest.mark.parametrize("asked", [None, {"add_usd": "2.00"}, {"add_tokens": 5_000}])
def test_a_cap_of_any_unit_can_be_raised_as_proposed(world: World, asked: Any) -> None:
    question = a_question(world.run, "budget", payload=asked)
    browser = signed_in_as(world.team.carol)
    content = browser.get(f"/approvals/{question.pk}/").content.decode()
    assert ('name="add_usd"' in content) is (asked != {"add_tokens": 5_000})
    if asked:
        decide(browser, question, decision="approve", **{"add_usd": asked["add_usd"]} if "add_usd" in asked else {})
        assert Inbox.objects.get(run=world.run).fact["payload"] == asked
