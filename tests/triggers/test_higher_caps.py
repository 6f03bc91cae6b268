"""A trigger that is held to a version gives later runs its caps: to raise them so needs what publishing needs."""

from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.errors import Forbidden, Invalid
from accounts.models import AuditEntry
from pipelines import drafts, publish, splits
from pipelines.models import BudgetChange, Draft, Pipeline
from runs.models import Trigger
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.people import Team, a_team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document
from tests.pipelines.builders import a_published_pipeline as a_first_version
from tests.triggers.builders import fresh

pytestmark = pytest.mark.django_db
PAGE, NEW = "/settings/triggers/nightly/", "/settings/triggers/+new/"
TYPED = {"kind": "event", "slug": "nightly", "pipeline": "brief", "topic": "orders"}


@pytest.fixture
def team(db: None) -> Team:
    """A team whose pipeline lets a run spend $1 in version 1, and half of that in version 2, which is published."""
    team = a_team()
    pipeline = a_first_version(acting(team.alice))
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(acting(team.alice), pipeline, a_document(budget={"max_cost_usd": "0.50"}), revision)
    publish.publish(acting(team.alice), pipeline)
    return team


def a_trigger(actor: Actor, **fields: Any) -> Trigger:
    return definitions.create(actor, TriggerFields("nightly", "event", "brief", **{"topic": "orders"} | fields))


def test_a_composer_holds_no_trigger_to_a_version_with_a_higher_cap(team: Team) -> None:
    alice = acting(team.alice)
    with pytest.raises(Forbidden, match=r"raises the cap of a run of Brief from \$0.5 to \$1") as refusal:
        a_trigger(alice, version=1, reason="I want to")
    assert refusal.value.code == "may_not_raise_cap"
    assert not Trigger.objects.exists()
    trigger = a_trigger(alice, version=2)
    with pytest.raises(Forbidden):
        definitions.update(alice, "nightly", {"version": 1, "reason": "I want to"})
    assert fresh(trigger).version == 2
    assert not BudgetChange.objects.exists()


def test_whoever_sets_budgets_does_so_with_a_reason_and_that_is_kept(team: Team) -> None:
    dana = acting(team.dana)
    with pytest.raises(Invalid) as refusal:
        a_trigger(dana, version=1, reason=" ")
    assert (refusal.value.code, refusal.value.where) == ("reason_needed", "/reason")
    a_trigger(dana, version=1, reason="The fair")
    [change] = BudgetChange.objects.all()
    assert (change.scope, change.act, change.was_micros, change.cap_micros, change.reason) == (
        "pipeline brief/run", "raised", 500_000, 1_000_000, "The fair",
    )  # fmt: skip
    entry = AuditEntry.objects.get(action="pipeline.cap_raised")
    caps = [{"cap": "max_cost_micros", "was": 500_000, "now": 1_000_000}]
    assert (entry.target, entry.data) == ("brief", {"version": 1, "caps": caps, "trigger": "nightly"})
    assert "reason" not in AuditEntry.objects.get(action="trigger_added").data


def test_what_a_trigger_is_held_to_already_is_not_raised_anew(team: Team) -> None:
    a_trigger(acting(team.dana), version=1, reason="The fair")
    alice = acting(team.alice)
    definitions.update(alice, "nightly", {"input": {"topic": "fairs"}})
    definitions.update(alice, "nightly", {"enabled": False})
    assert definitions.update(alice, "nightly", {"enabled": True}).version == 1
    definitions.update(alice, "nightly", {"version": None})
    with pytest.raises(Forbidden):
        definitions.update(alice, "nightly", {"version": 1})


def test_another_pipeline_s_version_of_the_same_number_is_another_version(team: Team) -> None:
    alice = acting(team.alice)
    other = drafts.create(alice, a_document("other"))
    publish.publish(alice, other)
    definitions.create(alice, TriggerFields("nightly", "event", "other", version=1, topic="orders"))
    with pytest.raises(Forbidden):
        definitions.update(alice, "nightly", {"pipeline": "brief"})


def test_a_version_that_shares_the_new_runs_is_no_raise(team: Team) -> None:
    pipeline = Pipeline.objects.get(slug="brief")
    splits.put(acting(team.dana), pipeline, [(1, 10), (2, 90)], "To compare")
    assert a_trigger(acting(team.alice), version=1).version == 1


def test_programs_say_why(team: Team) -> None:
    alice, dana = (bearer(person, team.workspace) for person in (team.alice, team.dana))
    body = {"slug": "nightly", "kind": "event", "pipeline": "brief", "topic": "orders"}

    def send(method: str, path: str, headers: dict[str, str], **said: Any) -> tuple[int, str | None]:
        answer = getattr(Client(), method)(f"/api/v1/triggers{path}", said, "application/json", headers=headers)
        return answer.status_code, answer.json().get("code")

    assert send("post", "", alice, **body, version=1, reason="x") == (403, "may_not_raise_cap")
    assert send("post", "", dana, **body, version=1) == (422, "reason_needed")
    assert send("post", "", dana, **body, version=1, reason="The fair") == (201, None)
    assert send("patch", "/nightly", alice, version=2) == (200, None)
    assert send("patch", "/nightly", alice, version=1, reason="x") == (403, "may_not_raise_cap")
    assert send("patch", "/nightly", dana, version=1) == (422, "reason_needed")
    assert send("patch", "/nightly", dana, version=1, reason="x" * 401)[0] == 422
    assert send("patch", "/nightly", dana, version=1, reason="The fair") == (200, None)


def test_the_form_asks_whoever_may_and_tells_the_others_whom_to_ask(team: Team) -> None:
    alice, dana = signed_in_as(team.alice), signed_in_as(team.dana)
    address = f"{NEW}?kind=event&pipeline=brief"
    asks, tells = (one.get(address).content.decode() for one in (dana, alice))
    assert 'name="reason"' in asks
    assert 'name="reason"' not in tells
    assert "What cannot be chosen raises a cap of a run: that is for a manager or admin" in tells
    assert '<option value="1" data-raises disabled>' in tells
    pinned = {**TYPED, "version": "1"}
    assert alice.post(NEW, {**pinned, "reason": "x"}).status_code == 403
    refused = dana.post(NEW, {**pinned, "reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert dana.post(NEW, {**pinned, "reason": "The fair"}).status_code == 302
    assert BudgetChange.objects.get().reason == "The fair"
    theirs = alice.get(PAGE).content.decode()
    assert '<option value="1" selected>' in theirs, "what it is held to already is no raise"
    assert "raises a cap" not in theirs
    assert "data-raises" not in theirs
    assert alice.post(PAGE, pinned).status_code == 302


def test_a_form_whose_versions_raise_nothing_asks_for_no_reason(team: Team) -> None:
    a_trigger(acting(team.dana), version=1, reason="The fair")
    publish.rollback(acting(team.dana), Pipeline.objects.get(slug="brief"), 1, "The fair")
    page = signed_in_as(team.dana).get(f"{NEW}?kind=event&pipeline=brief").content.decode()
    assert 'name="reason"' not in page
