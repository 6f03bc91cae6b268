"""Reads what a run came to, for scorers: its output, cost and time, and the way it took."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from evals.models import Case
from evals.scorers.values import NOTHING, StepSeen, Subject, Trajectory
from pipelines.graph.model import Document, Kind
from pipelines.graph.places import places
from runs import artifacts, family, services
from runs.agent_bench import tool_calls
from runs.engine.answers import AGAIN
from runs.engine.facts import ErrorClass
from runs.models import Call, Event, Run, Step

# The surroundings failed and not the pipeline: the answer is none, neither good nor bad.
_NOT_ITS_FAULT = frozenset({ErrorClass.TRANSIENT, ErrorClass.TIMEOUT, ErrorClass.BUDGET, ErrorClass.CONFIG,
                            ErrorClass.INTERNAL})  # fmt: skip
_INSTANCE = re.compile(r"[\[#~>](\d+)")


def fault_of(run: Run) -> str:
    """Return why the run says nothing about its pipeline, "" where it does: it succeeded, or failed by itself."""
    if run.content_removed_at is not None:
        return "What it answered was removed by retention."
    if run.state == "succeeded":
        return ""
    if run.state == "cancelled":
        return "The run was cancelled."
    error = run.error or {}
    if error.get("class") in _NOT_ITS_FAULT:
        return str(error.get("message") or "The run could not be carried out.")
    return ""


def subject_of(case: Case, run: Run, paths: Collection[str] = ()) -> Subject:
    """Return what an ended run answered to a case, with the outputs of the steps at these paths. Seven queries at the
    most, and one for each of these outputs that is large."""
    error = run.error or {}
    return Subject(
        output=artifacts.whole(run.pk, run.large, "output", run.output),
        expected=case.expected_output if case.has_expected else NOTHING,
        cost_micros=cost_of(run),
        seconds=seconds_of(run),
        trajectory=trajectory_of(run, paths),
        broke="" if run.state == "succeeded" else str(error.get("message") or "The run failed."),
    )


def cost_of(run: Run) -> int | None:
    """Return what a run cost with all that it started, None where a call had no known price. One query."""
    family.add_up([run])
    totals = run.totals
    if totals is None or totals.unpriced_calls:
        return None
    return totals.cost_micros + totals.unconfirmed_micros


def seconds_of(run: Run) -> float | None:
    """Return how long a run took from its first step to its end."""
    if run.started_at is None or run.finished_at is None:
        return None
    return float((run.finished_at - run.started_at) / timedelta(seconds=1))


def trajectory_of(run: Run, paths: Collection[str] = ()) -> Trajectory:
    document = services.document_of(run.version_id)
    steps = Step.objects.filter(run=run).order_by("position", "id")
    rows = list(steps.only("path", "node", "kind", "state", "attempt"))
    outputs = {
        row.path: artifacts.whole(run.pk, row.large, "output", row.output)
        for row in steps.filter(path__in=paths).only("path", "output", "large")
    }
    rounds = _rounds(row.path for row in rows)
    seen = {row.path: StepSeen(row.state, row.node, outputs.get(row.path), rounds.get(row.path, 0)) for row in rows}
    decided = Event.objects.filter(run=run, type="approval_decided").exclude(payload__decision=AGAIN)
    questions = decided.count()  # a run that waited with others for one question asks no second one
    return Trajectory(seen, _tools(run, document, rows), questions)


def _rounds(paths: Iterable[str]) -> dict[str, int]:
    """Return how many items, rounds or turns each container had, from the paths of what ran in it."""
    seen: dict[str, set[str]] = {}
    for path in paths:
        for found in _INSTANCE.finditer(path):
            seen.setdefault(path[: found.start()], set()).add(found.group(1))
    return {path: len(numbers) for path, numbers in seen.items()}


def _tools(run: Run, document: Document, rows: Iterable[Step]) -> Counter[str]:
    """Return how often each tool was called, or was pretended to be: by actions, and by agents in their talk."""
    named = {
        place.node.id: str(place.node.config["tool"]) for place in places(document) if place.node.kind is Kind.TOOL
    }
    acted = [row for row in rows if row.kind == Kind.TOOL and row.state in ("succeeded", "failed") and row.attempt]
    return Counter([*(named[row.node] for row in acted if row.node in named), *_by_agents(run)])


def _by_agents(run: Run) -> Iterator[str]:
    """The last request of an agent repeats the talk before it, with every call in it."""
    calls = Call.objects.filter(run=run, kind="model", request__tools__isnull=False)
    for last in calls.order_by("path", "-id").distinct("path"):
        for one in tool_calls(last):
            yield one.name
