"""What a supervisor asked its leader, planned and gave out, as the drawer of its step lists it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from pipelines.canvas import spoken
from pipelines.graph.model import Json, Kind
from runs.engine.scope import MADE
from runs.models import Run, Step
from runs.words import Badge, badge_of

MOST_PARTS = 300
_FIELDS = ("path", "node", "kind", "title", "state", "wait_reason", "flags", "error", "port", "output")


@dataclass(frozen=True, slots=True)
class Part:
    """A turn of the leader or of a reviewer, or a delegation. `words` is the leader's reason, or the task."""

    step: Step
    badge: Badge
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Work:
    """`plan` is the newest one: {id, worker, task, args, uses} each. `refused` has {turn, code, message} each."""

    parts: Sequence[Part] = ()
    plan: Sequence[Mapping[str, Json]] = ()
    refused: Sequence[Mapping[str, Json]] = ()


def work_of(run: Run, step: Step) -> Work:
    """Return what ran in a supervisor, in its order. One query; none for any other step."""
    if step.kind != Kind.SUPERVISOR:
        return Work()
    about = KeyTextTransform("help", KeyTransform("step", KeyTransform(MADE, "memo")))
    inside = Q(path__startswith=f"{step.path}~") | Q(path__startswith=f"{step.path}>")
    rows = Step.objects.filter(inside, run=run).annotate(about=about).only(*_FIELDS).order_by("position")
    direct = [row for row in rows[:MOST_PARTS] if "." not in row.path.removeprefix(step.path).partition(".")[2]]
    meta = step.meta if isinstance(step.meta, dict) else {}
    return Work([_part(step, row) for row in direct], meta.get("plan") or _planned(direct), meta.get("refused") or ())


def _part(around: Step, row: Step) -> Part:
    mark, number = row.path[len(around.path)], row.path[len(around.path) + 1 :].partition(".")[0]
    label = f"{'Turn' if mark == '~' else 'Task'} {number} · {row.title or spoken(row.node)}"
    said = row.output.get("reason") if mark == "~" and isinstance(row.output, dict) else getattr(row, "about", "")
    return Part(row, badge_of(row), label, str(said or ""))


def _planned(rows: Sequence[Step]) -> Sequence[Mapping[str, Json]]:
    """Return the newest plan that the leader or a reviewer has given, while the supervisor has not ended."""
    for row in reversed(rows):
        steps = row.output.get("steps") if isinstance(row.output, dict) and "~" in row.path else None
        if isinstance(steps, list):
            return [step for step in steps if isinstance(step, dict)]
    return ()
