"""A run that a step started: its page says whose it is, its parent leads to it, lists show what people started."""

from typing import Any

import pytest

from runs.models import Run, Step
from tests.pages.builders import World, a_run_of
from tests.people import bearer, signed_in_as


@pytest.fixture
def child(world: World) -> Run:
    world.run.children = 1
    world.run.save(update_fields=["children"])
    return a_run_of(
        world.pipeline,
        world.team,
        state="succeeded",
        parent=world.run,
        parent_path="research",
        parent_count=1,
        cost_micros=20_000,
        input={"company": "Child Works"},
    )


def page(world: World, address: str) -> str:
    return str(signed_in_as(world.team.bob).get(address).content.decode())


def test_a_child_names_its_parent_and_the_step(world: World, child: Run) -> None:
    content = page(world, f"/runs/{child.pk}/")
    assert "Part of" in content
    assert f"#{world.run.number}" in content
    assert f"/runs/{world.run.pk}/step/?path=research" in content


def test_a_parent_leads_to_its_children_and_costs_what_they_cost(world: World, child: Run) -> None:
    content = page(world, f"/runs/{world.run.pk}/")
    assert f"/runs/?of={world.run.pk}" in content
    assert "$0.02" in content
    drawer = page(world, f"/runs/{world.run.pk}/step/?path=research")
    assert f"/runs/{child.pk}/" in drawer
    assert "Runs it started" in drawer


def test_the_list_shows_the_runs_that_people_started(world: World, child: Run) -> None:
    link = f"/runs/{child.pk}/"
    assert link not in page(world, "/runs/")
    every = page(world, "/runs/?of=all")
    assert link in every
    assert f"of #{world.run.number}" in every
    of_parent = page(world, f"/runs/?of={world.run.pk}")
    assert link in of_parent
    assert f"run #{world.run.number}" in of_parent
    assert signed_in_as(world.team.bob).get("/runs/?of=nonsense").status_code == 404
    assert signed_in_as(world.team.charlie).get(f"/runs/?of={world.run.pk}").status_code in (403, 404)


def test_the_desk_says_that_a_question_is_of_a_part(world: World, child: Run) -> None:
    world.approval.run = child
    world.approval.save(update_fields=["run"])
    content = page(world, f"/approvals/{world.approval.pk}/")
    assert f"part of run #{world.run.number}" in content
    asks = page(world, f"/runs/{world.run.pk}/asks/")
    assert f"/approvals/{world.approval.pk}/" in asks, "the parent's page shows what its parts ask"


def test_programs_see_parents_children_and_the_cost_of_both(client: Any, world: World, child: Run) -> None:
    token = bearer(world.team.bob, world.team.workspace)

    def read(address: str) -> Any:
        return client.get(f"/api/v1{address}", headers=token).json()

    parent = read(f"/runs/{world.run.pk}")
    assert (parent["children"], parent["parent"]) == (1, None)
    assert (parent["cost_usd"], parent["own_cost_usd"]) == ("0.02", "0")
    assert read(f"/runs/{child.pk}")["parent"] == {"run": str(world.run.pk), "path": "research"}
    listed = [item["id"] for item in read(f"/runs?parent={world.run.pk}")["items"]]
    assert listed == [str(child.pk)]
    top = [item["id"] for item in read("/runs?parent=none")["items"]]
    assert str(child.pk) not in top
    assert client.get("/api/v1/runs?parent=nonsense", headers=token).status_code == 404
    approval = read(f"/approvals/{world.approval.pk}")
    assert approval["parent"] is None


def test_lineage_goes_on_in_the_child(client: Any, world: World, child: Run) -> None:
    Step.objects.filter(run=world.run, path="research").update(kind="pipeline")
    token = bearer(world.team.bob, world.team.workspace)
    found = client.get(f"/api/v1/runs/{world.run.pk}/lineage?path=research", headers=token).json()
    assert found["items"][0]["runs"] == [
        {"run": str(child.pk), "number": child.number, "pipeline": child.pipeline.slug, "state": "succeeded"}
    ]
    of_child = client.get(f"/api/v1/runs/{child.pk}/lineage?path=none", headers=token)
    assert of_child.status_code == 404
