"""Values too large for a row: kept beside the rows, whole wherever they are read, and there after a crash."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Q

from approvals import services as desk
from approvals.models import Approval
from approvals.policy import Decision
from pipelines.graph.canonical import digest
from pipelines.models import Pipeline
from runs import artifacts
from runs.execution import background
from runs.execution.worker import Worker
from runs.forks import Fork, fork
from runs.models import Artifact, CacheEntry, Call, Inbox, Run, Step
from runs.services import Order, start_run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap
from tests.own_worker import a_worker_here

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

WORDS = "A line of a long report, with an é in it.\n" * 4_000
TEXT = {"type": "object", "properties": {"text": {"type": "string"}, "run": {"type": "string"}}}


@pytest.fixture
def worker(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(background, "POLL_SECONDS", 0.2)
    with a_worker_here() as worker:
        yield worker


def a_wide_pipeline(stage: Stage, ms: int = 0) -> Pipeline:
    """Publish a parent whose child brings 330,000 characters, which an agent is told and sends to the result."""
    child = {
        "start": {"kind": "input"},
        "end": {"kind": "output", "value": "${input.text}${input.text}"},
    }
    stage.pipeline("doubling", child, ["start>end"], inputs=TEXT)
    nodes = {
        "start": {"kind": "input"},
        "call": {"kind": "pipeline", "pipeline": "doubling", "inputs": {"text": "${input.text}"}},
        "write": {
            "kind": "agent",
            "agent": stage.agent(f"writer-{ms}", ms),
            "prompt": "[run=${input.run} step=write] Sum up: ${steps.call.output}",
            "cache": {"mode": "workspace"},
        },
        "look": {"kind": "human", "mode": "approve", "roles": ["reviewer"], "show": {"draft": "${steps.write.output}"}},
        "end": {"kind": "output", "value": {"short": "${steps.write.output}", "all": "${steps.call.output}"}},
    }
    edges = ["start>call", "call>write", "write>look", "look:approved>end"]
    return stage.pipeline(f"wide-{ms}", nodes, edges, inputs=TEXT)


def start(stage: Stage, pipeline: Pipeline, marker: str = "r1") -> Run:
    return start_run(stage.composer, pipeline, Order({"text": WORDS, "run": marker}))


def approved(stage: Stage, run: Run) -> Run:
    """Return the run at its end, once bob has said yes to its question."""
    wait_for(lambda: Approval.objects.filter(run=run, state="open").exists(), 60, lambda: stage.explain(run))
    asked = Approval.objects.get(run=run, state="open")
    desk.decide(stage.bob, asked.pk, Decision("approve", asked.payload_hash))
    return stage.wait(run, seconds=60)


def whole(row: Any, column: str) -> Any:
    run_id = row.pk if isinstance(row, Run) else row.run_id
    return artifacts.whole(run_id, row.large, column, getattr(row, column))


def nothing_large_stands_in_a_row(run: Run) -> bool:
    rows = [*Step.objects.filter(run=run), *Call.objects.filter(run=run), *Run.objects.filter(pk=run.pk)]
    return all(
        len(str(getattr(row, column, None))) < artifacts.INLINE
        for row in rows
        for column in ("input", "output", "meta", "request", "response")
    )


def test_a_large_value_goes_through_a_child_a_prompt_and_the_result_and_is_kept_once_in_each_run(
    stage: Stage, worker: Worker
) -> None:
    run = start(stage, a_wide_pipeline(stage))
    run = approved(stage, run)

    assert (run.state, run.output) == ("succeeded", None)
    assert whole(run, "output")["all"] == WORDS * 2
    child = Run.objects.get(parent=run)
    assert whole(child, "output") == WORDS * 2
    told = Inbox.objects.get(run=run, key=f"child:{child.pk}")
    assert (told.fact["output"], told.large["output"]["run"]) == (None, str(child.pk))
    assert Artifact.objects.filter(run=child).count() == 1, "the step's output and the run's are one value"
    call = Step.objects.get(run=run, path="call")
    assert call.large["output"]["hash"] == digest(WORDS * 2) == Artifact.objects.get(run=child).hash
    write = Step.objects.get(run=run, path="write")
    assert WORDS * 2 in whole(write, "input")["prompt"]
    asked = Call.objects.get(run=run, path="write")
    assert WORDS in whole(asked, "request")["messages"][-1]["text"]
    assert asked.response is not None, "a small answer stands in its row, whatever the request"
    assert all(nothing_large_stands_in_a_row(one) for one in (run, child))
    for kept in Artifact.objects.filter(run__in=[run, child]):
        assert kept.hash == digest(kept.value)


def test_a_killed_worker_s_run_goes_on_with_its_large_values_and_pays_for_nothing_twice(stage: Stage) -> None:
    stage.worker("w1")
    run = start(stage, a_wide_pipeline(stage, 1500))
    stage.wait_for_call("write")
    stage.workers[0].kill()
    stage.worker("w2")

    run = approved(stage, run)

    assert run.state == "succeeded"
    assert whole(run, "output")["all"] == WORDS * 2
    assert Run.objects.filter(parent=run).count() == 1
    assert stage.asked()["write"] == 2, "the call that the crash cut off, and the one that answered"
    assert finished_twice(run) == []
    assert books_balance(run)
    assert has_no_gap(run)


def test_a_fork_keeps_the_large_values_it_took_over_and_they_go_with_their_run(stage: Stage, worker: Worker) -> None:
    first = approved(stage, start(stage, a_wide_pipeline(stage)))
    second = approved(stage, fork(stage.composer, first, Fork("look")))
    assert stage.asked() == {"write": 1}
    old = {first.pk, *Run.objects.filter(parent=first).values_list("pk", flat=True)}
    Run.objects.filter(Q(pk__in=old), parent__isnull=False).delete()
    Run.objects.get(pk=first.pk).delete()

    assert not Artifact.objects.filter(run_id__in=old).exists()
    assert whole(second, "output")["all"] == WORDS * 2
    assert whole(Step.objects.get(run=second, path="call"), "output") == WORDS * 2


def test_a_large_kept_result_is_given_to_a_later_run(stage: Stage) -> None:
    stage.worker("w1")
    args = {"method": "GET", "url": f"{stage.sink_url}/big?bytes=400000"}
    nodes = {
        "start": {"kind": "input"},
        "get": {"kind": "tool", "tool": "http.request@1", "args": args, "cache": {"mode": "workspace"}},
        "end": {"kind": "output", "value": "${steps.get.output.text}"},
    }
    pipeline = stage.pipeline("fetching", nodes, ["start>get", "get>end"])
    first = stage.wait(stage.start(pipeline))
    second = stage.wait(stage.start(pipeline))

    entry = CacheEntry.objects.get()
    assert (entry.output, entry.large["output"]["size"] > 400_000) == (None, True)
    assert "cached" in Step.objects.get(run=second, path="get").flags
    assert whole(second, "output") == whole(first, "output")
    assert len(whole(second, "output")) == 400_000


GIVEN = WORDS * 6
"""A megabyte."""


def a_reading_pipeline(stage: Stage, ms: int = 0) -> Pipeline:
    """Publish a parent that hands all that it was given to a child, and to the items of a For each that is spread."""
    child = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "${input.text}"}}
    stage.pipeline("passing", child, ["start>end"], inputs=TEXT)
    first = {"kind": "transform", "set": {"length": "size(input.text)", "item": "item"}}
    inner = {"nodes": {"count": first}, "edges": []}
    nodes = {
        "start": {"kind": "input"},
        "write": {
            "kind": "agent",
            "agent": stage.agent(f"writer-{ms}", ms),
            "prompt": "[run=${input.run} step=write] Go.",
        },
        "call": {"kind": "pipeline", "pipeline": "passing", "inputs": {"text": "${input.text}"}},
        "each": {"kind": "each", "over": [1, 2], "graph": inner, "spread": True, "result": "${steps.count.output}"},
        "end": {"kind": "output", "value": {"text": "${steps.call.output}", "each": "${steps.each.output}"}},
    }
    return stage.pipeline(f"reading-{ms}", nodes, ["start>write", "write>call", "call>each", "each>end"], inputs=TEXT)


def comes_to_what_it_was_given(run: Run) -> None:
    each = [{"length": len(GIVEN), "item": number} for number in (1, 2)]
    assert (run.state, run.input, run.output) == ("succeeded", None, None), run.error
    assert whole(run, "output") == {"text": GIVEN, "each": each}
    assert artifacts.input_of(run) == {"text": GIVEN, "run": "r1"}
    children = list(Run.objects.filter(parent=run))
    assert [child.input for child in children] == [None, None, None]
    assert {child.parent_path for child in children} == {"call", "each[0].run", "each[1].run"}
    assert all(nothing_large_stands_in_a_row(one) for one in (run, *children))


def test_a_large_input_goes_through_its_run_to_its_children_and_its_fork(stage: Stage, worker: Worker) -> None:
    pipeline = a_reading_pipeline(stage)
    run = stage.wait(start_run(stage.composer, pipeline, Order({"text": GIVEN, "run": "r1"})), seconds=60)
    comes_to_what_it_was_given(run)
    given = run.large["input"]["hash"]
    assert Step.objects.get(run=run, path="start").large["output"]["hash"] == given
    assert Artifact.objects.filter(run=run, hash=given).count() == 1
    child = Run.objects.get(parent=run, parent_path="call")
    assert artifacts.input_of(child) == {"text": GIVEN}

    again = stage.wait(fork(stage.composer, run, Fork("call")), seconds=60)
    comes_to_what_it_was_given(again)
    assert stage.asked() == {"write": 1}


def test_a_killed_worker_s_run_goes_on_with_its_large_input(stage: Stage) -> None:
    stage.worker("w1")
    run = start_run(stage.composer, a_reading_pipeline(stage, 1500), Order({"text": GIVEN, "run": "r1"}))
    stage.wait_for_call("write")
    stage.workers[0].kill()
    stage.worker("w2")

    run = stage.wait(run, seconds=60)

    comes_to_what_it_was_given(run)
    assert stage.asked()["write"] == 2, "the call that the crash cut off, and the one that answered"
    assert finished_twice(run) == []
    assert books_balance(run)
    assert has_no_gap(run)
