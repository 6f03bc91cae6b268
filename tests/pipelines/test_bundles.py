"""Pipelines leave a workspace and come into another with what they name; nothing there changes, nothing runs."""

import copy
import json
from itertools import pairwise
from typing import Any

import pytest

from accounts import secrets
from accounts.access import Actor
from accounts.errors import Forbidden, Invalid, Refused
from accounts.roles import Role
from pipelines import bundles, creation, drafts, gallery, publish
from pipelines.graph import bundle
from pipelines.graph.canonical import digest
from pipelines.graph.freeze import content_hash
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, AgentVersion, Pipeline, PipelineVersion
from runs.models import Run
from tests.people import Team, acting

pytestmark = pytest.mark.django_db


@pytest.fixture
def here(team: Team) -> Actor:
    return acting(team.alice)


@pytest.fixture
def there(team: Team) -> Actor:
    return Actor(team.charlie, team.elsewhere, frozenset({Role.COMPOSER}))


def a_document(slug: str, nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    path = ["start", *nodes, "end"]
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    edges = [{"from": one, "to": other} for one, other in pairwise(path)]
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": slug, "name": slug.title()}
    return {**head, **fields, "graph": {"nodes": {**ends, **nodes}, "edges": edges}}


def a_family(actor: Actor) -> Pipeline:
    """Return top, which asks lead, who may start helper, and calls child, which asks writer; writer has versions."""
    agents.create(actor, "writer", AgentFields("demo/writer", instructions="Once."))
    known = Agent.objects.get(slug="writer", workspace=actor.workspace)
    writer = agents.new_version(actor, known, AgentFields("demo/writer", secrets=("crm",)))
    helper = drafts.create(actor, a_document("helper", {}))
    publish.publish(actor, helper)
    ask = {"kind": "agent", "agent": f"writer@{writer.number}", "prompt": "go"}
    child = drafts.create(actor, a_document("child", {"ask": ask}))
    publish.publish(actor, child)
    agents.create(actor, "lead", AgentFields("demo/writer", tools=("pipeline:helper@1",)))
    nodes = {
        "ask": {"kind": "agent", "agent": "lead@1", "prompt": "go", "tools": ["pipeline:helper@1"]},
        "call": {"kind": "pipeline", "pipeline": "child", "on_error": {"fallback": []}},
    }
    fallback = {"on_error": {"fallback": [{"agent": "writer@2"}]}}
    return drafts.create(actor, a_document("top", nodes, defaults=fallback))


def out(pipeline: Pipeline) -> Any:
    """Return its bundle as it stands in a file."""
    return json.loads(json.dumps(bundles.exported(pipeline, pipeline.draft.document)))


def test_where_boxes_stand_comes_last_in_a_file(here: Actor) -> None:
    pipeline = drafts.create(here, a_document("moved", {}, ui={"positions": {"start": {"x": 1, "y": 2}}}))
    pipeline.draft.refresh_from_db()
    [entry] = bundles.exported(pipeline, pipeline.draft.document)["pipelines"].values()
    assert list(entry["document"])[-1] == "ui"
    assert entry["document"] == pipeline.draft.document


def test_a_bundle_carries_everything_by_what_it_says_and_no_id_of_the_workspace(here: Actor) -> None:
    secrets.put(here.workspace, "crm", "the-secret-value")
    found = out(a_family(here))
    assert sorted(one["document"]["id"] for one in found["pipelines"].values()) == ["child", "helper", "top"]
    assert sorted(one["slug"] for one in found["agents"].values()) == ["lead", "writer"]
    assert all(name == content_hash(one["document"]) for name, one in found["pipelines"].items())
    said = json.dumps(found)
    assert "the-secret-value" not in said
    for row in (*Pipeline.objects.all(), *AgentVersion.objects.all(), here.workspace, here.user):
        assert str(row.pk) not in said


def test_what_comes_in_elsewhere_can_be_published_and_says_the_same(here: Actor, there: Actor) -> None:
    told = bundles.taken_in(there, out(a_family(here)), "one")
    assert told.pipeline.workspace == there.workspace
    assert sorted(told.made) == ["child", "helper", "lead@1", "top", "writer@1"]
    assert (told.reused, told.missing) == ([], ["crm"])
    document = told.pipeline.draft.document
    assert document["graph"]["nodes"]["call"]["pipeline"] == "child"
    assert document["graph"]["nodes"]["ask"]["tools"] == ["pipeline:helper"]
    assert document["defaults"]["on_error"]["fallback"] == [{"agent": "writer@1"}]
    assert not PipelineVersion.objects.filter(pipeline__workspace=there.workspace).exists()
    assert not Run.objects.exists()
    for slug in ("helper", "child"):
        publish.publish(there, Pipeline.objects.get(workspace=there.workspace, slug=slug))
    publish.publish(there, told.pipeline)


def test_what_is_there_and_says_the_same_is_used(here: Actor, there: Actor) -> None:
    found = out(a_family(here))
    first = bundles.taken_in(there, found, "one")
    again = bundles.taken_in(there, found, "two")
    assert again.pipeline == first.pipeline
    assert again.made == []
    assert sorted(again.reused) == ["child", "helper", "lead@1", "top", "writer@1"]
    back = bundles.taken_in(here, found, "three")
    assert (back.made, back.pipeline.slug) == ([], "top"), "where it came from everything is there"
    for slug in ("helper", "child"):
        publish.publish(there, Pipeline.objects.get(workspace=there.workspace, slug=slug))
    assert bundles.taken_in(there, found, "four").made == []


def test_the_same_form_makes_it_once(here: Actor, there: Actor) -> None:
    found = out(a_family(here))
    first = bundles.taken_in(there, found, "one")
    drafts.save(there, first.pipeline, {**first.pipeline.draft.document, "description": "mine"}, 1)
    assert bundles.taken_in(there, found, "one").pipeline == first.pipeline
    assert Pipeline.objects.filter(workspace=there.workspace).count() == 3


def test_a_name_that_is_taken_makes_a_numbered_pipeline_and_a_version_of_the_agent(here: Actor, there: Actor) -> None:
    own = drafts.create(there, a_document("child", {}, description="another"))
    agents.create(there, "writer", AgentFields("demo/echo"))
    told = bundles.taken_in(there, out(a_family(here)), "one")
    assert sorted(told.made) == ["child-2", "helper", "lead@1", "top", "writer@2"]
    assert told.pipeline.draft.document["graph"]["nodes"]["call"]["pipeline"] == "child-2"
    own.draft.refresh_from_db()
    assert own.draft.document["description"] == "another"
    assert (
        AgentVersion.objects.get(agent__workspace=there.workspace, agent__slug="writer", number=1).model == "demo/echo"
    )
    again = bundles.taken_in(there, out(Pipeline.objects.get(workspace=here.workspace, slug="top")), "two")
    assert again.made == []


def a_circle(actor: Actor) -> Pipeline:
    """Return ping, which calls pong, which asks keeper, who may start ping."""
    calls_pong = a_document("ping", {"call": {"kind": "pipeline", "pipeline": "pong"}})
    ping = drafts.create(actor, a_document("ping", {}))
    publish.publish(actor, ping)
    agents.create(actor, "keeper", AgentFields("demo/writer", tools=("pipeline:ping",)))
    ask = {"kind": "agent", "agent": "keeper@1", "prompt": "go"}
    publish.publish(actor, drafts.create(actor, a_document("pong", {"ask": ask})))
    drafts.save(actor, ping, calls_pong, 1)
    publish.publish(actor, ping)
    ping.draft.refresh_from_db()
    return ping


def test_what_names_each_other_comes_in_anew_and_names_what_came_in(here: Actor, there: Actor) -> None:
    """Whoever has pipelines and an agent of these names already: nothing that comes in calls them."""
    found = out(a_circle(here))
    for slug in ("ping", "pong"):
        drafts.create(there, a_document(slug, {}, description="another"))
    agents.create(there, "keeper", AgentFields("demo/echo"))
    told = bundles.taken_in(there, found, "one")
    assert (told.pipeline.slug, told.reused) == ("ping-2", [])
    assert sorted(told.made) == ["keeper@2", "ping-2", "pong-2"]
    mine = Pipeline.objects.filter(workspace=there.workspace)
    assert told.pipeline.draft.document["graph"]["nodes"]["call"]["pipeline"] == "pong-2"
    assert mine.get(slug="pong-2").draft.document["graph"]["nodes"]["ask"]["agent"] == "keeper@2"
    keeper = AgentVersion.objects.get(agent__workspace=there.workspace, agent__slug="keeper", number=2)
    assert keeper.tools == ["pipeline:ping-2"]
    assert bundles.taken_in(there, found, "one").pipeline == told.pipeline, "one form makes it once"
    again = bundles.taken_in(there, found, "two")
    assert sorted(again.made) == ["keeper@3", "ping-3", "pong-3"]


def test_what_leads_to_a_circle_or_hangs_on_one_is_none(here: Actor, there: Actor) -> None:
    a_circle(here)
    leaf = drafts.create(here, a_document("leaf", {}))
    publish.publish(here, leaf)
    nodes = {
        "one": {"kind": "pipeline", "pipeline": "ping"},
        "two": {"kind": "pipeline", "pipeline": "leaf"},
    }
    found = out(drafts.create(here, a_document("top", nodes)))
    parsed = bundle.parse_bundle(found)
    named = {parsed.pipelines[name].document["id"] for name in bundle.circular(parsed) & parsed.pipelines.keys()}
    assert named == {"ping", "pong"}
    first, again = bundles.taken_in(there, found, "one"), bundles.taken_in(there, found, "two")
    assert first.made.count("leaf") == 1
    assert again.reused == ["leaf"]
    assert again.pipeline.draft.document["graph"]["nodes"]["one"]["pipeline"] == "ping-2"


def test_the_workspace_is_locked_only_while_something_is_written(
    here: Actor, there: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = out(a_family(here))
    said: list[str] = []
    lock, look = creation.lock, bundles._Looking._there
    monkeypatch.setattr(creation, "lock", lambda actor: (said.append("lock"), lock(actor)))
    monkeypatch.setattr(bundles._Looking, "_there", lambda *args: (said.append("look"), look(*args))[1])
    bundles.taken_in(there, found, "one")
    bundles.taken_in(there, found, "two")
    assert said == ["look"] + ["lock"] + ["look"] * 3 + ["lock"]


@pytest.mark.parametrize("name", [one.name for one in gallery.templates()])
def test_every_template_goes_out_and_comes_in(here: Actor, there: Actor, name: str) -> None:
    told = bundles.taken_in(there, out(gallery.instantiate(here, name)), "one")
    codes = {problem.code for problem in drafts.problems(there, told.pipeline) if problem.severity == "error"}
    assert codes <= {"unknown_pipeline", "unknown_collection", "pipeline_unpublished"}, codes


def spoil(found: Any, *path: Any, value: Any) -> Any:
    spoilt = copy.deepcopy(found)
    at = spoilt
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return spoilt


def test_whatever_is_wrong_is_refused_with_its_place_and_makes_nothing(here: Actor, there: Actor) -> None:
    found = out(a_family(here))
    root = found["root"]
    (writer,) = (name for name, one in found["agents"].items() if one["slug"] == "writer")
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    wrong = [
        (spoil(found, "extra", value=1), "unknown_key", "/extra"),
        (spoil(found, "format_version", value="2.0"), "unknown_format_version", "/format_version"),
        (spoil(found, "root", value="sha256:" + "0" * 64), "missing_entry", "/root"),
        (spoil(found, "root", value="x"), "bad_value", "/root"),
        (
            spoil(found, "agents", writer, "fields", "api_key", value="x"),
            "unknown_key",
            f"/agents/{writer}/fields/api_key",
        ),
        (spoil(found, "agents", writer, "fields", "model", value="demo/echo"), "hash_mismatch", f"/agents/{writer}"),
        (
            spoil(found, "agents", writer, "fields", "temperature", value="hot"),
            "wrong_type",
            f"/agents/{writer}/fields/temperature",
        ),
        (spoil(found, "pipelines", root, "document", "name", value="Y"), "hash_mismatch", f"/pipelines/{root}"),
        (
            spoil(found, "pipelines", root, "document", "ghost", value=1),
            "unknown_key",
            f"/pipelines/{root}/document/ghost",
        ),
        (
            spoil(found, "pipelines", root, "agents", "lead@1", value="sha256:" + "0" * 64),
            "missing_entry",
            f"/pipelines/{root}/agents/lead@1",
        ),
        (spoil(found, "x", value=deep), "too_deep", None),
    ]
    for data, code, where in wrong:
        with pytest.raises(Refused) as refused:
            bundles.taken_in(there, data, "one")
        assert refused.value.code == code
        assert where is None or refused.value.where == where
    assert not Pipeline.objects.filter(workspace=there.workspace).exists()
    assert not Agent.objects.filter(workspace=there.workspace).exists()


def test_a_tool_that_is_not_here_is_refused_at_its_place_and_nothing_is_left(here: Actor, there: Actor) -> None:
    found = out(a_family(here))
    (name,) = (name for name, one in found["agents"].items() if one["slug"] == "writer")
    entry = found["agents"].pop(name)
    entry["fields"]["tools"] = ["mcp.files.read@1"]
    new = digest({"slug": "writer", "fields": entry["fields"]})
    text = json.dumps({**found, "agents": {**found["agents"], new: entry}}).replace(name, new)
    with pytest.raises(Invalid) as refused:
        bundles.imported(there, text, "one")
    assert (refused.value.code, refused.value.where) == ("unknown_tool", f"/agents/{new}/fields/tools/0")
    assert not Agent.objects.filter(workspace=there.workspace).exists()
    assert not Pipeline.objects.filter(workspace=there.workspace).exists()


def test_whoever_may_not_edit_imports_nothing(here: Actor, team: Team) -> None:
    with pytest.raises(Forbidden):
        bundles.taken_in(acting(team.bob), out(a_family(here)), "one")


def test_a_bundle_reads_back_as_what_it_was(here: Actor) -> None:
    found = out(a_family(here))
    assert bundle.parse_bundle(found).as_json() == found
