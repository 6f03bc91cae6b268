"""R6: sixteen calls at once under caps of many sizes, and a provider that reports more than was reserved."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.models import Pipeline
from runs.models import Event, Run
from tests.faults.figures.telling import tell
from tests.faults.stage import Stage, books_balance

CAPS = ("0.0005", "0.0014", "0.0031", "0.0060")
WIDTH = 16
LIMITS = {"over_micros": 0, "refused_calls": (1, 1_000), "recorded_as_alerts": (1, 16)}

Ordered = Callable[[Stage, int, str, str], list[Run]]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def a_fan(stage: Stage, slug: str, agent: str, cap: str) -> Pipeline:
    """Publish sixteen agents at once under one cap; a refused one stops nobody."""
    names = [f"b{k}" for k in range(WIDTH)]
    nodes: dict[str, Any] = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    for name in names:
        prompt = f"[run=${{input.run}} step={name}]"
        nodes[name] = {"kind": "agent", "agent": agent, "prompt": prompt, "on_error": {"then": "skip"}}
    nodes["all"] = {"kind": "combine", "on_failed_input": "tolerate"}
    edges = [edge for name in names for edge in (f"start>{name}", f"{name}>all")] + ["all>end"]
    return stage.pipeline(slug, nodes, edges, budget={"max_cost_usd": cap, "on_exceed": "stop"})


def test_r6_no_run_spends_more_than_its_cap(stage: Stage) -> None:
    for name in ("w1", "w2"):
        stage.worker(name)
    tell("R6", spending(stage, in_one_run), **LIMITS)


def in_one_run(stage: Stage, number: int, agent: str, cap: str) -> list[Run]:
    return [stage.start(a_fan(stage, f"fan-{number}", agent, cap), f"r{number}")]


def spending(stage: Stage, ordered: Ordered) -> dict[str, Any]:
    """Have sixteen calls made at once under each cap, in the runs that are ordered for it; return what was spent."""
    agent = stage.agent("writer", 200)
    over: list[int] = []
    refused = spent = 0
    for number, cap in enumerate(CAPS):
        runs = [stage.wait(run) for run in ordered(stage, number, agent, cap)]
        paid = sum(run.cost_micros + run.unconfirmed_micros for run in runs)
        over.append(max(0, paid - round(float(cap) * 1_000_000)))
        spent += paid
        refused += WIDTH - len(stage.asked(f"r{number}"))
        assert all(books_balance(run) for run in runs)
    recorded = _above_what_was_reserved(stage, agent)
    values = {"caps": len(CAPS), "over_micros": max(over), "spent_micros": spent, "refused_calls": refused}
    return values | {"reported_above_reservation": recorded.cost_micros, "recorded_as_alerts": _alerts(recorded)}


def _above_what_was_reserved(stage: Stage, agent: str) -> Run:
    """Run one call for which the provider reports far more than it was allowed to write."""
    stage.models.ask("/admin/script", [{"text": "Long.", "output_tokens": 5_000, "times": 1}])
    nodes = {
        "start": {"kind": "input"},
        "a": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a]"},
        "end": {"kind": "output", "value": "${steps.a.output}"},
    }
    pipeline = stage.pipeline("greedy", nodes, ["start>a", "a>end"], budget={"max_cost_usd": "0.0010"})
    run = stage.wait(stage.start(pipeline, "greedy"))
    assert books_balance(run)
    return run


def _alerts(run: Run) -> int:
    return Event.objects.filter(run=run, type="budget_alert", payload__above_reservation=True).count()
