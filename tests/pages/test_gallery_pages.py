"""The gallery, the three questions and the ways to a new pipeline, as people use them; nobody makes a thing twice."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from pipelines import gallery
from pipelines.models import DraftEdit, Pipeline, PipelineVersion
from runs.models import Run
from tests.pages.builders import World, a_run_of
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_document


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def alice(team: Team) -> Client:
    return signed_in_as(team.alice)


def text(browser: Client, address: str, **headers: str) -> str:
    answer = browser.get(address, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_gallery_shows_every_template_with_its_picture(alice: Client) -> None:
    page = text(alice, "/templates/")
    for template in gallery.templates():
        assert f'href="/templates/{template.name}/"' in page
    assert page.count('class="tiny"') == len(gallery.templates())
    assert "Sends email · needs approval" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (
            "goal=Decide",
            {"debate", "group-chat", "round-table", "open-discussion", "vote", "blackboard", "message-bus"},
        ),
        ("find=citation", {"research-lead"}),
        ("find=CRM+contacts", {"data-pipeline"}),
        ("goal=Decide&find=citation", set()),
        ("goal=nonsense", set()),
    ],
)
def test_search_and_goal_stand_in_the_address(alice: Client, query: str, names: set[str]) -> None:
    page = text(alice, f"/templates/?{query}")
    assert {one.name for one in gallery.templates() if f'id="t-{one.name}"' in page} == names
    assert ("No template fits" in page) == (not names)


def test_htmx_gets_the_cards_alone(alice: Client) -> None:
    assert "<html" not in text(alice, "/templates/", **{"HX-Request": "true"})
    assert "<html" not in text(alice, "/start/?goal=Sell", **{"HX-Request": "true"})


def test_a_template_close_up_shows_its_steps_agents_and_sample(alice: Client) -> None:
    page = text(alice, "/templates/prospect-outreach/")
    for said in ("Approve the email", "Outreach writer", "maya@northwind.example", "demo/writer", "Cannot be undone"):
        assert said in page
    assert alice.get("/templates/ghost/").status_code == 404


def test_use_opens_a_pipeline_and_a_second_press_the_same(alice: Client, team: Team) -> None:
    answers = [alice.post("/templates/debate/use/", {"form": "f1"}) for _ in range(2)]
    assert {answer["Location"] for answer in answers} == {"/pipelines/debate/"}
    assert Pipeline.objects.get().workspace == team.workspace
    assert alice.post("/templates/debate/use/", {"form": "f2"})["Location"] == "/pipelines/debate-2/"
    assert alice.post("/templates/ghost/use/", {"form": "f3"}).status_code == 404


def test_try_starts_one_run_of_the_template_as_it_is(alice: Client, team: Team) -> None:
    answers = [alice.post("/templates/debate/try/", {"form": "f1"}) for _ in range(2)]
    run = Run.objects.get()
    assert {answer["Location"] for answer in answers} == {f"/runs/{run.pk}/"}
    assert run.input == gallery.template("debate").sample
    assert run.version.document["graph"] == gallery.template("debate").document["graph"]
    alice.post("/templates/debate/try/", {"form": "f2"})
    assert (Run.objects.count(), Pipeline.objects.count(), PipelineVersion.objects.count()) == (2, 1, 1)


@pytest.mark.parametrize("name", ["bob", "carol", "erin"])
def test_who_may_not_edit_is_offered_nothing_and_refused(team: Team, name: str) -> None:
    browser = signed_in_as(getattr(team, name))
    page = text(browser, "/templates/")
    assert "Try with sample" not in page
    assert "Import" not in page
    for address in ("/templates/debate/use/", "/templates/debate/try/", "/new/blank/", "/new/import/"):
        assert browser.post(address, {"form": "f1", "name": "x"}).status_code == 403
    assert browser.get("/new/").status_code == 403
    assert not Pipeline.objects.exists()


def test_charlie_makes_things_in_his_own_workspace_only(team: Team) -> None:
    charlie = signed_in_as(team.charlie)
    charlie.post("/templates/debate/use/", {"form": "f1"})
    charlie.post("/templates/debate/try/", {"form": "f1"})
    assert {one.workspace for one in Pipeline.objects.all()} == {team.elsewhere}
    assert Run.objects.get().workspace == team.elsewhere


@pytest.mark.parametrize(
    "address",
    [
        "/templates/debate/use/",
        "/templates/debate/try/",
        "/new/blank/",
        "/new/import/",
        "/pipelines/debate/duplicate/",
        "/pipelines/debate/archive/",
        "/pipelines/debate/restore/",
        "/start/debate/try/",
        "/start/debate/publish/",
    ],
)
def test_everything_that_changes_is_a_post_with_a_token(team: Team, address: str) -> None:
    assert signed_in_as(team.alice).get(address).status_code == 405
    assert signed_in_as(team.alice, csrf=True).post(address, {"form": "f1"}).status_code == 403
    assert Client().post(address)["Location"].startswith("/login/")
    assert not Pipeline.objects.exists()


# what templates cost


def test_a_range_comes_from_the_finished_runs_here_and_unknown_stays_unknown(world: World) -> None:
    browser = signed_in_as(world.team.alice)
    page = text(browser, "/costs/templates/")
    assert page.count("not run here yet") == len(gallery.templates())
    for micros in (20_000, 50_000):
        a_run_of(world.pipeline, world.team, state="succeeded", cost_micros=micros)
    a_run_of(world.pipeline, world.team, state="succeeded", unpriced_calls=1)
    a_run_of(world.pipeline, world.team, state="failed", cost_micros=900_000)
    parts = text(browser, "/costs/templates/", **{"HX-Request": "true"})
    assert parts.count("<hx-partial") == 1
    assert "$0.02" in parts
    assert "$0.05" in parts
    assert "in 3 runs, 1 of unknown price" in parts
    assert "0.9" not in parts
    assert "in 3 runs" not in text(signed_in_as(world.team.charlie), "/costs/templates/")


def test_only_unknown_prices_are_no_price(world: World) -> None:
    a_run_of(world.pipeline, world.team, state="succeeded", unpriced_calls=1)
    parts = text(signed_in_as(world.team.alice), "/costs/templates/", **{"HX-Request": "true"})
    assert "unknown price" in parts
    assert "$" not in parts


# the first run


def test_the_questions_propose_nothing_before_they_are_answered(alice: Client) -> None:
    assert "Your template appears here." in text(alice, "/start/")
    page = text(alice, "/start/?want=write+to+customers&goal=Sell&leaves=mail&leaves=crm&yes=before")
    assert "Prospect outreach" in page
    assert "It writes to the CRM and sends email, as you said." in page
    assert not Pipeline.objects.exists()


def test_answers_that_are_none_are_ignored(alice: Client) -> None:
    assert "Your template appears here." in text(alice, "/start/?goal=x&leaves=y&yes=z")


def test_the_first_steps_are_tried_changed_published(alice: Client, team: Team) -> None:
    made = alice.post("/templates/debate/use/", {"form": "f1", "guided": "1"})
    assert made["Location"] == "/start/debate/"
    assert "Try it with sample data" in text(alice, "/start/debate/")
    runs = [alice.post("/start/debate/try/", {"form": "f1"})["Location"] for _ in range(2)]
    run = Run.objects.get()
    assert set(runs) == {f"/runs/{run.pk}/"}
    assert run.version.number is None, "it runs the draft"
    page = text(alice, "/start/debate/")
    assert f"Run #{run.number}" in page
    for _ in range(2):
        alice.post("/start/debate/publish/")
    assert PipelineVersion.objects.filter(number__isnull=False).count() == 1
    assert "Version 1 is what new runs use." in text(alice, "/start/debate/")


def test_a_pipeline_of_no_template_has_no_sample_to_try(alice: Client, team: Team) -> None:
    alice.post("/new/blank/", {"form": "f1", "name": "Ours"})
    assert "no sample data" in text(alice, "/start/ours/")
    assert alice.post("/start/ours/try/", {"form": "f1"}).status_code == 422


def test_charlie_finds_no_first_steps_of_others(alice: Client, team: Team) -> None:
    alice.post("/templates/debate/use/", {"form": "f1"})
    charlie = signed_in_as(team.charlie)
    assert charlie.get("/start/debate/").status_code == 404
    for address in ("/start/debate/try/", "/start/debate/publish/"):
        assert charlie.post(address, {"form": "f1"}).status_code == 404


def test_a_pipeline_made_from_a_template_offers_its_sample(alice: Client, team: Team) -> None:
    for form in ("f1", "f2"):
        alice.post("/templates/debate/use/", {"form": form})
    assert "Fill in sample data" in text(alice, "/pipelines/debate-2/run/")


def test_home_leads_to_the_first_pipeline_until_there_is_one(alice: Client, team: Team) -> None:
    assert "Make your first pipeline" in text(alice, "/")
    assert "Make your first pipeline" not in text(signed_in_as(team.bob), "/")
    alice.post("/new/blank/", {"form": "f1", "name": "Ours"})
    assert "Make your first pipeline" not in text(alice, "/")


# new pipelines and the rows of the list


def test_an_empty_pipeline_is_made_once(alice: Client) -> None:
    for _ in range(2):
        assert alice.post("/new/blank/", {"form": "f1", "name": "Ours"})["Location"] == "/pipelines/ours/"
    assert Pipeline.objects.count() == 1


@pytest.mark.parametrize("way", ["file", "document"])
def test_a_document_comes_in_as_a_file_or_pasted(alice: Client, way: str) -> None:
    said = json.dumps(a_document("brief"))
    given: dict[str, Any] = {"file": SimpleUploadedFile("a.json", said.encode())} if way == "file" else {way: said}
    assert alice.post("/new/import/", {"form": "f1", **given})["Location"] == "/pipelines/brief/"
    assert Pipeline.objects.get().draft.document == json.loads(said)


def test_a_refused_document_is_shown_with_its_place_and_kept_as_typed(alice: Client) -> None:
    bad = json.dumps({**a_document(), "graph": {"nodes": {"a": {"kind": "ghost"}}, "edges": []}})
    answer = alice.post("/new/import/", {"form": "f1", "document": bad})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "/graph/nodes/a/kind" in page
    assert "Nothing was saved." in page
    assert "&quot;ghost&quot;" in page
    assert not Pipeline.objects.exists()


def test_a_file_that_is_too_large_is_refused(alice: Client) -> None:
    file = SimpleUploadedFile("a.json", b" " * 5_000_001)
    answer = alice.post("/new/import/", {"form": "f1", "file": file})
    assert answer.status_code == 413
    assert not Pipeline.objects.exists()


def test_a_row_duplicates_archives_restores_and_exports(alice: Client, team: Team) -> None:
    made = gallery.instantiate(acting(team.alice), "debate")
    copies = [alice.post("/pipelines/debate/duplicate/", {"form": "f1"})["Location"] for _ in range(2)]
    assert set(copies) == {"/pipelines/copy-of-debate/"}
    alice.post("/pipelines/copy-of-debate/archive/")
    assert "copy-of-debate" not in text(alice, "/pipelines/").replace("Copy of Debate with a judge is archived", "")
    assert "Copy of Debate with a judge" in text(alice, "/pipelines/?archived")
    alice.post("/pipelines/copy-of-debate/restore/")
    assert "/pipelines/copy-of-debate/" in text(alice, "/pipelines/")
    answer = signed_in_as(team.bob).get("/pipelines/debate/export/")
    found = json.loads(answer.content)
    assert found["pipelines"][found["root"]]["document"] == made.draft.document
    assert len(found["agents"]) > 1, "its agents come along"
    assert answer["Content-Disposition"] == 'attachment; filename="debate.json"'


def test_rows_are_closed_to_strangers_and_to_those_who_may_not_edit(alice: Client, team: Team) -> None:
    gallery.instantiate(acting(team.alice), "debate")
    edits = DraftEdit.objects.count()
    for act in ("duplicate", "archive", "restore"):
        assert signed_in_as(team.charlie).post(f"/pipelines/debate/{act}/", {"form": "f1"}).status_code == 404
        assert signed_in_as(team.bob).post(f"/pipelines/debate/{act}/", {"form": "f1"}).status_code == 403
    assert signed_in_as(team.charlie).get("/pipelines/debate/export/").status_code == 404
    assert Pipeline.objects.get().archived_at is None
    assert DraftEdit.objects.count() == edits
