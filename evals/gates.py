"""What a pipeline's draft must pass before it is published: a part of the answers to one version of a dataset."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Invalid
from accounts.safe import Use
from evals import datasets
from evals.evaluations import MOST_REPEATS, MOST_RESULTS
from evals.models import Case, DatasetVersion, Evaluation, PublishGate
from evals.scorers import needs_judge
from pipelines.conditions import Candidate
from pipelines.graph.model import Json
from pipelines.graph.problems import Problem, shown
from pipelines.models import Pipeline


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a draft. `dataset_version` is the newest of now unless given; `repeats` is the least."""

    dataset: str
    min_pass_rate: float
    dataset_version: int | None = None
    judge: str = ""
    repeats: int = 3


def read(actor: Actor, slug: str) -> PublishGate | None:
    """Return the gate of a pipeline, None where it has none; NotFound without the pipeline."""
    rows = PublishGate.objects.select_related("dataset__dataset", "pipeline", "set_by")
    return rows.filter(pipeline=get(Pipeline, actor, slug=slug)).first()


@transaction.atomic
def put(actor: Actor, slug: str, demand: Demand) -> PublishGate:
    """Set the gate of a pipeline and return it; raise Invalid `invalid_gate`, NotFound, Forbidden."""
    require(actor, Capability.RULES)
    pipeline = get(Pipeline, actor, slug=slug)
    if not 0 < demand.min_pass_rate <= 1:
        raise _wrong("More than none of the answers must pass, and at most all.", "/min_pass_rate")
    version = datasets.version_of(actor, demand.dataset, demand.dataset_version)
    if not 1 <= demand.repeats <= min(MOST_REPEATS, MOST_RESULTS // max(version.size, 1)):
        message = f"These cases are answered 1 to {min(MOST_REPEATS, MOST_RESULTS // max(version.size, 1))} times each."
        raise _wrong(message, "/repeats")
    aimless = Case.objects.filter(version=version, has_expected=False, asserts=[]).first()
    if aimless is not None:
        message = f"The case {shown(aimless.name)} expects nothing and asserts nothing, so it says nothing of a draft."
        raise _wrong(message, "/dataset")
    _check_judge(version, demand.judge)
    pinned = {"dataset": version, "judge": demand.judge, "repeats": demand.repeats}
    wanted = {**pinned, "min_pass_rate": demand.min_pass_rate, "set_by": actor.user}
    gate, _ = PublishGate.objects.update_or_create(pipeline=pipeline, defaults=wanted)
    audit.record(actor.workspace, actor.user, "publish_gate.set", slug, _said(demand, version))
    return gate


def uses_of_models(actor: Actor) -> Iterator[tuple[str, Use]]:
    """Yield the models that judge for gates, by themselves or in a case's rubric, each with the gate. Two queries."""
    live = scoped(Pipeline, actor).filter(archived_at=None)
    gates = list(PublishGate.objects.filter(pipeline__in=live).select_related("pipeline"))
    asked: dict[UUID, set[str]] = {}
    rows = Case.objects.filter(version__in={gate.dataset_id for gate in gates}).exclude(asserts=[])
    for version, asserts in rows.values_list("version", "asserts").iterator() if gates else ():
        asked.setdefault(version, set()).update(one["model"] for one in asserts if one.get("model"))
    for gate in gates:
        use = Use("publish gate", gate.pipeline.name, reverse("pipeline", args=[gate.pipeline.slug]))
        yield from ((model, use) for model in sorted(asked.get(gate.dataset_id, set()) | {gate.judge} - {""}))


def _check_judge(version: DatasetVersion, judge: str) -> None:
    asked = (
        one for asserts in Case.objects.filter(version=version).values_list("asserts", flat=True) for one in asserts
    )
    if not judge and any(needs_judge(one) and not one.get("model") for one in asked):
        raise _wrong("A rubric of these cases names no model. Name the judge, another model than answers.", "/judge")


def _said(demand: Demand, version: DatasetVersion) -> dict[str, Json]:
    return {
        "dataset": version.dataset.name,
        "dataset_version": version.number,
        "min_pass_rate": demand.min_pass_rate,
        "judge": demand.judge,
        "repeats": demand.repeats,
    }


def _wrong(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_gate", where=where)


@transaction.atomic
def remove(actor: Actor, slug: str) -> None:
    """Let a pipeline be published without having passed anything; NotFound without the pipeline, Forbidden."""
    require(actor, Capability.RULES)
    gate = read(actor, slug)
    if gate is not None:
        gate.delete()
        audit.record(actor.workspace, actor.user, "publish_gate.removed", slug)


def stands_in_the_way(candidate: Candidate) -> Problem | None:
    """Return why a draft has not passed its gate, None where it has, or where the pipeline has none.

    The newest evaluation counts, cancelled or not, that was made of exactly this document with this lock on the cases
    that the gate pins, by its judge, as often as it asks. Assertions that it had of its own might have asked for less
    than the cases do, so that such a one says nothing.
    """
    gate = PublishGate.objects.select_related("dataset__dataset").filter(pipeline=candidate.pipeline).first()
    if gate is None:
        return None
    same = candidate.pipeline.versions.filter(hash=candidate.hash, lock=candidate.lock)
    rows = Evaluation.objects.filter(version__in=same.values("pk"), dataset=gate.dataset, asserts=[])
    rows = rows.filter(repeats__gte=gate.repeats, **({"judge": gate.judge} if gate.judge else {}))
    lack = _lack(rows.order_by("-created_at").first(), gate)
    return Problem("not_evaluated", "error", "", None, f"{_wanted(gate)} {lack}") if lack else None


def _lack(found: Evaluation | None, gate: PublishGate) -> str:
    """Return in a sentence what is missing, "" where nothing is."""
    if found is None:
        return f"It has not been evaluated on version {gate.dataset.number} of it{how(gate)}. Evaluate the draft."
    if found.is_open:
        return "Its evaluation is under way. Wait for its end."
    if found.state == Evaluation.State.CANCELLED:
        return "Its newest evaluation was cancelled. Evaluate the draft again."
    summary = found.summary or {}
    rate, errors = summary.get("pass_rate"), summary.get("errors", 0)
    if found.state != Evaluation.State.FINISHED or rate is None or errors:
        return "In its evaluation not every answer could be scored. Evaluate the draft again."
    if rate < gate.min_pass_rate:
        return f"{percent(rate)} did. Change the draft, then evaluate it."
    return ""


def _wanted(gate: PublishGate) -> str:
    name = gate.dataset.dataset.name
    return f"Before a draft is published, {percent(gate.min_pass_rate)} of its answers to {name} must pass."


def how(gate: PublishGate) -> str:
    """Return how often and by whom it is judged, beginning with a comma; "" where nothing is asked of that."""
    often = f", each case at least {gate.repeats} times" if gate.repeats > 1 else ""
    return f"{often}, with {gate.judge} as the judge" if gate.judge else often


def percent(part: float) -> str:
    """Return a part of 1 as people read it, never rounded up to what it is not."""
    return f"{int(part * 1000 + 1e-6) / 10:g} %"
