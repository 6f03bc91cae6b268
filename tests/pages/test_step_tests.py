"""The parts of the editor that try a step: which values they offer, who may, and what comes of hostile words."""

from html import escape
from typing import Any

import pytest
from django.test import Client

from accounts.ids import new_id
from pipelines import drafts, gallery, publish
from pipelines.models import Draft, Pipeline
from runs import step_tests
from runs.models import Run
from tests.pages.builders import HOSTILE, World, a_run_of, a_step
from tests.people import Team, acting, signed_in_as
from tests.pipelines.builders import a_document, a_writer, prompting

TRY = "/pipelines/brief/try/?node=edit"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def team(world: World) -> Team:
    return world.team


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    """start >> write >> edit >> result, where `edit` reads the form and what `write` came to."""
    a_writer(acting(team.alice))
    document = a_document()
    nodes, edges = document["graph"]["nodes"], document["graph"]["edges"]
    nodes["edit"] = {"kind": "agent", "agent": "writer@1", "prompt": "Edit for ${input.topic}: ${steps.write.output}"}
    nodes["result"]["value"] = "${steps.edit.output}"
    edges[1:] = [{"from": "write", "to": "edit"}, {"from": "edit", "to": "result"}]
    return drafts.create(acting(team.alice), document)


def ran(team: Team, pipeline: Pipeline, words: str, topic: str = "tea", **fields: Any) -> Run:
    version = publish.freeze_draft(acting(team.alice), pipeline)
    run = a_run_of(pipeline, team, version=version, state="succeeded", input={"topic": topic}, **fields)
    a_step(run, "write", "agent", state="succeeded", output=words)
    a_step(run, "edit", "agent", state="failed", error={"class": "tool_error", "message": "It broke.", "code": "x"})
    return run


def test_the_form_has_exactly_what_the_step_reads_from_the_newest_run_that_has_it(
    team: Team, pipeline: Pipeline
) -> None:
    run = ran(team, pipeline, "A first text.")
    bare = a_run_of(pipeline, team, version=run.version, state="failed", input={"topic": "coffee"})

    bench = step_tests.bench(acting(team.alice), "brief", "edit")

    assert {field.name: field.value for field in bench.fields} == {
        "input.topic": "tea",
        "steps.write.output": "A first text.",
    }
    assert bench.chosen is not None
    assert bench.chosen.run == run
    assert [offer.run for offer in bench.offers] == [bare, run]
    assert step_tests.bench(acting(team.alice), "brief", "edit", str(bare.pk)).missing == ["Write"]


def test_a_test_is_a_rehearsal_of_that_step_alone_kept_out_of_the_pipeline_s_runs(
    team: Team, pipeline: Pipeline
) -> None:
    ran(team, pipeline, "A first text.")
    alice = signed_in_as(team.alice)
    posted = {"field-input.topic": "tea", "field-steps.write.output": "By hand.", "max_cost_usd": "0.05"}

    answer = alice.post(TRY, posted, headers=HTMX)

    run = Run.objects.get(tags=["test"])
    assert (answer.status_code, run.rehearsal, run.budget["max_cost_micros"]) == (200, True, 50_000)
    assert run.input == {"input": {"topic": "tea"}, "steps": {"write": {"output": "By hand."}}}
    assert run.origin["labels"] == {"input.topic": "user", "steps.write": "model"}
    assert run.pipeline.slug == "STEP-brief"
    assert run.pipeline.archived_at
    assert Run.objects.filter(pipeline=pipeline).count() == 1
    assert f"/pipelines/brief/try/{run.pk}/" in answer.content.decode()
    assert alice.get(f"/pipelines/brief/try/{run.pk}/").status_code == 200
    assert alice.get(f"/runs/{run.pk}/").status_code == 200
    assert alice.post(TRY, posted)["Location"] == f"/runs/{Run.objects.order_by('-created_at')[0].pk}/"


def test_a_missing_value_is_named_and_nothing_starts(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    posted = {"field-input.topic": "tea"}
    answer = alice.post(TRY, posted)
    assert answer.status_code == 422
    assert "The step reads “Write”" in answer.content.decode()
    assert "The step reads “Write”" in alice.post(TRY, posted, headers=HTMX).content.decode()
    assert not Run.objects.filter(tags=["test"]).exists()


def test_a_step_with_an_error_is_not_tried_and_errors_elsewhere_do_not_matter(team: Team, pipeline: Pipeline) -> None:
    alice = acting(team.alice)
    broken = prompting(Draft.objects.get(pipeline=pipeline).document, "${steps.nobody.output}")
    drafts.save(alice, pipeline, broken, 1)

    assert step_tests.bench(alice, "brief", "write").why_not.startswith("This step cannot be tried yet: There is no")
    assert step_tests.bench(alice, "brief", "edit").why_not == ""


@pytest.mark.parametrize("where", ["start", "result"])
def test_what_cannot_be_tried_alone_says_why(team: Team, pipeline: Pipeline, where: str) -> None:
    page = signed_in_as(team.alice).get(f"/pipelines/brief/try/?node={where}").content.decode()
    assert "use Test run" in page
    assert "<button" not in page.partition("<main")[2].partition("</main>")[0]


def test_the_sample_of_a_template_is_offered(team: Team, world: World) -> None:
    bench = step_tests.bench(acting(team.alice), world.pipeline.slug, "research", "sample")
    sample = gallery.template("prospect-outreach").sample
    assert {field.name.partition(".")[2]: field.value for field in bench.fields}.items() <= sample.items()
    assert bench.fields


def test_the_price_is_said_before_and_an_unknown_one_stays_unknown(team: Team, pipeline: Pipeline) -> None:
    page = signed_in_as(team.alice).get(TRY, headers=HTMX).content.decode()
    assert "at most" in page
    a_writer(acting(team.alice), "other", model="demo/writer")
    estimate = step_tests.bench(acting(team.alice), "brief", "edit").estimate
    assert (estimate.kind, estimate.model) == ("one", "demo/writer")
    assert 0 < (estimate.call_micros or 0) < estimate.cap_micros


def test_values_to_pick_show_what_they_were_last(team: Team, pipeline: Pipeline) -> None:
    ran(team, pipeline, HOSTILE)
    page = signed_in_as(team.alice).get("/pipelines/brief/values/?node=edit", headers=HTMX).content.decode()
    assert escape("<script>alert('x')</script>") in page
    assert "<script>" not in page
    assert ">tea<" in page


def test_what_the_step_came_to_in_a_run_stands_above_its_form(team: Team, pipeline: Pipeline) -> None:
    run = ran(team, pipeline, "A first text.")
    alice = signed_in_as(team.alice)
    page = alice.get(f"/pipelines/brief/?node=edit&run={run.pk}&path=edit").content.decode()
    assert f"seen/?node=edit&amp;run={run.pk}" in page
    assert f"data={run.pk}" in page
    seen = alice.get(f"/pipelines/brief/seen/?node=edit&run={run.pk}&path=edit").content.decode()
    assert "It broke." in seen
    assert alice.get("/pipelines/brief/?node=edit&run=nonsense").status_code == 200
    assert alice.get("/pipelines/brief/seen/?node=edit&run=nonsense").status_code == 404


def test_another_pipeline_s_run_is_no_data(team: Team, world: World, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    for data in (world.run.pk, new_id(), "nonsense"):
        assert alice.get(f"{TRY}&data={data}").status_code == 404
    assert alice.get(f"/pipelines/brief/seen/?node=edit&run={world.run.pk}").status_code == 404
    assert alice.get(f"/pipelines/brief/try/{world.run.pk}/").status_code == 404


def test_whoever_may_not_run_sees_the_values_and_starts_nothing(team: Team, pipeline: Pipeline) -> None:
    erin = signed_in_as(team.erin)
    assert "Ask a composer" in erin.get(TRY).content.decode()
    assert erin.post(TRY, {"field-input.topic": "x", "field-steps.write.output": "y"}).status_code == 403
    assert not Run.objects.filter(tags=["test"]).exists()


def test_charlie_finds_nothing_and_a_post_needs_its_token(team: Team, pipeline: Pipeline) -> None:
    run = ran(team, pipeline, "A first text.")
    charlie = signed_in_as(team.charlie)
    for address in (
        "try/?node=edit",
        "values/?node=edit",
        f"seen/?node=edit&run={run.pk}",
        f"try/{run.pk}/",
    ):
        assert charlie.get(f"/pipelines/brief/{address}").status_code == 404, address
    assert charlie.post(TRY, {}).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in_as(team.alice).cookies
    assert strict.post(TRY, {"field-input.topic": "x", "field-steps.write.output": "y"}).status_code == 403
