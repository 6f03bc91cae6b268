"""An output that no step and no result reads, and that nobody looked at, is waste; each call is in one kind of it."""

import re
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from pipelines import drafts, publish
from pipelines.graph import parse
from pipelines.graph.lock import AgentSpec, Lock
from pipelines.graph.tools import Effect, ToolSpec
from pipelines.graph.unread import unread
from pipelines.models import Pipeline
from runs.models import Run, Step, StepReading
from runs.spending import booking
from tests.pages.builders import a_model_call
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_document, a_writer
from tests.runs.test_lineage import EDGES, NODES, an_agent

pytestmark = pytest.mark.django_db


def a_graph(nodes: dict[str, Any], *edges: str) -> dict[str, Any]:
    arrows = [{"from": a, "to": b} for a, _, b in (edge.partition(">") for edge in edges)]
    return {"nodes": {"start": {"kind": "input"}, **nodes}, "edges": arrows}


def of(lock: Lock | None = None, **nodes: Any) -> set[str]:
    edges = [f"start>{name}" for name in nodes]
    return set(unread(parse.parse(a_document(graph=a_graph(nodes, *edges))), lock or LOCK))


LOCK = Lock(
    agents={
        f"{name}@1": AgentSpec(f"{name}@1", "demo/writer", tools=tools)
        for name, tools in {"writer": (), "doer": ("email.send@1",), "starter": ("pipeline:brief@1",)}.items()
    },
    tools={"email.send@1": ToolSpec("email.send@1", "", "", {}, effect=Effect.REVERSIBLE)},
)


def test_what_a_step_a_condition_or_a_result_names_is_read() -> None:
    end = {"kind": "output", "value": "${steps.said.output}"}
    assert of(said=an_agent("a"), aside=an_agent("b"), end=end) == {"aside"}
    asked = {"kind": "decide", "routes": [{"port": "x", "when": "size(steps.aside.output) > 0"}], "otherwise": "y"}
    assert of(said=an_agent("a"), aside=an_agent("b"), end=end, asked=asked) == set()


@pytest.mark.parametrize(
    "fields",
    [{"agent": "doer@1"}, {"agent": "starter@1"}, {"conversation": "run"}],
    ids=["acts", "starts", "remembers"],
)
def test_who_may_have_done_something_besides_is_not_told(fields: dict[str, str]) -> None:
    assert of(aside=an_agent("b", **fields), end={"kind": "output", "value": "x"}) == set()


def test_the_last_steps_of_a_graph_without_a_result_are_its_result() -> None:
    each = {"kind": "each", "over": "${[1, 2]}", "as": "one", "graph": {"nodes": {"dig": an_agent("a")}, "edges": []}}
    end = {"kind": "output", "value": "${steps.each.output}"}
    assert of(each=each, end=end) == set()
    assert of(each={**each, "result": "${one}"}, end=end) == {"dig"}


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def run(team: Team) -> Run:
    actor = acting(team.alice)
    a_writer(actor)
    arrows = [
        {"from": a.partition(":")[0], "port": a.partition(":")[2] or "done", "to": b}
        for a, _, b in (edge.partition(">") for edge in EDGES)
    ]
    pipeline = drafts.create(actor, a_document(graph={"nodes": NODES, "edges": arrows}))
    version = publish.publish(actor, pipeline)
    now = timezone.now()
    run = Run.objects.create(
        workspace=team.workspace, pipeline=pipeline, version=version, number=1, state="succeeded", finished_at=now
    )
    for path in ("topics", "dig[0].aside", "dig[1].aside"):
        node = path.rpartition(".")[2]
        state = "failed" if path == "dig[1].aside" else "succeeded"
        Step.objects.create(run=run, path=path, node=node, kind="agent", state=state)
        a_model_call(run, 1_000, path=path, node=node)
        a_model_call(run, 100, path=path, node=node, again="retry")
    return run


def wasted(team: Team) -> dict[str, str]:
    rows = signed_in_as(team.carol).get("/api/v1/costs/waste").json()["items"]
    return {f"{row['kind']} {row['step']}": row["cost_usd"] for row in rows}


@pytest.mark.parametrize("booked", [False, True])
def test_an_output_that_nothing_reads_is_waste_once_beside_every_other_kind(team: Team, run: Run, booked: bool) -> None:
    if booked:
        booking.book()
    assert wasted(team) == {
        "unread aside": "0.001",
        "unused aside": "0.001",
        "retried aside": "0.0002",
        "retried topics": "0.0001",
    }
    carol = signed_in_as(team.carol)
    page = carol.get("/costs/").content.decode()
    assert "Outputs that nothing and nobody read" in page
    link = re.search(r'href="(/costs/runs/[^"]*figure=first[^"]*)" data-micros="1000"', page)
    assert link
    behind = carol.get(unescape(link[1])).content.decode()
    assert 'data-total="1000"' in behind
    assert 'data-part="1000"' in behind


def test_what_somebody_looked_at_is_no_waste_of_that_time(team: Team, run: Run) -> None:
    assert "unread aside" in wasted(team)
    alice = signed_in_as(team.alice)
    assert alice.get(f"/runs/{run.pk}/step/?path=dig%5B1%5D.aside").status_code == 200
    assert not StepReading.objects.exists(), "it gave nothing"
    for _ in range(2):
        assert alice.get(f"/runs/{run.pk}/step/?path=dig%5B0%5D.aside").status_code == 200
    reading = StepReading.objects.get()
    assert (reading.workspace, reading.pipeline_id, reading.node) == (team.workspace, run.pipeline_id, "aside")
    assert "unread aside" not in wasted(team)


def test_a_step_that_a_version_of_the_time_reads_is_read(team: Team, run: Run) -> None:
    nodes = {**NODES, "dig": {**NODES["dig"], "result": "${steps.aside.output}"}}
    pipeline = Pipeline.objects.get(pk=run.pipeline_id)
    document = {**run.version.document, "graph": {**run.version.document["graph"], "nodes": nodes}}
    drafts.save(acting(team.alice), pipeline, document, 1)
    publish.publish(acting(team.alice), pipeline)
    assert "unread aside" not in wasted(team)
