"""GET /runs/{id}/lineage: what an output came from, from the rows of its run."""

from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from pipelines import drafts, publish
from runs.models import Call, Event, Run, Step
from tests.people import Team, a_team, acting, bearer
from tests.pipelines.builders import a_document, a_writer

pytestmark = pytest.mark.django_db
APPROVAL = UUID("018f0000-0000-7000-8000-000000000001")


def an_agent(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "agent", "agent": "writer@1", "prompt": prompt, **fields}


LISTED = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}}},
    "required": ["items"],
}
NODES: dict[str, Any] = {
    "start": {"kind": "input"},
    "topics": an_agent("List topics about ${input.topic | default('it')}.", output_schema=LISTED),
    "unread": an_agent("Something else."),
    "dig": {
        "kind": "each",
        "over": "${steps.topics.output.items}",
        "as": "topic",
        "graph": {
            "nodes": {
                "find": an_agent("Find out about ${topic}, as ${steps.unread.output} says."),
                "sum": an_agent("Sum up ${steps.find.output}."),
                "aside": an_agent("Say something."),
            },
            "edges": [{"from": "find", "to": "sum"}, {"from": "find", "to": "aside"}],
        },
        "result": "${steps.sum.output}",
    },
    "route": {
        "kind": "decide",
        "routes": [{"port": "mail", "when": "size(steps.dig.output) > 0"}],
        "otherwise": "drop",
    },
    "send": {"kind": "tool", "tool": "email.send@1", "args": {"to": "a@b.c", "subject": "Hi", "body": "Hello"}},
    "end": {"kind": "output", "value": "${steps.send.output}"},
    "dropped": {"kind": "output", "value": "nothing"},
}
EDGES = [
    "start>topics",
    "topics>unread",
    "unread>dig",
    "dig>route",
    "route:mail>send",
    "send>end",
    "route:drop>dropped",
]
STEPS = {
    "start": "done", "topics": "done", "unread": "done", "dig": "done", "dig[0].find": "done", "dig[0].sum": "done",
    "dig[0].aside": "done", "dig[1].find": "done", "dig[1].sum": "done", "route": "mail", "send": "done", "end": None,
    "dropped": None,
}  # fmt: skip


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def run(team: Team) -> Run:
    run = a_finished_run(acting(team.alice))
    a_call(run, "topics", "model", "demo/writer")
    a_call(run, "dig[0].sum", "model", "demo/writer")
    a_call(run, "dig[0].sum", "model", "demo/judge")
    a_call(run, "send", "tool", "email.send@1", approval=APPROVAL)
    payload = {
        "kind": "approve",
        "decision": "approve",
        "by": "bob@example.com",
        "reason": "",
        "approval": str(APPROVAL),
    }
    Event.objects.create(
        run=run,
        seq=2,
        type="approval_decided",
        path="send",
        at=timezone.now(),
        payload={**payload, "request": "send!1"},
    )
    return run


def a_finished_run(actor: Actor) -> Run:
    a_writer(actor)
    edges = [edge.partition(">") for edge in EDGES]
    arrows = [
        {"from": source.partition(":")[0], "port": source.partition(":")[2] or "done", "to": target}
        for source, _, target in edges
    ]
    pipeline = drafts.create(actor, a_document(graph={"nodes": NODES, "edges": arrows}))
    version = publish.publish(actor, pipeline)
    run = Run.objects.create(workspace=actor.workspace, pipeline=pipeline, version=version, number=1, state="succeeded")
    for position, (path, port) in enumerate(STEPS.items()):
        node = path.rpartition(".")[2]
        place = NODES.get(node) or NODES["dig"]["graph"]["nodes"][node]
        state = "skipped" if path == "dropped" else "succeeded"
        Step.objects.create(
            run=run, path=path, node=node, kind=place["kind"], state=state, port=port, position=position, attempt=1
        )
    return run


def a_call(run: Run, path: str, kind: str, name: str, **fields: Any) -> None:
    n = Call.objects.filter(run=run, path=path).count() + 1
    Call.objects.create(
        run=run, key=f"{path}@1/{n}", path=path, attempt=1, n=n, kind=kind, name=name, state="finished",
        request_hash="", idempotency_key="", started_at=timezone.now(), **fields,
    )  # fmt: skip


def ask(team: Team, run: Run, path: str, name: str = "erin") -> Any:
    headers = bearer(getattr(team, name), team.elsewhere if name == "charlie" else team.workspace)
    return Client().get(f"/api/v1/runs/{run.pk}/lineage", {"path": path}, headers=headers)


def origins(team: Team, run: Run, path: str) -> dict[str, Any]:
    return {item["path"]: item for item in ask(team, run, path).json()["items"]}


def test_an_output_leads_to_every_step_agent_model_tool_and_person_behind_it(team: Team, run: Run) -> None:
    found = origins(team, run, "end")
    assert list(found)[:2] == ["end", "send"], "nearest first"
    assert set(found) == set(STEPS) - {"dropped", "dig[0].aside"}
    assert found["end"]["reads"] == ["send"]
    assert found["send"]["tools"] == [{"tool": "email.send@1", "state": "finished", "approved_by": "bob@example.com"}]
    (decision,) = found["send"]["decisions"]
    assert (decision["kind"], decision["decision"], decision["by"]) == ("approve", "approve", "bob@example.com")
    assert found["route"]["reads"] == ["dig"]
    assert found["dig"]["reads"] == ["topics", "dig[0].sum", "dig[1].sum"]
    assert found["dig[0].sum"]["models"] == ["demo/writer", "demo/judge"]
    assert found["dig[0].sum"]["agent"] == found["topics"]["agent"] == "writer@1"


def test_an_item_comes_from_its_list_but_not_from_its_neighbours(team: Team, run: Run) -> None:
    found = origins(team, run, "dig[1].sum")
    assert set(found) == {"dig[1].sum", "dig[1].find", "dig", "unread", "topics", "start"}
    assert found["dig[1].find"]["reads"] == ["dig", "unread"]
    assert found["dig"]["reads"] == ["topics"]


def test_an_arrow_that_was_not_taken_led_nowhere(team: Team, run: Run) -> None:
    assert set(origins(team, run, "dropped")) == {"dropped"}


def test_a_stranger_and_an_unknown_path_get_the_same_answer(team: Team, run: Run) -> None:
    stranger, unknown = ask(team, run, "end", "charlie"), ask(team, run, "nowhere")
    assert stranger.status_code == unknown.status_code == 404
    assert stranger.json() == unknown.json()
    assert ask(team, run, "").status_code == 404


def test_it_takes_as_many_queries_for_a_short_way_as_for_a_long_one(
    team: Team, run: Run, django_assert_num_queries: Any
) -> None:
    from runs.lineage import lineage

    actor, loaded = acting(team.alice), Run.objects.select_related("version").get(pk=run.pk)
    for path in ("start", "end"):
        with django_assert_num_queries(3):
            lineage(actor, loaded, path)


def test_a_round_comes_from_the_round_before_it(team: Team) -> None:
    actor = acting(team.alice)
    a_writer(actor)
    inner = {
        "nodes": {
            "draft": an_agent("Write. ${round.previous.review.output | default('')}"),
            "review": an_agent("Review ${steps.draft.output}."),
        },
        "edges": [{"from": "draft", "to": "review"}],
    }
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "repeat", "until": "round.n == 2", "result": "${steps.draft.output}", "graph": inner},
        "end": {"kind": "output", "value": "${steps.write.output}"},
    }
    arrows = [{"from": "start", "to": "write"}, {"from": "write", "to": "end"}]
    pipeline = drafts.create(actor, a_document(graph={"nodes": nodes, "edges": arrows}))
    version = publish.publish(actor, pipeline)
    run = Run.objects.create(workspace=actor.workspace, pipeline=pipeline, version=version, number=1, state="succeeded")
    rounds = [f"write#{number}.{name}" for number in (1, 2) for name in ("draft", "review")]
    for position, path in enumerate(["start", "write", *rounds, "end"]):
        node = path.rpartition(".")[2]
        kind = (nodes.get(node) or inner["nodes"][node])["kind"]
        Step.objects.create(
            run=run, path=path, node=node, kind=kind, state="succeeded", port="done", position=position, attempt=1
        )
    found = origins(team, run, "write#2.draft")
    assert found["write#2.draft"]["reads"] == ["write#1.review"]
    assert found["write#1.review"]["reads"] == ["write#1.draft"]
    assert found["write#1.draft"]["reads"] == []
    assert found["write"]["reads"] == []
    assert set(origins(team, run, "end")["write"]["reads"]) == {"write#1.draft", "write#2.draft"}
