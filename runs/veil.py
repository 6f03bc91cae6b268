"""Runs as those see them who see what things cost, and nothing of what runs say.

What is shown is changed here, never what is kept: nobody saves what comes out of here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from accounts.access import Actor
from runs import family, health, inspection
from runs.health import Progress
from runs.inspection import StepRow
from runs.models import Run, Step
from runs.receipt import Receipt
from runs.tallies import HEAVY


def run(actor: Actor, found: Run) -> Run:
    """Return the run without what went in and came out, unless the actor sees content."""
    if not actor.sees_content:
        found.input, found.output, found.large = {}, None, None
        found.error = _by_its_class(found.error)
        found.pipeline.description = ""
    return found


def lines(actor: Actor, found: Iterable[Progress]) -> list[Progress]:
    """Return runs as lines that name no step by its title: a model may have written it."""
    if actor.sees_content:
        return list(found)
    return [replace(line, run=run(actor, line.run), doing="") for line in found]


def receipt(actor: Actor, found: Receipt) -> Receipt:
    """Return a receipt whose steps are named by their paths."""
    if actor.sees_content:
        return found
    return replace(found, run=run(actor, found.run), lines=[replace(line, title=line.path) for line in found.lines])


def _by_its_class(error: object) -> dict[str, object] | None:
    """Return of an error what says which kind it is; of a cap's all, which is written by the engine alone."""
    if not isinstance(error, dict) or error.get("class") == "budget":
        return error if isinstance(error, dict) else None
    kept = {name: error[name] for name in ("class", "code", "path") if name in error}
    return {**kept, "message": "Your roles do not show what it says."}


@dataclass(frozen=True, slots=True)
class RunCosts:
    """A run's costs, its steps by their paths."""

    run: Run
    progress: Progress
    elapsed: float | None
    may_control: bool
    steps: Sequence[StepRow]
    receipt: Receipt | None


def costs_of(actor: Actor, run_id: UUID) -> RunCosts:
    """Return what a run came to, step by step; raise NotFound where it is not this workspace's."""
    found = inspection.run_of(actor, run_id)
    stopped = inspection.receipt_of(found)
    (progress,) = lines(actor, [health.one(found)])
    family.add_up([found])
    rows = Step.objects.filter(run=found).defer(*HEAVY).order_by("position", "id")[: inspection.STEP_ROWS]
    return RunCosts(
        run=found,
        progress=progress,
        elapsed=inspection.elapsed(found),
        may_control=inspection.may_control(actor, found),
        steps=inspection.step_rows(list(rows)),
        receipt=receipt(actor, stopped) if stopped else None,
    )
