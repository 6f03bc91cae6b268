"""The items of a For each and the rounds of a Repeat: how each stands, what it cost, and where to look."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.graph.model import Kind
from runs.engine import paths
from runs.engine.status import StepState
from runs.models import Run, Step
from runs.sentences import instance_of
from runs.tallies import HEAVY
from runs.words import Badge, badge_of

MOST_STEPS = 2_000
MOST_PARTS = 200
_TELLING = (
    *(StepState.FAILED, StepState.WAITING, StepState.RUNNING, StepState.RETRYING, StepState.READY),
    *(StepState.PENDING, StepState.SUCCEEDED, StepState.CANCELLED, StepState.SKIPPED),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One item or round. `path` is of its most telling step, which its badge is."""

    title: str
    badge: Badge
    path: str
    cost_micros: int


def parts_of(run: Run, step: Step) -> list[Part]:
    """Return the items or rounds of a container, in order; nothing of any other step. One query."""
    if step.kind not in (Kind.EACH, Kind.REPEAT):
        return []
    mark = "#" if step.kind == Kind.REPEAT else "["
    inside = Step.objects.filter(run=run, path__startswith=f"{step.path}{mark}").defer(*HEAVY)
    by_part: dict[str, list[Step]] = {}
    for one in inside.order_by("position", "id")[:MOST_STEPS]:
        by_part.setdefault(_part_around(one.path, step.path), []).append(one)
    ordered = sorted(by_part, key=_number)[:MOST_PARTS]
    return [_part(by_part[prefix]) for prefix in ordered]


def _part_around(path: str, container: str) -> str:
    """Return the prefix of the instance of the container that a path stands in."""
    return next(prefix for prefix in paths.scopes_of(path) if paths.container_of(prefix) == container)


def _number(prefix: str) -> int:
    found = re.search(r"(\d+)\]?\.$", prefix)
    return int(found[1]) if found else 0


def _part(steps: Sequence[Step]) -> Part:
    direct = [one for one in steps if one.path.count(".") == min(other.path.count(".") for other in steps)]
    shown = min(direct, key=lambda one: _TELLING.index(StepState(one.state)))
    title = instance_of(paths.prefix_of(shown.path)).rpartition(", ")[2].capitalize()
    return Part(title, badge_of(shown), shown.path, sum(one.cost_micros for one in steps))
