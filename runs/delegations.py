"""What a supervisor asked its leader, planned and gave out, as the drawer of its step lists it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from pipelines.canvas import spoken
from pipelines.graph.model import Json, Kind
from runs.engine import paths
from runs.engine.scope import MADE
from runs.models import Run, Step
from runs.words import QUEUED, Badge, badge_of

MOST_PARTS = 300
_SHOWN = frozenset({"id", "worker", "task", "args", "uses"})
_FIELDS = ("path", "node", "kind", "title", "state", "wait_reason", "flags", "error", "port", "output")


@dataclass(frozen=True, slots=True)
class Part:
    """A turn of the leader or of a reviewer, or a delegation. `words` is the leader's reason, or the task."""

    step: Step
    badge: Badge
    label: str
    words: str

    @property
    def is_turn(self) -> bool:
        return "~" in self.step.path.rpartition(".")[0].rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Planned:
    """A task of the plan and how far it is; `step` is there once it has begun."""

    task: Mapping[str, Json]
    badge: Badge
    step: Step | None


@dataclass(frozen=True, slots=True)
class Work:
    """`refused` has {turn, code, message} each, once the supervisor has ended."""

    parts: Sequence[Part] = ()
    plan: Sequence[Planned] = ()
    refused: Sequence[Mapping[str, Json]] = ()


NO_WORK = Work()


def work_of(run: Run, step: Step) -> Work:
    """Return what ran in a supervisor, in its order. One query; none for any other step."""
    if step.kind != Kind.SUPERVISOR:
        return NO_WORK
    about = KeyTextTransform("help", KeyTransform("step", KeyTransform(MADE, "memo")))
    inside = Q(path__startswith=f"{step.path}~") | Q(path__startswith=f"{step.path}>")
    rows = Step.objects.filter(inside, run=run).annotate(about=about).only(*_FIELDS).order_by("position")[:MOST_PARTS]
    parts = [_part(row) for row in rows if next(paths.containers_of(row.path)) == step.path]
    meta = step.meta if isinstance(step.meta, dict) else {}
    return Work(parts, _plan(parts, meta.get("plan") or _newest_plan(parts)), meta.get("refused") or ())


def plan_in(value: Json) -> list[Mapping[str, Json]]:
    """Return the tasks of a plan {"steps": […]}; nothing of anything that has more to it than is shown of a plan."""
    steps = value.get("steps") if isinstance(value, dict) and value.keys() <= {"reason", "steps"} else None
    found = steps if isinstance(steps, list) else []
    return found if all(isinstance(task, dict) and {"id", "worker"} <= task.keys() <= _SHOWN for task in found) else []


def _part(row: Step) -> Part:
    instance, _, name = row.path.rpartition(".")
    is_turn = "~" in instance.rpartition(".")[2]
    number = instance.rpartition("~" if is_turn else ">")[2]
    label = f"{'Turn' if is_turn else 'Delegation'} {number} · {row.title or spoken(name)}"
    said = row.output.get("reason") if is_turn and isinstance(row.output, dict) else getattr(row, "about", "")
    return Part(row, badge_of(row), label, str(said or ""))


def _newest_plan(parts: Sequence[Part]) -> Sequence[Mapping[str, Json]]:
    """Return the newest plan that the leader or a reviewer has given, while the supervisor has not ended."""
    return next((found for part in reversed(parts) if part.is_turn and (found := plan_in(part.step.output))), ())


def _plan(parts: Sequence[Part], tasks: Sequence[Mapping[str, Json]]) -> list[Planned]:
    begun = {part.step.node: part for part in parts if not part.is_turn}
    found = [(task, begun.get(str(task.get("id")))) for task in tasks]
    return [Planned(task, part.badge if part else QUEUED, part.step if part else None) for task, part in found]
