"""A value too large for a row: the drawer shows its beginning, and who may see the run may download all of it."""

from typing import Any

import pytest
from django.http import HttpResponse

from pipelines.graph.canonical import canonical_json, digest
from runs import tallies
from runs.models import Artifact, Run, Step
from tests.pages.builders import HOSTILE, World, a_step
from tests.people import signed_in_as

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
