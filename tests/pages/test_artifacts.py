"""A value too large for a row: the drawer shows its beginning, and who may see the run may download all of it."""

from typing import Any

import pytest
from django.http import HttpResponse

from pipelines.graph.canonical import canonical_json, digest
from runs import artifacts, tallies
from runs.models import Artifact, Run, Step
from tests.pages.builders import HOSTILE, World, a_step
from tests.people import acting, signed_in_as
from tests.pipelines.builders import a_published_pipeline

REPORT = HOSTILE + "All about tides. " * 30_000
ROWS = {"rows": [{"n": n, "name": f"customer {n}"} for n in range(9_000)]}


def keep(run: Run, value: Any) -> dict[str, Any]:
    kept = Artifact.objects.create(run=run, hash=digest(value), size=len(canonical_json(value)), value=value)
    return {"hash": kept.hash, "size": kept.size}


@pytest.fixture
def step(world: World) -> Step:
    large = {"output": keep(world.run, REPORT), "input": keep(world.run, ROWS)}
    return a_step(world.run, "report", "agent", state="succeeded", large=large)


def read(world: World, address: str, name: str = "bob", **query: str) -> HttpResponse:
    found: HttpResponse = signed_in_as(getattr(world.team, name)).get(address, query)
    return found


def address_of(world: World, value: Any) -> str:
    return f"/api/v1/runs/{world.run.pk}/artifacts/{digest(value)}"


def test_the_drawer_shows_the_beginning_and_offers_the_rest(world: World, step: Step) -> None:
    content = read(world, f"/runs/{world.run.pk}/step/", path="report").content.decode()
    assert "All about tides." in content
    assert "<script>alert" not in content
    assert content.count("All about tides.") < 300
    assert "The beginning of 498.1\xa0KB" in content
    assert f'href="{address_of(world, REPORT)}?form=text" download' in content
    assert "customer 3" in content, "the input's beginning is there as JSON"
    assert "customer 8999" not in content
    assert "Nothing yet" not in content


def test_a_text_is_downloaded_as_it_is_and_as_the_json_that_its_hash_is_of(world: World, step: Step) -> None:
    text = read(world, address_of(world, REPORT), form="text")
    assert text.content.decode() == REPORT
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    plain = read(world, address_of(world, REPORT))
    assert plain.content == canonical_json(REPORT)
    rows = read(world, address_of(world, ROWS), form="text")
    assert rows.content == canonical_json(ROWS)
    for answer, ending in ((text, "txt"), (plain, "json"), (rows, "json")):
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer["Content-Disposition"].endswith(f'.{ending}"')
        assert answer["X-Content-Type-Options"] == "nosniff"


def test_the_api_says_which_value_stands_where_null_is(world: World, step: Step) -> None:
    found = read(world, f"/api/v1/runs/{world.run.pk}/steps").json()["items"]
    row = next(item for item in found if item["path"] == "report")
    assert (row["output"], row["input"]) == (None, None)
    kept = row["artifacts"]["output"]
    assert (kept["hash"], kept["size"]) == (digest(REPORT), len(canonical_json(REPORT)))
    assert kept["url"].endswith(address_of(world, REPORT))
    assert next(item for item in found if item["path"] == "research")["artifacts"] == {}


@pytest.mark.parametrize("wrong", ["sha256:" + "0" * 64, "sha256:x", "none", "sha256:" + "A" * 64])
def test_a_value_that_the_run_does_not_have_is_not_there(world: World, step: Step, wrong: str) -> None:
    answer = read(world, f"/api/v1/runs/{world.run.pk}/artifacts/{wrong}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_value_of_another_run_is_not_there_and_charlie_gets_nothing(world: World, step: Step) -> None:
    other = Run.objects.create(
        workspace=world.team.elsewhere, pipeline=world.pipeline, version=world.run.version, number=1
    )
    assert read(world, address_of(world, REPORT), "charlie").status_code == 404
    theirs = f"/api/v1/runs/{other.pk}/artifacts/{digest(REPORT)}"
    assert read(world, theirs, "charlie").status_code == 404, "the run is charlie's, the value is not"
    assert read(world, theirs).status_code == 404


def test_a_for_each_counts_the_items_it_was_given_in_a_large_list(world: World) -> None:
    reference = {**keep(world.run, {"over": ROWS["rows"]}), "lengths": {"over": 9_000}}
    a_step(world.run, "all", "each", state="running", large={"input": reference})
    assert dict(tallies.Rows(world.run).items())["all"] == 9_000


# What a run was given


TEXT = HOSTILE + "A line about tides.\r\n" * 50_000


@pytest.fixture
def given(world: World) -> Run:
    """A run that was started with a megabyte on the pipeline's page, as its worker would have left it."""
    a_published_pipeline(acting(world.team.alice))
    answer = signed_in_as(world.team.alice).post("/pipelines/brief/run/", {"field-topic": TEXT})
    run = Run.objects.get(pipeline__slug="brief")
    assert answer["Location"] == f"/runs/{run.pk}/", answer.content
    a_step(run, "start", "input", state="succeeded", port="done", large={"output": run.large["input"]})
    a_step(run, "write", "agent", state="succeeded", port="done", output="Tides rise.")
    Run.objects.filter(pk=run.pk).update(state="succeeded", output="Tides rise.")
    return run


def test_the_form_of_a_pipeline_takes_a_megabyte(world: World, given: Run) -> None:
    assert given.input is None
    assert Artifact.objects.get(run=given).value == {"topic": TEXT.replace("\r\n", "\n")}
    content = read(world, "/pipelines/brief/run/", "alice", draft="").content.decode()
    assert content.count("A line about tides.") == 50_000, "a test begins with what was given last"
    assert "<script>alert" not in content


@pytest.mark.parametrize("page", ["", "?view=timeline", "?view=steps", "?view=log", "step/?path=start", "rate/"])
def test_pages_of_a_run_show_no_more_than_the_beginning_of_what_it_was_given(
    world: World, given: Run, page: str
) -> None:
    answer = read(world, f"/runs/{given.pk}/{page}", "alice")
    assert answer.status_code == 200
    content = answer.content.decode()
    assert content.count("A line about tides.") < 1_500
    assert "<script>alert" not in content
    assert ("A line about tides." in content) == (page in ("step/?path=start", "rate/"))


def test_lists_show_runs_with_large_inputs_among_the_others(world: World, given: Run) -> None:
    for page in ("/runs/", "/pipelines/", "/pipelines/brief/run/", "/"):
        answer = read(world, page, "alice")
        assert answer.status_code == 200
        assert "A line about tides." not in answer.content.decode()


def test_a_fork_edits_all_of_what_was_given(world: World, given: Run) -> None:
    content = read(world, f"/runs/{given.pk}/fork/", "alice", path="start").content.decode()
    assert content.count("A line about tides.") == 50_000
    alice = signed_in_as(world.team.alice)
    posted = {"edited_path": "start", "form": "fields", "field-topic": TEXT + "And more."}
    answer = alice.post(f"/runs/{given.pk}/fork/", posted)
    fork = Run.objects.get(forked_from=given)
    assert answer["Location"] == f"/runs/{fork.pk}/"
    assert artifacts.input_of(fork)["topic"].endswith("tides.\nAnd more.")
    assert charlie_sees_nothing_of(world, fork)


def charlie_sees_nothing_of(world: World, run: Run) -> bool:
    address = f"/api/v1/runs/{run.pk}/artifacts/{run.large['input']['hash']}"
    pages = [f"/runs/{run.pk}/", f"/runs/{run.pk}/fork/?path=start", address]
    return all(read(world, page, "charlie").status_code == 404 for page in pages)
