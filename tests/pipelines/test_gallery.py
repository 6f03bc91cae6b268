import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts import secrets
from accounts.access import Actor
from accounts.errors import Forbidden, NotFound
from accounts.ids import new_id
from accounts.models import User, Workspace
from pipelines import drafts, gallery
from pipelines.gallery import sample
from pipelines.graph import parse, schemas
from pipelines.graph.places import places
from pipelines.knowledge import collections
from pipelines.knowledge.models import Collection, Document
from pipelines.knowledge.search import find
from pipelines.library.models import is_simulated
from pipelines.models import Agent, AgentVersion, Budget, Connection, Draft, Pipeline, PipelineVersion
from tests.people import Team, acting

NAMES = [
    "one-agent",
    "content-pipeline",
    "review-loop",
    "prospect-outreach",
    "company-analysis",
    "second-opinions",
    "first-answer",
    "topic-research",
    "portfolio-review",
    "support-desk",
    "message-triage",
    "follow-up",
    "debate",
    "group-chat",
    "round-table",
    "open-discussion",
    "swarm",
    "document-questions",
    "research-lead",
    "planned-work",
    "vote",
    "data-pipeline",
    "launch-check",
    "code-change",
    "blackboard",
    "message-bus",
    "nested-leads",
]
KINDS = {"input", "output", "agent", "tool", "decide", "combine", "transform", "human"}
KINDS |= {"each", "repeat", "check", "team", "supervisor", "pipeline", "board", "wait"}


@pytest.fixture(autouse=True)
def _no_keys(settings: Settings) -> None:
    settings.PROVIDER_ENV = dict.fromkeys(("openai", "anthropic", "google"), ("", ""))


def test_the_gallery_lists_its_templates() -> None:
    assert [template.name for template in gallery.templates()] == NAMES
    for template in gallery.templates():
        assert template.title
        assert template.summary
        assert template.document["id"] == template.name
        assert template.document["description"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_plain_capped_and_takes_its_own_sample(name: str) -> None:
    template = gallery.template(name)
    document = parse.parse(template.document)
    assert {place.node.kind for place in places(document)} <= KINDS
    assert all(place.node.title for place in places(document))
    assert document.budget.max_cost_micros
    assert schemas.findings(document.inputs, template.sample) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_template_publishes_without_a_single_complaint(team: Team, name: str) -> None:
    pipeline = gallery.instantiate(acting(team.alice), name)
    assert pipeline.published is not None
    assert drafts.problems(acting(team.alice), pipeline) == []
    assert all(is_simulated(model) for model in pipeline.published.lock["prices"])


def test_the_outreach_cannot_send_what_nobody_approved() -> None:
    document = parse.parse(gallery.template("prospect-outreach").document)
    approve = document.graph.nodes["approve"]
    assert approve.config["guards"] == "send"
    assert document.graph.ancestors("send") >= {"approve", "draft"}


def test_instantiating_twice_makes_one_and_keeps_changes(team: Team) -> None:
    first = gallery.instantiate(acting(team.alice), "content-pipeline")
    changed = {**first.draft.document, "name": "Ours"}
    drafts.save(acting(team.alice), first, changed, 1)
    second = gallery.instantiate(acting(team.alice), "content-pipeline")
    assert second == first
    assert second.name == "Ours"
    assert PipelineVersion.objects.count() == 1
    assert Agent.objects.count() == AgentVersion.objects.count() == 3


def test_a_template_uses_its_own_agent_where_the_name_is_taken(team: Team) -> None:
    from pipelines.library import agents

    agents.create(acting(team.alice), "writer", agents.AgentFields(model="demo/echo", instructions="Somebody's own"))
    pipeline = gallery.instantiate(acting(team.alice), "content-pipeline")
    nodes = pipeline.draft.document["graph"]["nodes"]
    assert (nodes["write"]["agent"], nodes["edit"]["agent"]) == ("writer@2", "editor@1")


def test_a_template_brings_the_pipeline_that_it_starts(team: Team) -> None:
    parent = gallery.instantiate(acting(team.alice), "portfolio-review")
    child = Pipeline.objects.get(slug="company-analysis")
    assert parent.published is not None
    assert child.published is not None
    locked = parent.published.lock["pipelines"]["company-analysis@1"]
    assert (locked["pipeline"], locked["version"]) == (str(child.pk), str(child.published.pk))
    gallery.instantiate(acting(team.alice), "portfolio-review")
    gallery.instantiate(acting(team.alice), "company-analysis")
    assert Pipeline.objects.count() == PipelineVersion.objects.count() == 2


def test_a_template_brings_the_documents_that_it_searches(team: Team) -> None:
    gallery.instantiate(acting(team.alice), "document-questions")
    (handbook,) = Collection.objects.all()
    assert (handbook.workspace, handbook.slug) == (team.workspace, "handbook")
    names = ["expenses.md", "holidays.md", "working-hours.md"]
    assert list(handbook.documents.order_by("name").values_list("name", flat=True)) == names
    assert find(team.workspace.pk, "handbook", "how many days of holidays")[0].document == "holidays.md"


def test_a_collection_of_that_name_keeps_what_people_put_there(team: Team) -> None:
    own = collections.create(acting(team.alice), "handbook", "Ours")
    collections.add(acting(team.alice), own, "ours.txt", "Our own words.")
    for _ in range(2):
        gallery.use(acting(team.alice), "document-questions", new_id().hex)
    assert [document.name for document in Document.objects.all()] == ["ours.txt"]


def test_a_template_starts_the_version_that_is_published_here(team: Team) -> None:
    from pipelines import publish

    child = gallery.instantiate(acting(team.alice), "company-analysis")
    publish.publish(acting(team.alice), child)
    parent = gallery.instantiate(acting(team.alice), "portfolio-review")
    assert parent.published is not None
    assert list(parent.published.lock["pipelines"]) == ["company-analysis@2"]


def test_instantiating_brings_an_archived_one_back(team: Team) -> None:
    first = gallery.instantiate(acting(team.alice), "support-desk")
    drafts.archive(acting(team.alice), first)
    assert gallery.instantiate(acting(team.alice), "support-desk").archived_at is None


def test_only_editors_use_templates(team: Team) -> None:
    with pytest.raises(Forbidden):
        gallery.instantiate(acting(team.bob), "support-desk")
    with pytest.raises(NotFound):
        gallery.instantiate(acting(team.alice), "ghost")


def load() -> list[str]:
    return sample.load("correct horse")


def rows() -> dict[str, int]:
    kinds: list[Any] = [Workspace, User, Pipeline, Draft, PipelineVersion, Agent, AgentVersion, Budget, Connection]
    return {kind.__name__: kind.objects.count() for kind in kinds}


@pytest.mark.django_db
def test_loading_the_sample_twice_changes_nothing() -> None:
    assert load() == NAMES
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        assert load() == []
    assert rows() == before
    assert len(queries) < 40
    budget = Budget.objects.get()
    assert (budget.workspace.slug, budget.period, budget.max_cost_micros) == ("sample", "day", 50_000_000)


@pytest.mark.django_db
def test_the_sample_leaves_alone_what_people_did_to_it() -> None:
    load()
    alice = User.objects.get(email="alice@example.com")
    actor = Actor(alice, Workspace.objects.get(slug="sample"), acting(alice).roles)
    drafts.archive(actor, Pipeline.objects.get(slug="support-desk"))
    Budget.objects.all().delete()
    assert load() == []
    assert Pipeline.objects.get(slug="support-desk").archived_at is not None
    assert not Budget.objects.exists()


@pytest.mark.django_db
def test_provider_keys_become_connections_with_encrypted_secrets(settings: Settings) -> None:
    settings.PROVIDER_ENV = {**settings.PROVIDER_ENV, "openai": ("sk-first", "")}
    assert load()[-1] == "openai"
    workspace = Workspace.objects.get(slug="sample")
    assert secrets.reveal(workspace.pk, "openai-key") == "sk-first"
    settings.PROVIDER_ENV = {**settings.PROVIDER_ENV, "openai": ("sk-second", "http://127.0.0.1:7/v1/")}
    assert load() == ["openai"]
    assert secrets.reveal(workspace.pk, "openai-key") == "sk-second"
    row = Connection.objects.get()
    assert (row.base_url, row.trusted_address, row.secret) == ("http://127.0.0.1:7/v1", True, "openai-key")
    assert load() == []


@pytest.mark.django_db
def test_the_password_follows_the_setting(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for password in ("first one", "second one"):
        settings.SAMPLE_PASSWORD = password
        call_command("load_sample", "--quiet")
        assert User.objects.get(email="bob@example.com").check_password(password)
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_there_is_no_sample_in_production(settings: Settings) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError):
        call_command("load_sample")
    assert not Workspace.objects.exists()


# commands


def test_a_pipeline_goes_out_and_comes_in(team: Team, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gallery.instantiate(acting(team.alice), "content-pipeline")
    call_command("export_pipeline", "content-pipeline")
    text = capsys.readouterr().out
    found = json.loads(text)
    document = gallery.template("content-pipeline").document
    assert found["pipelines"][found["root"]]["document"] == document
    file = tmp_path / "pipeline.json"
    file.write_text(text)
    call_command("import_pipeline", str(file), "--workspace", "globex")
    said = capsys.readouterr().out
    assert "Made the draft content-pipeline in globex" in said
    assert "error:" not in said, "its agents came along"
    assert Pipeline.objects.get(workspace=team.elsewhere).draft.document == document
    call_command("import_pipeline", str(file), "--workspace", "globex")
    assert "Nothing to make" in capsys.readouterr().out


def test_a_document_alone_goes_out_and_comes_in_with_what_is_left_to_do(
    team: Team, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery.instantiate(acting(team.alice), "content-pipeline")
    call_command("export_pipeline", "content-pipeline", "--alone")
    text = capsys.readouterr().out
    assert json.loads(text) == gallery.template("content-pipeline").document
    file = tmp_path / "pipeline.json"
    file.write_text(text)
    call_command("import_pipeline", str(file), "--workspace", "globex", "--format", "auto")
    assert "error:" in capsys.readouterr().out, "globex has no such agents"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "pipeline document"),
        (b'{"format": "somebody.else"}', "/format"),
        (b'{"id": "a", "id": "b"}', "twice"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(team: Team, tmp_path: Any, content: bytes, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        call_command("import_pipeline", str(file), "--workspace", "acme")
    assert not Pipeline.objects.exists()


def test_the_commands_say_what_they_miss(team: Team, tmp_path: Any) -> None:
    file = tmp_path / "pipeline.json"
    file.write_text("{}")
    for command in (
        ("export_pipeline", "ghost"),
        ("import_pipeline", str(tmp_path / "absent.json"), "--workspace", "acme"),
        ("import_pipeline", str(file)),
        ("import_pipeline", str(file), "--workspace", "acme", "--user", "charlie@example.com"),
        ("import_pipeline", str(file), "--workspace", "acme", "--user", "bob@example.com"),
    ):
        with pytest.raises(CommandError):
            call_command(*command)
