import json
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from pipelines.models import Draft, Pipeline
from tests.people import Team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_published_pipeline, a_writer

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"
PAGES = ("", "outline/", "?node=write", "step/?node=write", "news/?rev=1")


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    a_writer(acting(team.alice))
    return a_pipeline(acting(team.alice))


def bare(page: bytes) -> bytes:
    return re.sub(rb'(nonce|value)="[^"]*"', b"", page).replace(b"none", b"brief")


def news_of(page: str) -> Any:
    found = re.search(r'id="graph-news" data-news="([^"]*)"', page)
    assert found
    return json.loads(unescape(found[1]))


def send(browser: Client, name: str, rev: int = 1, op_id: str = "one", **args: Any) -> Any:
    posted = {"rev": rev, "op_id": op_id, "do": name, "with": json.dumps(args)}
    return browser.post("/pipelines/brief/change/", posted, headers={"HX-Request": "true"})


def test_a_command_changes_the_draft_and_says_what_is_new(team: Team, pipeline: Pipeline) -> None:
    answer = send(signed_in_as(team.alice), "add", preset="agent", on_edge={"from": "write", "to": "result"})
    news = news_of(answer.content.decode())
    assert answer.status_code == 200
    assert news["rev"] == Draft.objects.get().revision == 2
    assert set(news["added"]) == {"step"}
    assert set(news["edges"]) >= {"write:done:step", "step:done:result"}
    assert news["removed_edges"] == ["write:done:result"]
    assert {"step", "result"} <= set(news["boxes"])
    assert 'id="node-step"' in news["added"]["step"]


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"places": "write"}, 422),
        ({"places": [1]}, 422),
        ({"places": [["write"]]}, 422),
        ({"places": ["nowhere.at.all"]}, 422),
        ({"places": ["write"], "scope": {"a": 1}}, 422),
        ({"places": ["write"], "pipeline": "nobodys"}, 422),
        ({"places": ["write"], "pipeline": "a\0b"}, 422),
        ({"places": ["write"], "pipeline": {"__proto__": []}}, 422),
        ({}, 422),
    ],
)
def test_what_is_pasted_is_looked_at_whoever_wrote_it(
    team: Team, pipeline: Pipeline, named: dict[str, Any], status: int
) -> None:
    assert send(signed_in_as(team.alice), "paste", **named).status_code == status
    assert Draft.objects.get().revision == 1


@pytest.mark.parametrize("rev", [-1, 0, 10**30, "1", None, True, [1]])
def test_a_revision_that_is_none_means_the_draft_as_it_is(team: Team, pipeline: Pipeline, rev: Any) -> None:
    assert send(signed_in_as(team.alice), "paste", places=["write"], copied_rev=rev).status_code == 200
    assert "write_2" in Draft.objects.get().document["graph"]["nodes"]


def test_undo_and_redo_answer_like_any_change(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    send(alice, "delete", places=["write"])
    back = alice.post("/pipelines/brief/undo/", {"rev": 2, "op_id": "back"})
    assert set(news_of(back.content.decode())["added"]) == {"write"}
    again = alice.post("/pipelines/brief/redo/", {"rev": 3, "op_id": "again"})
    assert news_of(again.content.decode())["removed"] == ["write"]


def test_a_refused_change_says_why_and_shows_the_draft_as_it_is(team: Team, pipeline: Pipeline) -> None:
    answer = send(signed_in_as(team.alice), "connect", **{"from": "result", "to": "start"})
    news = news_of(answer.content.decode())
    assert answer.status_code == 422
    assert news["refused"]["message"]
    assert news["rev"] == 1
    assert Draft.objects.get().revision == 1


def test_two_people_on_different_steps_both_see_the_other_change(team: Team, pipeline: Pipeline) -> None:
    send(signed_in_as(team.alice), "add", op_id="a", preset="agent", after={"node": "write"})
    both = news_of(send(signed_in_as(team.dana), "add", op_id="d", preset="transform").content.decode())
    assert set(both["added"]) == {"step", "transform"}
    assert news_of(signed_in_as(team.alice).get("/pipelines/brief/news/?rev=2").content.decode())["added"].keys() == {
        "transform"
    }


def test_a_step_is_changed_by_a_plain_form(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    posted = {"node": "write", "rev": 1, "title": HOSTILE}
    answer = alice.post("/pipelines/brief/step/", posted)
    assert answer["Location"] == "/pipelines/brief/?node=write"
    page = alice.get(answer["Location"]).content.decode()
    assert "<img src=x" not in page
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == HOSTILE


def test_a_change_of_a_step_that_somebody_else_changed_is_not_saved(team: Team, pipeline: Pipeline) -> None:
    first = {"node": "write", "rev": 1, "title": "Alice's"}
    signed_in_as(team.alice).post("/pipelines/brief/step/", first)
    late = signed_in_as(team.dana).post(
        "/pipelines/brief/step/", {**first, "title": "Dana's"}, headers={"HX-Request": "true"}
    )
    assert late.status_code == 409
    assert "Alice changed the step" in news_of(late.content.decode())["refused"]["message"]
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Alice's"


def test_without_script_a_refused_form_is_a_page_that_says_why(team: Team, pipeline: Pipeline) -> None:
    signed_in_as(team.dana).post("/pipelines/brief/step/", {"node": "write", "rev": 1, "title": "Dana's"})
    alice = signed_in_as(team.alice)
    late = alice.post("/pipelines/brief/step/", {"node": "write", "rev": 1, "title": "Alice's"}, follow=True)
    assert late.redirect_chain == [("/pipelines/brief/?node=write", 302)]
    page = late.content.decode()
    assert "Dana changed the step" in page
    assert "hx-partial" not in page
    lots = alice.post("/pipelines/brief/step/", {"node": "", "rev": 2, "f.budget.max_cost_usd": "lots"}, follow=True)
    assert lots.redirect_chain == [("/pipelines/brief/", 302)]
    assert "lots" in lots.content.decode()  # the words of the refusal: the form holds the cap as it is
    assert Draft.objects.get().revision == 2


def test_without_script_a_button_of_the_rows_shows_the_form_again_and_saves_nothing(
    team: Team, pipeline: Pipeline
) -> None:
    signed_in_as(team.dana).post("/pipelines/brief/step/", {"node": "start", "rev": 1, "title": "Dana's"})
    row = {"schema-row": "0", "schema-0-name": "topic", "schema-0-type": "string"}
    posted = {"node": "write", "rev": 1, "title": "Half typed", **row, "schema-do": "add"}
    alice = signed_in_as(team.alice)
    answer = alice.post("/pipelines/brief/step/", posted)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<main" in page
    assert 'name="title" value="Half typed"' in page
    assert 'name="schema-0-name" value="topic"' in page
    assert 'name="schema-1-name" value=""' in page
    assert 'name="node" value="write"><input type="hidden" name="rev" value="1">' in page
    assert Draft.objects.get().revision == 2
    assert "<main" in alice.get("/pipelines/brief/step/?node=write").content.decode(), "its links lead to pages"
    assert signed_in_as(team.charlie).post("/pipelines/brief/step/", posted).status_code == 404


def test_a_form_that_stayed_open_overwrites_nothing_though_its_page_is_new(team: Team, pipeline: Pipeline) -> None:
    """The page has heard of Dana's change and names its revision; the form was made before it."""
    signed_in_as(team.dana).post("/pipelines/brief/step/", {"node": "write", "rev": 1, "title": "Dana's"})
    late = {"node": "write", "rev": 2, "base": 1, "title": "Alice's"}
    answer = signed_in_as(team.alice).post("/pipelines/brief/step/", late, headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert news_of(answer.content.decode())["added"] == {}
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Dana's"


def test_whoever_may_not_edit_sees_the_draft_and_changes_nothing(team: Team, pipeline: Pipeline) -> None:
    erin = signed_in_as(team.erin)
    assert "data-may-edit" not in erin.get("/pipelines/brief/").content.decode()
    assert send(erin, "delete", places=["write"]).status_code == 403
    assert erin.post("/pipelines/brief/step/", {"node": "write", "rev": 1, "title": "x"}).status_code == 403
    assert erin.post("/pipelines/brief/undo/", {"rev": 1, "op_id": "x"}).status_code in (403, 409)
    assert Draft.objects.get().revision == 1


@pytest.mark.parametrize("address", PAGES)
def test_charlie_finds_nothing_here(team: Team, pipeline: Pipeline, address: str) -> None:
    charlie = signed_in_as(team.charlie)
    found, absent = charlie.get(f"/pipelines/brief/{address}"), charlie.get(f"/pipelines/none/{address}")
    assert found.status_code == absent.status_code == 404
    assert bare(found.content) == bare(absent.content)


@pytest.mark.parametrize("place", ["change/", "undo/", "redo/", "step/"])
def test_charlie_changes_nothing_and_nothing_is_changed_without_a_token(
    team: Team, pipeline: Pipeline, place: str
) -> None:
    posted = {"rev": 1, "op_id": "c", "do": "delete", "with": '{"places": ["write"]}', "node": "write"}
    assert signed_in_as(team.charlie).post(f"/pipelines/brief/{place}", posted).status_code == 404
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(team.alice)
    assert forger.post(f"/pipelines/brief/{place}", posted).status_code == 403
    assert Draft.objects.get().revision == 1


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"rev": "x", "op_id": "a", "do": "tidy"},
        {"rev": 1, "op_id": "", "do": "tidy"},
        {"rev": 1, "op_id": "a" * 65, "do": "tidy"},
        {"rev": 1, "op_id": "a", "do": "add", "with": "{"},
        {"rev": 1, "op_id": "a", "do": "add", "with": "[1]"},
        {"rev": 1, "op_id": "a", "ops": '{"op": "move"}'},
        {"rev": 1, "op_id": "a", "ops": "[3]"},
        {"rev": 1, "op_id": "a", "ops": "[" * 5000},
        {"rev": 1, "op_id": "a", "ops": '[{"op": "set_node", "node": "a", "value": {"kind": "spaceship"}}]'},
    ],
)
def test_what_is_no_change_is_refused_by_name(team: Team, pipeline: Pipeline, posted: dict[str, Any]) -> None:
    answer = signed_in_as(team.alice).post("/pipelines/brief/change/", posted)
    assert answer.status_code == 422
    assert news_of(answer.content.decode())["refused"]["code"]
    assert Draft.objects.get().revision == 1


def test_the_page_says_whether_the_draft_differs_from_what_runs(team: Team) -> None:
    alice = signed_in_as(team.alice)
    a_published_pipeline(acting(team.alice))
    assert "Differs<span" not in alice.get("/pipelines/brief/").content.decode()
    send(alice, "delete", places=["write"])
    assert 'Differs<span class="desk"> from v1' in alice.get("/pipelines/brief/").content.decode()


def test_a_step_s_form_says_what_is_wrong_as_gravely_as_it_is(team: Team) -> None:
    alice = signed_in_as(team.alice)
    a_published_pipeline(acting(team.alice))
    send(alice, "add", preset="transform", at=[600, 0])
    nodes = Draft.objects.get().document["graph"]["nodes"]
    added = next(name for name, node in nodes.items() if node["kind"] == "transform")
    page = alice.get(f"/pipelines/brief/?node={added}").content.decode()
    assert page.count('<li class="note warn">') == 2
    assert '<li class="note bad">' not in page


def test_moving_a_box_is_no_difference(team: Team) -> None:
    alice = signed_in_as(team.alice)
    a_published_pipeline(acting(team.alice))
    send(alice, "move", positions={"write": [500, 500]})
    assert "Differs<span" not in alice.get("/pipelines/brief/").content.decode()


def test_the_pipelines_own_settings_are_a_form_too(team: Team, pipeline: Pipeline) -> None:
    alice = signed_in_as(team.alice)
    page = alice.get("/pipelines/brief/step/", headers={"HX-Request": "true"}).content.decode()
    assert 'name="f.budget.max_cost_usd" value="1.00"' in page
    posted = {"node": "", "rev": 1, "f.name": "Better", "f.budget.max_cost_usd": "2.50", "f.description": ""}
    assert alice.post("/pipelines/brief/step/", posted).status_code == 302
    document = Draft.objects.get().document
    assert (document["name"], document["budget"]) == ("Better", {"max_cost_usd": "2.50"})
    assert "description" not in document


def save_settings(team: Team, who: str, **posted: Any) -> Any:
    """Send a form of the pipeline's own fields that was made when the draft was new, as its page does."""
    form = {"node": "", "rev": 1, "base": 1, "f.name": "Brief", "f.budget.max_cost_usd": "1.00", **posted}
    browser = signed_in_as(getattr(team, who))
    return browser.post("/pipelines/brief/step/", form, headers={"HX-Request": "true"})


def test_a_form_of_settings_that_stayed_open_writes_only_what_was_changed_in_it(team: Team, pipeline: Pipeline) -> None:
    """Dana lowered the cap; the form of Alice, whose page has heard of it, still holds the old one."""
    dana = save_settings(team, "dana", **{"f.budget.max_cost_usd": "0.20"})
    assert news_of(dana.content.decode())["settings"] is True
    answer = save_settings(team, "alice", rev=2, **{"f.description": "What for"})
    assert (answer.status_code, news_of(answer.content.decode())["settings"]) == (200, True)
    document = Draft.objects.get().document
    assert (document["description"], document["budget"]) == ("What for", {"max_cost_usd": "0.20"})


def test_a_field_of_the_settings_that_two_people_changed_is_not_saved_twice(team: Team, pipeline: Pipeline) -> None:
    save_settings(team, "dana", **{"f.budget.max_cost_usd": "0.20"})
    answer = save_settings(team, "alice", rev=2, **{"f.budget.max_cost_usd": "5.00"})
    assert answer.status_code == 409
    assert "Dana changed the pipeline's budget" in news_of(answer.content.decode())["refused"]["message"]
    assert Draft.objects.get().document["budget"] == {"max_cost_usd": "0.20"}


def test_what_a_form_of_settings_saved_itself_is_known_to_it_and_nothing_else(team: Team, pipeline: Pipeline) -> None:
    """While somebody types on, the form is not made anew: it names its own changes, and overwrites nobody's."""
    save_settings(team, "alice", op_id="a", **{"f.description": "What"})
    save_settings(team, "dana", op_id="d", **{"f.budget.max_cost_usd": "0.20"})
    later = {"rev": 3, "own": "a x", "f.description": "What for"}
    assert save_settings(team, "alice", op_id="b", **later).status_code == 200
    document = Draft.objects.get().document
    assert (document["description"], document["budget"]) == ("What for", {"max_cost_usd": "0.20"})
    late = {"rev": 4, "own": "a b d", "f.description": "What for", "f.budget.max_cost_usd": "5.00"}
    assert save_settings(team, "alice", op_id="c", **late).status_code == 409
    assert Draft.objects.get().document["budget"] == {"max_cost_usd": "0.20"}


def test_a_cap_that_is_no_amount_is_refused_at_its_field(team: Team, pipeline: Pipeline) -> None:
    posted = {"node": "", "rev": 1, "f.budget.max_cost_usd": "lots"}
    answer = signed_in_as(team.alice).post("/pipelines/brief/step/", posted, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert news_of(answer.content.decode())["refused"]["where"] == "/budget/max_cost_usd"
