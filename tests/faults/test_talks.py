"""Sessions outlive runs and workers; a run that logs without end is ended."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.models import Pipeline
from runs.execution import background, owned
from runs.execution.worker import Worker
from runs.models import Call, Run, Summary, Turn
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap
from tests.own_worker import a_worker_here

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def a_talk(stage: Stage, ms: int = 0, **node: Any) -> Pipeline:
    fields = {"conversation": "session", "session": "${input.run}", **node}
    prompt = "[run=${input.run} step=a] How are you?"
    nodes = {
        "start": {"kind": "input"},
        "a": {"kind": "agent", "agent": stage.agent(f"talker-{ms}", ms), "prompt": prompt, **fields},
        "end": {"kind": "output", "value": "${steps.a.output}"},
    }
    return stage.pipeline(f"talk-{ms}", nodes, ["start>a", "a>end"], budget={"max_cost_usd": "1.00"})


def asked(stage: Stage) -> list[list[dict[str, Any]]]:
    """Return the messages of each request to the model server, oldest first."""
    return [call["body"]["messages"] for call in stage.models.ask("/admin/calls")]


@pytest.fixture
def worker(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(background, "POLL_SECONDS", 0.2)
    with a_worker_here() as worker:
        yield worker


def test_a_session_goes_on_in_the_next_run_and_stays_with_its_name(stage: Stage, worker: Worker) -> None:
    pipeline = a_talk(stage)
    for marker in ("maya", "maya", "max"):
        run = stage.start(pipeline, marker)
        worker.wake(str(run.pk), forwarded=True)
        assert stage.wait(run).state == "succeeded"

    first, second, other = asked(stage)
    assert [message["role"] for message in first] == ["system", "user"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert len(other) == 2
    assert Turn.objects.count() == 3
    assert Turn.objects.values("key").distinct().count() == 2
    assert set(Turn.objects.values_list("trust", flat=True)) == {"user"}


def test_a_killed_worker_s_step_hears_what_it_heard_before_and_says_it_once(stage: Stage) -> None:
    stage.worker("w1")
    pipeline = a_talk(stage, 1500)
    assert stage.wait(stage.start(pipeline, "maya")).state == "succeeded"
    stage.models.ask("/admin/reset", {})
    run = stage.start(pipeline, "maya")
    stage.wait_for_call("a", "maya")
    stage.workers[0].kill()
    stage.worker("w2")

    run = stage.wait(run, seconds=60)

    assert run.state == "succeeded"
    heard = asked(stage)
    assert len(heard) == 2
    assert heard[0] == heard[1]
    assert len(heard[0]) == 4
    assert Call.objects.filter(run=run, name="conversation.read@1").count() == 1
    assert Turn.objects.filter(run=run).count() == 1
    assert finished_twice(run) == []
    assert books_balance(run)


def test_a_run_that_logs_without_end_is_ended_by_name(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned, "MOST_EVENTS", 60)
    note = {"kind": "tool", "tool": "notes.append@1", "args": {"text": "again"}}
    rounds = {"kind": "repeat", "max_rounds": 100, "graph": {"nodes": {"note": note}, "edges": []}}
    nodes = {"start": {"kind": "input"}, "all": rounds, "end": {"kind": "output", "value": "done"}}
    run = stage.start(stage.pipeline("endless", nodes, ["start>all", "all>end"]))
    worker.wake(str(run.pk), forwarded=True)

    run = stage.wait(run)

    assert (run.state, run.reason) == ("failed", "too_many_events")
    assert run.error["code"] == "too_many_events"
    assert 60 <= run.seq < 90
    assert has_no_gap(run)
    assert Run.objects.get(pk=run.pk).reserved_micros == 0


def a_chain(stage: Stage, nodes: dict[str, Any], edges: list[str]) -> Pipeline:
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "${steps.last.output}"}}
    return stage.pipeline("chain", {**ends, **nodes}, edges, budget={"max_cost_usd": "1.00"})


def test_what_is_summed_up_is_paid_for_and_booked(stage: Stage, worker: Worker) -> None:
    talker = {"kind": "agent", "agent": stage.agent("talker"), "conversation": "run", "history": "summary", "last_n": 1}
    names = ["a", "b", "last"]
    nodes = {name: {**talker, "prompt": f"[run=${{input.run}} step={name}] Go on."} for name in names}
    run = stage.start(a_chain(stage, nodes, ["start>a", "a>b", "b>last", "last>end"]))
    worker.wake(str(run.pk), forwarded=True)

    run = stage.wait(run)

    assert (run.state, run.llm_calls) == ("succeeded", 4)
    assert [len(messages) for messages in asked(stage)] == [2, 4, 2, 5]
    assert Call.objects.filter(run=run, path="last", kind="model", cost_micros__gt=0).count() == 2
    assert Turn.objects.count() == 0
    assert Summary.objects.filter(run=run).count() == 1
    assert books_balance(run)


def test_a_session_that_grows_is_summed_up_turn_by_turn(stage: Stage, worker: Worker) -> None:
    pipeline = a_talk(stage, history="summary", last_n=1)
    for _ in range(4):
        run = stage.start(pipeline, "maya")
        worker.wake(str(run.pk), forwarded=True)
        run = stage.wait(run)
        assert (run.state, books_balance(run)) == ("succeeded", True)

    summing_up = [messages[-1]["content"] for messages in asked(stage) if "Sum up" in messages[0]["content"]]
    assert [text.count("Asked: ") for text in summing_up] == [1, 1]
    assert "in short: " not in summing_up[0]
    assert "in short: " in summing_up[1]
    assert list(Summary.objects.order_by("id").values_list("covers__len", flat=True)) == [1, 2]


def test_a_worker_killed_after_it_summed_up_pays_for_that_once(stage: Stage) -> None:
    stage.worker("w1")
    pipeline = a_talk(stage, 1500, history="summary", last_n=1)
    for _ in range(2):
        assert stage.wait(stage.start(pipeline, "maya"), seconds=60).state == "succeeded"
    stage.models.ask("/admin/reset", {})
    run = stage.start(pipeline, "maya")
    stage.wait_for_call("a", "maya", times=2)
    stage.workers[0].kill()
    stage.worker("w2")

    run = stage.wait(run, seconds=60)

    assert run.state == "succeeded"
    assert len([one for one in asked(stage) if "Sum up" in one[0]["content"]]) == 1
    assert Summary.objects.count() == 1
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


@pytest.mark.parametrize("merge", ["best_of", "synthesize"])
def test_a_merge_by_judgement_is_a_call_like_every_other(stage: Stage, worker: Worker, merge: str) -> None:
    writer = {"kind": "agent", "agent": stage.agent("writer")}
    nodes = {
        "a": {**writer, "prompt": "[run=${input.run} step=a] Write."},
        "b": {**writer, "prompt": "[run=${input.run} step=b] Write."},
        "last": {
            "kind": "combine",
            "merge": merge,
            "agent": stage.agent("judge"),
            "prompt": "[run=${input.run} step=j]",
        },
    }
    run = stage.start(a_chain(stage, nodes, ["start>a", "start>b", "a>last", "b>last", "last>end"]))
    worker.wake(str(run.pk), forwarded=True)

    run = stage.wait(run)

    asked_twice = 2 if merge == "best_of" else 1
    assert (run.state, run.llm_calls) == ("succeeded", 2 + asked_twice)
    assert isinstance(run.output, str)
    calls = Call.objects.filter(run=run, path="last", kind="model", state="finished", cost_micros__gt=0)
    assert calls.count() == stage.asked()["j"] == asked_twice
    assert books_balance(run)


def test_a_worker_killed_while_an_agent_judges_pays_for_nothing_that_had_answered(stage: Stage) -> None:
    stage.worker("w1")
    writer = {"kind": "agent", "agent": stage.agent("writer")}
    nodes = {
        "a": {**writer, "prompt": "[run=${input.run} step=a] Write."},
        "b": {"kind": "transform", "set": {"text": "'something else'"}},
        "last": {
            "kind": "combine",
            "merge": "best_of",
            "agent": stage.agent("judge", 1500),
            "prompt": "[run=${input.run} step=j]",
        },
    }
    run = stage.start(a_chain(stage, nodes, ["start>a", "start>b", "a>last", "b>last", "last>end"]))
    stage.wait_for_call("j", times=2)
    stage.workers[0].kill()
    stage.worker("w2")

    run = stage.wait(run, seconds=60)

    assert run.state == "succeeded"
    assert stage.asked()["j"] == 3, "the verdict that had come is kept, the one that was lost is asked for again"
    assert stage.asked()["a"] == 1
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)
