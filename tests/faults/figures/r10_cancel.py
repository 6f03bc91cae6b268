"""R10: after a cancel no new step begins."""

from typing import Any

import pytest

from runs.models import Call, Event, Run
from tests.faults.figures.telling import tell
from tests.faults.stage import Stage, books_balance, has_no_gap

RUNS = 10
ITEMS = 100
LIMITS = {"latest_start_after_s": 2, "ended_after_s": 30}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_r10_no_new_step_after_a_cancel(stage: Stage) -> None:
    for name in ("w1", "w2"):
        stage.worker(name)
    tell("R10", cancelled(stage), **LIMITS)


def cancelled(stage: Stage) -> dict[str, Any]:
    """Cancel runs with most of their items before them; return the figures once each has ended with its books right."""
    dig: dict[str, Any] = {"kind": "agent", "agent": stage.agent("digger", 200), "prompt": "[run=${input.run} step=d]"}
    each = {
        "kind": "each",
        "over": f"${{{list(range(ITEMS))}}}",
        "max_parallel": 4,
        "graph": {"nodes": {"dig": dig}, "edges": []},
    }
    nodes = {
        "start": {"kind": "input"},
        "all": {**each, "result": "${steps.dig.output}"},
        "end": {"kind": "output", "value": "${steps.all.output}"},
    }
    pipeline = stage.pipeline("busy", nodes, ["start>all", "all>end"])
    runs = stage.start_all(pipeline, [f"r{k}" for k in range(RUNS)])
    latest, ended = 0.0, 0.0
    for run in runs:
        stage.wait_for_call("d", run.input["run"])
        stage.cancel(run)
    for run in runs:
        now = stage.wait(run, seconds=60)
        assert now.state == "cancelled"
        assert books_balance(now)
        assert has_no_gap(now)
        asked = _cancelled_at(run)
        latest = max([latest, *((at - asked).total_seconds() for at in _starts(run))])
        ended = max(ended, (now.finished_at - asked).total_seconds())  # type: ignore[operator]
    return {
        "runs": RUNS,
        "latest_start_after_s": round(latest, 3),
        "ended_after_s": round(ended, 3),
        "calls": Call.objects.filter(run__in=runs).count(),
    }


def _cancelled_at(run: Run) -> Any:
    return run.inbox_set.get(key="cancel").created_at


def _starts(run: Run) -> list[Any]:
    return list(Event.objects.filter(run=run, type="step_started").values_list("at", flat=True))
