"""Who may fork which run, what is refused and how it is named, and what the new run's rows say."""

import copy
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import AuditEntry, IdempotentResponse
from accounts.roles import Role
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, Draft, Pipeline
from runs.engine.status import RunState
from runs.forks import Fork, Savings, fork, savings
from runs.models import BoardEntry, Event, Inbox, Run, Step
from runs.services import Order, start_run
from tests.engine.building import a_graph
from tests.people import Team, a_team, acting, bearer

pytestmark = pytest.mark.django_db

INNER = {
    "nodes": {"dig": {"kind": "agent", "agent": "writer", "prompt": "Dig ${item}."}},
    "edges": [],
}
NODES: dict[str, Any] = {
    "start": {"kind": "input"},
    "research": {"kind": "agent", "agent": "writer", "prompt": "About ${input.topic}"},
    "each": {"kind": "each", "over": "${input.list}", "graph": INNER, "result": "${steps.dig.output}"},
    "approve": {"kind": "human", "guards": "send"},
    "send": {
        "kind": "tool",
        "tool": "email.send@1",
        "args": {"to": "a@example.com", "subject": "s", "body": "${steps.research.output}"},
    },
    "end": {"kind": "output", "value": "${steps.send.output}"},
}
EDGES = [
    {"from": "start", "to": "research"},
    {"from": "research", "to": "each"},
    {"from": "each", "to": "approve"},
    {"from": "approve", "port": "approved", "to": "send"},
    {"from": "send", "to": "end"},
]
INPUTS = {
    "type": "object",
    "required": ["topic"],
    "properties": {"topic": {"type": "string"}, "list": {"type": "array", "default": []}},
}


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def everyone(team: Team) -> Actor:
    return Actor(team.alice, team.workspace, frozenset(Role))


def a_document() -> dict[str, Any]:
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "mailing", "name": "Mailing"}
    return copy.deepcopy(
        {**head, "inputs": INPUTS, "budget": {"max_cost_usd": "1.00"}, "graph": {"nodes": NODES, "edges": EDGES}}
    )


@pytest.fixture
def pipeline(everyone: Actor) -> Pipeline:
    agents.create(everyone, "writer", AgentFields("demo/writer"))
    made = drafts.create(everyone, a_document())
    publish.publish(everyone, made, "")
    made.refresh_from_db()
    return made


@pytest.fixture
def run(everyone: Actor, pipeline: Pipeline) -> Run:
    """A run that ended, with what a worker would have written."""
    run = start_run(everyone, pipeline, Order({"topic": "tides", "list": ["a", "b"]}, tags=("spring",)))
    a_step(run, "start", "input", output=run.input)
    a_step(
        run, "research", "agent", output="Tides rise.", cost_micros=400, memo={"machine_ms": 5, "grants": {"x": "y"}}
    )
    a_step(run, "each", "each", output=["A", "B"], input={"over": ["a", "b"]})
    a_step(run, "each[0].dig", "agent", output="A", cost_micros=30)
    a_step(run, "each[1].dig", "agent", output="B", cost_micros=5)
    a_step(run, "approve", "human", output={}, port="approved", memo={"grant": {"approval": "z"}})
    a_step(run, "send", "tool", output={"id": 1}, input={"args": {"to": "a@example.com"}})
    a_step(run, "end", "output", output={"id": 1}, port=None)
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, cost_micros=435)
    run.refresh_from_db()
    return run


def a_step(run: Run, path: str, kind: str, **fields: Any) -> Step:
    now = timezone.now()
    position = Step.objects.filter(run=run).count() + 1
    base = {"state": "succeeded", "port": "done", "attempt": 1, "started_at": now, "finished_at": now}
    node = path.rpartition(".")[2]
    return Step.objects.create(run=run, path=path, node=node, kind=kind, position=position, **{**base, **fields})


def rows(run: Run) -> dict[str, Step]:
    return {step.path: step for step in Step.objects.filter(run=run)}


def test_a_fork_is_a_new_run_with_the_rows_it_reuses(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork("approve"))
    assert (new.state, new.version, new.input, new.tags) == ("queued", run.version, run.input, ["spring"])
    assert (new.forked_from, new.saved_micros, new.cost_micros) == (run, 435, 0)
    assert set(rows(new)) == {"start", "research", "each", "each[0].dig", "each[1].dig"}
    research = rows(new)["research"]
    assert (research.state, research.output, research.cost_micros) == ("succeeded", "Tides rise.", 0)
    assert research.flags == ["reused"]
    came_from = {"run": str(run.pk), "number": run.number, "cost_micros": 400}
    assert research.memo == {"reused_from": came_from}, "consent and retries stay behind"
    event = Event.objects.get(run=new)
    assert (event.seq, event.type) == (1, "run_created")
    assert event.payload["forked_from"] == str(run.pk)
    assert (event.payload["from_path"], event.payload["saved_usd"]) == ("approve", "0.000435")
    assert Inbox.objects.get(run=new).fact == {"fact": "run_requested"}
    assert AuditEntry.objects.get(action="run.forked").target == str(new.pk)


def test_a_fork_of_a_fork_counts_what_the_steps_had_cost_at_first(everyone: Actor, run: Run) -> None:
    second = fork(everyone, fork(everyone, run, Fork("approve")), Fork("each"))
    assert second.saved_micros == 400
    assert rows(second)["research"].memo["reused_from"]["run"] == str(run.pk)


def test_a_guard_of_a_step_that_runs_anew_asks_anew(everyone: Actor, run: Run) -> None:
    assert "approve" not in rows(fork(everyone, run, Fork("send")))


def test_without_a_step_everything_runs_anew(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork())
    assert rows(new) == {}
    assert (new.saved_micros, new.revision) == (0, 0)


def test_an_item_runs_anew_and_the_others_stay(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork("each[1].dig"))
    states = {path: step.state for path, step in rows(new).items()}
    assert states["each"] == "running"
    assert states["each[0].dig"] == "succeeded"
    assert states["each[1].dig"] == "pending"
    assert new.saved_micros == 430


def test_what_an_item_that_stays_has_done_is_known_to_the_fork(everyone: Actor, run: Run) -> None:
    """So that no pipeline stands in there for the whole and does it once more."""
    Step.objects.filter(run=run, path="each[0].dig").update(memo={"maybe_done": True, "retries": 1})
    found = rows(fork(everyone, run, Fork("each[1].dig")))
    assert found["each[0].dig"].memo["maybe_done"] is True
    assert "retries" not in found["each[0].dig"].memo
    assert "maybe_done" not in found["each[1].dig"].memo


def test_an_output_by_hand_stands_and_what_follows_runs(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork(overrides={"research": "Mine."}))
    assert set(rows(new)) == {"start", "research"}
    assert rows(new)["research"].memo == {"given": "Mine."}
    assert new.saved_micros == 0


def test_whoever_started_the_other_run_or_wrote_into_it_approves_nothing_of_a_fork(team: Team, run: Run) -> None:
    alice = Actor(team.alice, team.workspace, frozenset(Role))
    bob, dana = (Actor(user, team.workspace, frozenset(Role)) for user in (team.bob, team.dana))
    assert run.started_by == team.alice
    by_hand = fork(bob, run, Fork(overrides={"research": "Bob's words"}))
    assert by_hand.origin["editors"] == [str(team.alice.pk)]
    later = fork(dana, by_hand, Fork(from_path="send"))
    assert set(later.origin["editors"]) == {str(team.alice.pk), str(team.bob.pk)}
    assert set(fork(alice, later, Fork()).origin["editors"]) == {str(u.pk) for u in (team.alice, team.bob, team.dana)}


def test_a_fork_of_a_run_whose_starter_is_gone_keeps_whom_it_knows(team: Team, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(started_by=None, origin={"editors": [str(team.carol.pk)]})
    run.refresh_from_db()
    again = fork(Actor(team.dana, team.workspace, frozenset(Role)), run, Fork(from_path="send"))
    assert again.origin["editors"] == [str(team.carol.pk)]


def test_another_input_runs_everything_anew(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork(overrides={"start": {"topic": "moons"}}))
    assert new.input == {"topic": "moons", "list": []}
    assert rows(new) == {}
    assert fork(everyone, run, Fork("send", {"input": {"topic": "suns"}})).input["topic"] == "suns"


@pytest.mark.parametrize(
    ("order", "code", "where"),
    [
        (Fork("nowhere"), "unknown_step", "/from_path"),
        (Fork("each[9].dig"), "unknown_step", "/from_path"),
        (Fork(overrides={"no/where": 1}), "unknown_step", "/overrides/no~1where"),
        (Fork(overrides={"each[9].dig": 1}), "unknown_step", "/overrides/each[9].dig"),
        (Fork(overrides={"approve": {}}), "not_by_hand", "/overrides/approve"),
        (Fork(overrides={"end": 1}), "not_by_hand", "/overrides/end"),
        (Fork(overrides={"research": "a\0b"}), "invalid_override", "/overrides/research"),
        (Fork(overrides={"research": "x" * 300_000}), "invalid_override", "/overrides/research"),
        (Fork("each", {"each[0].dig": "x"}), "inside_rerun", "/overrides/each[0].dig"),
        (Fork(overrides={"start": {"topic": 7}}), "invalid_input", "/overrides/start/topic"),
    ],
)
def test_what_cannot_be_is_named(everyone: Actor, run: Run, order: Fork, code: str, where: str) -> None:
    with pytest.raises(Invalid) as refused:
        fork(everyone, run, order)
    assert (refused.value.code, refused.value.where) == (code, where)
    assert Run.objects.count() == 1
    assert savings(run, "nowhere") == Savings(0, 0)


def test_a_step_that_acts_at_this_moment_is_not_done_a_second_time(everyone: Actor, run: Run) -> None:
    Step.objects.filter(run=run, path="send").update(state="running")
    with pytest.raises(Conflict) as refused:
        fork(everyone, run, Fork("send"))
    assert refused.value.code == "step_running"


def test_a_run_under_way_is_forked_as_far_as_it_has_come(everyone: Actor, run: Run) -> None:
    Step.objects.filter(run=run, path="each[1].dig").update(state="running")
    Step.objects.filter(run=run, path="each").update(state="running", output=None)
    Step.objects.filter(run=run, path__in=["approve", "send", "end"]).delete()
    Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING)
    new = fork(everyone, run, Fork("send"))
    assert {path: step.state for path, step in rows(new).items()} == {
        "start": "succeeded",
        "research": "succeeded",
        "each": "running",
        "each[0].dig": "succeeded",
        "each[1].dig": "pending",
    }


def published(everyone: Actor, pipeline: Pipeline, change: Any) -> int:
    document = a_document()
    change(document["graph"]["nodes"])
    draft = Draft.objects.get(pipeline=pipeline)
    drafts.save(everyone, pipeline, document, draft.revision)
    return int(publish.publish(everyone, pipeline, "").number or 0)


def test_another_version_may_finish_what_this_one_began(everyone: Actor, run: Run, pipeline: Pipeline) -> None:
    def change(nodes: dict[str, Any]) -> None:
        nodes["research"]["title"] = "Another name"
        nodes["send"]["args"]["subject"] = "Another subject"

    number = published(everyone, pipeline, change)
    new = fork(everyone, run, Fork("send", version=number))
    assert new.version.number == number
    assert "research" in rows(new)


def test_another_version_with_other_words_in_a_reused_step_is_refused(
    everyone: Actor, run: Run, pipeline: Pipeline
) -> None:
    number = published(everyone, pipeline, lambda nodes: nodes["research"].update(prompt="Other words"))
    with pytest.raises(Conflict) as refused:
        fork(everyone, run, Fork("send", version=number))
    assert refused.value.code == "step_changed"
    assert "research" in refused.value.message
    assert fork(everyone, run, Fork("research", version=number)).version.number == number


def test_a_changed_agent_is_a_changed_step(everyone: Actor, run: Run, pipeline: Pipeline) -> None:
    agents.new_version(everyone, Agent.objects.get(slug="writer"), AgentFields("demo/writer", instructions="Be brief."))
    number = published(everyone, pipeline, lambda nodes: None)
    with pytest.raises(Conflict, match="research"):
        fork(everyone, run, Fork("send", version=number))


def test_an_unknown_version_is_not_found(everyone: Actor, run: Run) -> None:
    with pytest.raises(NotFound):
        fork(everyone, run, Fork(version=99))


@pytest.mark.parametrize("name", ["bob", "carol", "erin"])
def test_forking_needs_the_right_to_run(team: Team, run: Run, name: str) -> None:
    with pytest.raises(Forbidden):
        fork(acting(getattr(team, name)), run, Fork())
    assert Run.objects.count() == 1


def test_an_archived_pipeline_is_not_run_anew(everyone: Actor, run: Run) -> None:
    run.pipeline.archived_at = timezone.now()
    run.pipeline.save()
    with pytest.raises(Conflict, match="archived"):
        fork(everyone, run, Fork())


def test_savings_say_what_a_fork_will_reuse_without_reading_outputs(
    everyone: Actor, run: Run, django_assert_num_queries: Any
) -> None:
    shown = Run.objects.select_related("version").get(pk=run.pk)
    with django_assert_num_queries(2):
        found = savings(shown, "send")
    assert found == Savings(3, 435)
    assert fork(everyone, run, Fork("send")).saved_micros == found.micros


def post(client: Client, team: Team, run: Run, name: str = "alice", body: Any = None, **headers: str) -> Any:
    workspace = team.elsewhere if name == "charlie" else team.workspace
    sent = {**bearer(getattr(team, name), workspace), **headers}
    return client.post(f"/api/v1/runs/{run.pk}/fork", body, "application/json", headers=sent)


def test_the_route_answers_202_with_the_new_run(client: Client, team: Team, run: Run) -> None:
    answer = post(client, team, run, body={"from_path": "send"})
    assert answer.status_code == 202
    said = answer.json()
    assert (said["forked_from"], said["saved_usd"], said["state"]) == (str(run.pk), "0.000435", "queued")
    steps = client.get(f"/api/v1/runs/{said['id']}/steps", headers=bearer(team.alice, team.workspace)).json()["items"]
    research = next(step for step in steps if step["path"] == "research")
    assert (research["flags"], research["reused_from"], research["cost_usd"]) == (["reused"], str(run.pk), "0")
    lineage = client.get(f"/api/v1/runs/{said['id']}/lineage?path=each", headers=bearer(team.alice, team.workspace))
    assert {item["path"]: item["reused_from"] for item in lineage.json()["items"]}["research"] == str(run.pk)
    assert post(client, team, run).status_code == 202, "a body is not needed"


def test_the_same_key_forks_once(client: Client, team: Team, run: Run) -> None:
    headers = {"Idempotency-Key": "k1", **bearer(team.alice, team.workspace)}
    answers = [post(client, team, run, body={"from_path": "send"}, **headers).json()["id"] for _ in range(2)]
    assert answers[0] == answers[1]
    assert Run.objects.filter(forked_from=run).count() == 1
    assert IdempotentResponse.objects.count() == 1
    assert post(client, team, run, body={"from_path": "each"}, **headers).status_code == 409


def test_charlie_learns_nothing(client: Client, team: Team, run: Run) -> None:
    absent = post(client, team, Run(pk="0197a000-0000-7000-8000-000000000000"), "charlie")
    theirs = post(client, team, run, "charlie")
    assert (theirs.status_code, theirs.content) == (absent.status_code, absent.content) == (404, absent.content)


def test_an_unknown_key_is_refused(client: Client, team: Team, run: Run) -> None:
    assert post(client, team, run, body={"from": "send"}).status_code == 422


def test_a_fork_begins_with_what_the_steps_it_keeps_had_written_on_the_board(
    client: Client, team: Team, everyone: Actor
) -> None:
    """What runs anew writes anew; a value that is null is kept as null."""
    graph = a_graph(
        "start >> one >> two >> end",
        one={"kind": "board", "op": "write", "key": "a", "value": {"b": None}},
        two={"kind": "board", "op": "append", "key": "log", "value": 1},
        end={"kind": "output", "value": "${board.a}"},
    )
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "noting", "name": "Noting"}
    pipeline = drafts.create(everyone, {**head, "budget": {"max_cost_usd": "1"}, "board": {"first": 1}, "graph": graph})
    publish.publish(everyone, pipeline, "")
    pipeline.refresh_from_db()
    old = start_run(everyone, pipeline, Order({}))
    a_step(old, "start", "input", output={})
    for path, change in (("one", ["a", 1, "write", {"b": None}]), ("two", ["log", 1, "append", 1])):
        a_step(old, path, "board", output=change[3], memo={"board": [change], "verdict": {"value": None}})
        names = dict(zip(("key", "version", "op", "value"), change, strict=True))
        BoardEntry.objects.create(board_id=old.board_id, run=old, path=path, at=timezone.now(), **names)
    Run.objects.filter(pk=old.pk).update(state=RunState.SUCCEEDED)
    new = fork(everyone, Run.objects.get(pk=old.pk), Fork("two"))
    assert new.board_id != old.board_id
    assert rows(new)["one"].memo["board"] == [["a", 1, "write", {"b": None}]]
    assert rows(new)["one"].memo["verdict"] == {"value": None}
    shown = client.get(f"/api/v1/runs/{new.pk}/board", headers=bearer(team.alice, team.workspace)).json()["items"]
    assert [(entry["key"], entry["value"], entry["version"], entry["path"]) for entry in shown] == [
        ("a", {"b": None}, 1, "one"),
        ("first", 1, 1, None),
    ]
