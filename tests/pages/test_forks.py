"""Rerun from a step, edit its output, fork from the run's page: plain forms that say what they save."""

from typing import Any

import pytest

from runs.models import Run, Step
from tests.pages.builders import World
from tests.people import signed_in_as


def forked(world: World) -> Run:
    return Run.objects.get(forked_from=world.run)


def post(world: World, name: str = "alice", **posted: str) -> Any:
    return signed_in_as(getattr(world.team, name)).post(f"/runs/{world.run.pk}/fork/", posted)


def page(world: World, address: str, name: str = "alice") -> str:
    return signed_in_as(getattr(world.team, name)).get(f"/runs/{world.run.pk}/{address}").content.decode()


def test_rerun_from_here_starts_a_run_and_opens_its_page(world: World) -> None:
    response = post(world, from_path="approve")
    new = forked(world)
    assert response["Location"] == f"/runs/{new.pk}/"
    assert new.saved_micros == 18_400
    content = signed_in_as(world.team.bob).get(response["Location"]).content.decode()
    assert "Forked from" in content
    assert f"from #{world.run.number}" in content
    drawer = signed_in_as(world.team.bob).get(f"/runs/{new.pk}/step/?path=research").content.decode()
    assert "Reused from" in drawer
    assert "there it cost" in drawer


def test_a_step_says_what_a_rerun_saves_to_those_who_may_run(world: World) -> None:
    assert "Reuses 1 paid step and saves" in page(world, "step/?path=approve")
    assert "Rerun from here" not in page(world, "step/?path=approve", "bob")
    assert ">Fork<" not in page(world, "", "bob")
    assert "Edit output" in page(world, "step/?path=research")
    assert "Edit output" not in page(world, "step/?path=approve"), "a person's answer is not written by hand"


def test_the_fork_page_offers_the_steps(world: World) -> None:
    content = page(world, "fork/")
    assert 'value="research"' in content
    assert "The beginning" in content
    post(world, from_path="")
    assert not Step.objects.filter(run=forked(world)).exists()


@pytest.mark.parametrize(
    ("form", "value", "output"),
    [("text", "My\r\nwords", "My\nwords"), ("json", '{"text": "mine"}', {"text": "mine"})],
)
def test_an_output_is_edited_as_text_or_json(world: World, form: str, value: str, output: Any) -> None:
    post(world, edited_path="research", form=form, value=value)
    assert Step.objects.get(run=forked(world), path="research").memo == {"given": output}


def test_a_refused_edit_keeps_what_was_typed(world: World) -> None:
    response = post(world, edited_path="research", form="json", value='{"text": ')
    assert response.status_code == 422
    content = response.content.decode()
    assert "This is not JSON" in content
    assert "{&quot;text&quot;: " in content
    assert Run.objects.count() == 1


def test_the_input_is_edited_with_the_start_form(world: World) -> None:
    Step.objects.create(run=world.run, path="start", node="start", kind="input", state="succeeded", position=0)
    assert "field-company" in page(world, "fork/?path=start")
    given = {"company": "Globex", "contact": "Ann", "email": "ann@globex.example", "product": "A planner"}
    post(world, edited_path="start", form="fields", **{f"field-{name}": value for name, value in given.items()})
    assert forked(world).input["company"] == "Globex"


def test_who_may_not_run_forks_nothing(world: World) -> None:
    assert post(world, "bob", from_path="research").status_code == 403
    assert post(world, "charlie", from_path="research").status_code == 404
    assert Run.objects.count() == 1
    browser = signed_in_as(world.team.alice, csrf=True)
    assert browser.post(f"/runs/{world.run.pk}/fork/", {"from_path": "research"}).status_code == 403


def test_a_step_in_a_round_offers_no_rerun(world: World) -> None:
    """What a round does depends on the rounds before it, so a fork may begin only around the whole Repeat."""
    Step.objects.create(
        run=world.run, path="polish#1.draft", node="draft", kind="agent", title="A draft", state="succeeded"
    )
    alice = signed_in_as(world.team.alice)
    drawer = alice.get(f"/runs/{world.run.pk}/step/", {"path": "polish#1.draft"}).content.decode()
    assert "A draft" in drawer
    assert "Rerun from here" not in drawer
    assert "polish#1.draft" not in alice.get(f"/runs/{world.run.pk}/fork/").content.decode()
