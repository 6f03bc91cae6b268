"""A step that kills the process that carries it out: it fails by name, and its neighbours get through."""

import pytest

from pipelines.models import Pipeline
from runs.models import Run, Step
from tests.conftest import wait_for
from tests.faults.stage import Stage, WorkerProcess, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
MOST_WORKERS = 12


def a_note(stage: Stage, slug: str, text: str) -> Pipeline:
    nodes = {
        "start": {"kind": "input"},
        "note": {"kind": "tool", "tool": "notes.append@1", "args": {"text": text}},
        "end": {"kind": "output", "value": "${steps.note.output}"},
    }
    return stage.pipeline(slug, nodes, ["start>note", "note>end"])


def test_a_step_that_kills_its_worker_fails_as_a_dead_letter_and_takes_nobody_along(stage: Stage) -> None:
    poison = stage.start(a_note(stage, "poison", "poison"))
    chain = stage.chain(2, 200)
    healthy = [stage.start(chain, f"r{k}") for k in range(3)]
    workers: list[WorkerProcess] = []
    while not _has_ended(poison) and len(workers) < MOST_WORKERS:
        workers.append(stage.worker(f"w{len(workers)}", oddity="poison"))
        wait_for(lambda w=workers[-1]: _has_ended(poison) or not w.is_running, 60, stage.logs)
    died = sum(not worker.is_running for worker in workers)
    run = stage.wait(poison, seconds=60)
    assert (run.state, died) == ("failed", 5), stage.explain(poison)
    assert Step.objects.get(run=run, path="note").error["code"] == "dead_letter"
    assert has_no_gap(run)
    for neighbour in healthy:
        now = stage.wait(neighbour, seconds=60)
        assert now.state == "succeeded", stage.explain(neighbour)
        assert has_no_gap(now)


def _has_ended(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, finished_at__isnull=False).exists()
