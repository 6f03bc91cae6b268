"""The list of a draft without a script: every control is a plain form that comes back to a page."""

import json
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from pipelines.models import Draft, Pipeline
from tests.people import Team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer

OUTLINE = "/pipelines/brief/outline/"


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    a_writer(acting(team.alice))
    return a_pipeline(acting(team.alice))


def page_of(browser: Client, node: str = "") -> str:
    return browser.get(f"{OUTLINE}?node={node}").content.decode()


def forms_of(page: str) -> list[dict[str, list[str]]]:
    """Return each form of the editor as what its fields may be set to."""
    found = []
    for form in re.findall(r'<form[^>]*action="(/pipelines/brief/[a-z]+/)"[^>]*>(.*?)</form>', page, re.S):
        fields = {"action": [form[0]]}
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[1]):
            fields[name] = [unescape(value)]
        for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form[1], re.S):
            fields[name] = [unescape(value) for value in re.findall(r'<option value="([^"]*)"', options)]
        found.append(fields)
    return found


def press(browser: Client, node: str, do: str, choice: int = 0, holds: str = "", **chosen: str) -> Any:
    """Send the form of a command as a browser without a script would, with what a person chose in it."""
    wanted = [form for form in forms_of(page_of(browser, node)) if form.get("do") == [do]]
    form = next(form for form in wanted if holds in form["with"][0])
    fields = {name: values[choice if name == "with" else 0] for name, values in form.items()}
    return browser.post(fields.pop("action"), fields | chosen, follow=True)


def edges() -> set[str]:
    return {f"{one['from']}>{one['to']}" for one in Draft.objects.get().document["graph"]["edges"]}


def test_the_list_names_every_step_with_the_word_that_leads_to_it(team: Team, pipeline: Pipeline) -> None:
    page = page_of(signed_in_as(team.bob))
    assert re.findall(r'data-step="(\w+)"', page) == ["start", "write", "result"]
    assert page.count(">then<") == 2


def test_a_step_is_added_after_before_and_beside_by_plain_forms(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    spots = next(form for form in forms_of(page_of(alice, "write")) if form.get("do") == ["add"])["with"]
    assert [next(iter({"on_edge", "before", "beside"} & set(json.loads(spot)))) for spot in spots] == [
        "on_edge",
        "before",
        "beside",
    ]
    answer = press(alice, "write", "add", 0, preset="transform")
    assert answer.redirect_chain == [(f"{OUTLINE}?node=transform", 302)]
    assert "The step was added." in answer.content.decode()
    press(alice, "write", "add", 1, preset="check")
    press(alice, "write", "add", 2, preset="human")
    assert edges() >= {"start>check", "check>write", "write>transform", "transform>result", "check>approve"}


def test_a_step_is_moved_connected_copied_and_deleted_by_plain_forms(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    press(alice, "write", "add", preset="transform")
    assert "changed places" in press(alice, "write", "swap", holds="down").content.decode()
    assert edges() == {"start>transform", "transform>write", "write>result"}
    press(alice, "start", "connect", to="write")
    assert "start>write" in edges()
    press(alice, "start", "disconnect", holds='"to": "write"')
    assert "start>write" not in edges()
    press(alice, "write", "duplicate")
    press(alice, "write", "copy")
    press(alice, "write", "paste")
    assert {"write_2", "write_3"} <= set(Draft.objects.get().document["graph"]["nodes"])
    press(alice, "write_2", "delete")
    assert "write_2" not in Draft.objects.get().document["graph"]["nodes"]


def test_a_step_is_grouped_moved_out_and_in_again_by_plain_forms(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    answer = press(alice, "write", "wrap", holds="each")
    assert answer.redirect_chain == [(f"{OUTLINE}?node=each", 302)]
    assert list(Draft.objects.get().document["graph"]["nodes"]["each"]["graph"]["nodes"]) == ["write"]
    answer = press(alice, "each.write", "move_into", holds='"scope": ""')
    assert answer.redirect_chain == [(f"{OUTLINE}?node=write", 302)]
    press(alice, "write", "move_into", holds='"scope": "each"')
    assert list(Draft.objects.get().document["graph"]["nodes"]["each"]["graph"]["nodes"]) == ["write"]
    begin = [form for form in forms_of(page_of(alice, "start")) if form.get("do") in (["wrap"], ["move_into"])]
    assert begin == []


def test_undo_and_redo_are_plain_forms_too(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    press(alice, "write", "delete")
    for way, there in (("undo", True), ("redo", False)):
        form = next(one for one in forms_of(page_of(alice)) if one["action"][0].endswith(f"{way}/"))
        fields = {name: values[0] for name, values in form.items()}
        alice.post(fields.pop("action"), fields)
        assert ("write" in Draft.objects.get().document["graph"]["nodes"]) is there


def test_a_refusal_is_said_on_the_page(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    posted = {"rev": 1, "op_id": "x", "do": "swap", "with": '{"place": "write", "by": "up"}', "back": "outline"}
    answer = alice.post("/pipelines/brief/change/", {**posted, "node": "write"}, follow=True)
    assert answer.redirect_chain == [(f"{OUTLINE}?node=write", 302)]
    assert "The start stays first" in answer.content.decode()


def test_a_form_leads_to_no_other_site(team: Team, pipeline: Pipeline) -> None:
    posted = {"rev": 1, "op_id": "x", "do": "delete", "with": '{"places": ["write"]}', "node": "//evil.example"}
    answer = signed_in_as(team.alice).post("/pipelines/brief/change/", {**posted, "back": "//evil.example"})
    assert "Location" not in answer
    answer = signed_in_as(team.alice).post("/pipelines/brief/change/", {**posted, "op_id": "y", "back": "canvas"})
    assert answer["Location"].startswith("/pipelines/brief/?node=")


def test_whoever_may_not_edit_reads_the_list_and_sees_no_form(team: Team, pipeline: Pipeline) -> None:
    erin = signed_in_as(team.erin)
    assert [form for form in forms_of(page_of(erin, "write")) if "do" in form] == []
    posted = {"rev": 1, "op_id": "x", "do": "delete", "with": '{"places": ["write"]}', "back": "outline"}
    assert erin.post("/pipelines/brief/change/", posted).status_code == 403


@pytest.mark.parametrize("do", ["delete", "copy", "paste"])
def test_charlie_changes_nothing_by_plain_forms(team: Team, pipeline: Pipeline, do: str) -> None:
    posted = {"rev": 1, "op_id": "x", "do": do, "with": '{"places": ["write"]}', "back": "outline"}
    assert signed_in_as(team.charlie).post("/pipelines/brief/change/", posted).status_code == 404
    assert Draft.objects.get().revision == 1


def test_the_list_is_brought_up_to_date_where_it_is_shown(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    posted = {"rev": 1, "op_id": "x", "do": "delete", "with": '{"places": ["write"]}', "shown": "start"}
    plain = alice.post("/pipelines/brief/change/", posted, headers={"HX-Request": "true"}).content.decode()
    assert 'id="outline"' not in plain
    assert 'id="step-acts"' in plain
    listed = alice.get("/pipelines/brief/news/?rev=1&outline=1").content.decode()
    assert re.findall(r'data-step="(\w+)"', listed) == ["start", "result"]
