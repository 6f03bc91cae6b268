"""What people and programs may do with runs: start, cancel, pause, resume. Each checks the right, then reports."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from accounts.ids import new_id
from pipelines import publish, sharing, splits
from pipelines.graph import canonical, parse, schemas
from pipelines.graph.common import BUDGET
from pipelines.graph.model import Budget, Document, Json
from pipelines.graph.problems import Refusal, pointer
from pipelines.models import Pipeline, PipelineVersion
from runs import artifacts, dispatch
from runs.engine.facts import CancelRequested, PauseRequested, ResumeRequested, RunRequested, StopRequested
from runs.engine.status import StepState
from runs.engine.values import LARGEST_VALUE
from runs.models import Event, Run, Step, Via

ENDED = [state.value for state in StepState if state.is_terminal]


@dataclass(frozen=True, slots=True)
class Order:
    """How a run is asked for. `version` is a number, "draft", or None for the published one.

    `origin` is that of a run of one part of its document (`runs.engine.origin`), {} for a run of all of it.
    `via` says how it is asked for: a `Via`, or `by_trigger`.
    """

    input: Json = field(default_factory=dict)
    version: int | str | None = None
    tags: tuple[str, ...] = ()
    budget: dict[str, Any] = field(default_factory=dict)
    rehearsal: bool = False
    origin: dict[str, Json] = field(default_factory=dict)
    via: str = Via.API


def start_run(actor: Actor, pipeline: Pipeline, order: Order) -> Run:
    """Start a run of a pinned version and return it, queued.

    Raises Invalid (`invalid_input`, `input_too_large`, `invalid_budget`, `not_publishable`), Conflict
    (`not_published`, `archived`), NotFound for an unknown version, Forbidden.
    """
    require(actor, Capability.RUN, pipeline)
    refuse_archived(pipeline)
    with transaction.atomic():
        run_id = new_id()
        arm = splits.arm_of(pipeline, run_id) if order.version is None else None
        version = version_of(actor, pipeline, arm.version if arm else order.version)
        return start_version(actor, version, order, run_id, arm.name if arm else None)


def start_version(
    actor: Actor, version: PipelineVersion, order: Order, run_id: UUID | None = None, arm: str | None = None
) -> Run:
    """Start a run of exactly this version; the caller has checked that it may run and whose it is."""
    pipeline = version.pipeline
    sharing.require_all_below(actor, version)
    with transaction.atomic():
        document = document_of(version.pk)
        values = checked_input(document.inputs, order.input)
        now = timezone.now()
        run = Run(
            id=run_id or new_id(),
            arm=arm,
            workspace=actor.workspace,
            pipeline=pipeline,
            version=version,
            number=next_number(actor),
            input=values,
            tags=list(order.tags),
            budget=tightened(document.budget, order.budget),
            rehearsal=order.rehearsal,
            origin=order.origin,
            started_by=actor.user,
            via=order.via,
            seq=1,
            created_at=now,
        )
        save_new(run)
        Event.objects.create(run=run, seq=1, type="run_created", at=now, payload={"by": actor.user.email})
        dispatch.report(run.id, RunRequested(), key="start")
    return run


def save_new(run: Run) -> None:
    """Save a new run. What it is given stays in its row, or goes beside it where it is too large for that."""
    large: list[artifacts.Large] = []
    if len(canonical.compact_json(run.input).encode()) > artifacts.INLINE:
        row, large = artifacts.take_out_input({"input": run.input}, str(run.pk))
        run.input, run.large = row["input"], row["large"]
    run.save(force_insert=True)
    if large:
        artifacts.keep(large)


def refuse_archived(pipeline: Pipeline) -> None:
    if pipeline.archived_at:
        raise Conflict(f"{pipeline.name} is archived. Restore it before you run it.", code="archived")


def cancel(actor: Actor, run: Run, reason: str = "") -> None:
    """Ask the run to stop. A run that has ended already stays as it ended (Conflict `already_finished`)."""
    _require_control(actor, run)
    _refuse_ended(run)
    with transaction.atomic():
        dispatch.report(run.id, CancelRequested(by=actor.user.email, reason=reason), key="cancel")
        audit.record(run.workspace, actor.user, "run.cancelled", str(run.id))


def pause(actor: Actor, run: Run) -> None:
    """Start nothing new until the run is resumed; what runs goes on to its end."""
    _require_control(actor, run)
    _refuse_ended(run)
    with transaction.atomic():
        dispatch.report(run.id, PauseRequested(by=actor.user.email), key=f"pause:{new_id()}")
        audit.record(run.workspace, actor.user, "run.paused", str(run.id))


def resume(actor: Actor, run: Run) -> None:
    _require_control(actor, run)
    _refuse_ended(run)
    with transaction.atomic():
        dispatch.report(run.id, ResumeRequested(by=actor.user.email), key=f"resume:{new_id()}")
        audit.record(run.workspace, actor.user, "run.resumed", str(run.id))


def stop_step(actor: Actor, run: Run, path: str, reason: str = "") -> None:
    """Ask for one step to stop, or for one item or round of a container (`research[3]`); the rest of the run goes on.

    Raises Invalid `unknown_step` for what the run has not begun, Conflict `step_ended`, `already_finished`, Forbidden.
    """
    _require_control(actor, run)
    _refuse_ended(run)
    clean = path if "\0" not in path else ""
    steps = Step.objects.filter(run=run)
    found = steps.filter(path=clean).first()
    inside = steps.filter(path__startswith=f"{clean}.")
    if found is None and not inside.exists():
        message = f"There is no step {path[:200]!r} in the run yet. Name one as GET /runs/{{id}}/steps does."
        raise Invalid(message, code="unknown_step", where="/path")
    left = found.state not in ENDED if found else inside.exclude(state__in=ENDED).exists()
    if not left:
        raise Conflict(f"{path} has ended already.", code="step_ended", where="/path")
    with transaction.atomic():
        stop = StopRequested(path=clean, by=actor.user.email, reason=reason)
        dispatch.report(run.id, stop, key=f"stop:{new_id()}")
        audit.record(run.workspace, actor.user, "step.stopped", str(run.id), {"path": clean})


def _require_control(actor: Actor, run: Run) -> None:
    if run.started_by_id == actor.user.pk and actor.can(Capability.RUN):
        return
    require(actor, Capability.CANCEL_ANY)


def _refuse_ended(run: Run) -> None:
    if run.state in ("succeeded", "failed", "cancelled"):
        raise Conflict(f"Run {run.number} has already {run.state}.", code="already_finished")


@lru_cache(maxsize=256)
def document_of(version_id: UUID) -> Document:
    """Return a version's document, parsed once per process: it never changes."""
    return parse.parse(PipelineVersion.objects.values_list("document", flat=True).get(pk=version_id))


def version_of(actor: Actor, pipeline: Pipeline, wanted: int | str | None) -> PipelineVersion:
    """Return the version that is asked for: its number, "draft", or None for the published one."""
    if wanted == "draft":
        return publish.freeze_draft(actor, pipeline)
    if wanted is None:
        if pipeline.published is None:
            raise Conflict(f"{pipeline.name} has no published version. Publish it first.", code="not_published")
        return pipeline.published
    if not isinstance(wanted, int):
        raise Invalid('The version is a number, "draft", or null for the published one.', where="/version")
    return publish.version_of(pipeline, wanted)


def checked_input(schema: Json, given: Json, where: str = "/input") -> Json:
    """Return a run's input with its defaults; raise Invalid naming the value in the request, which stood at `where`."""
    if not isinstance(given, dict):
        raise Invalid("The input must be an object of the start form's fields.", code="invalid_input", where=where)
    if (size := len(canonical.canonical_json(given))) > LARGEST_VALUE:
        message = f"The input has {size:,} bytes; {LARGEST_VALUE:,} is the most."
        raise Invalid(message, code="input_too_large", where=where)
    fields = schema.get("properties", {}) if isinstance(schema, dict) else {}
    defaults = {name: rule["default"] for name, rule in fields.items() if isinstance(rule, dict) and "default" in rule}
    values = defaults | given
    clean, changed = canonical.sanitise(values)
    if changed:
        raise Invalid(
            "The input holds a NUL, a broken character or a number beyond limits.", code="invalid_input", where=where
        )
    found = schemas.findings(schema, clean) if schema else []
    if found:
        raise Invalid(found[0].message, code="invalid_input", where=f"{where}{found[0].pointer}")
    return clean


def tightened(document: Budget, asked: dict[str, Any]) -> dict[str, Json]:
    """Return the run's budget as JSON: the document's, each cap lowered where the starter asked for less."""
    budget: dict[str, Json] = {
        "max_cost_micros": document.max_cost_micros,
        "max_tokens": document.max_tokens,
        "max_llm_calls": document.max_llm_calls,
        "max_seconds": document.max_seconds,
        "alert_at": list(document.alert_at),
        "on_exceed": document.on_exceed,
    }
    for name, cap in _caps(asked).items():
        key = "max_cost_micros" if name == "max_cost_usd" else name
        budget[key] = cap if budget[key] is None else min(cap, budget[key])
    return budget


def _caps(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the caps asked for, money in micro-dollars; null asks for none. Read as the document's budget is."""
    given = {name: cap for name, cap in asked.items() if cap is not None}
    try:
        if name := next((name for name in given if name in ("alert_at", "on_exceed")), None):
            raise Refusal("unknown_key", f"A run's budget cannot change {name}.", pointer("/budget", name))
        caps = {name: cap for name, cap in BUDGET.read(given, "/budget").items() if name in given and cap is not None}
        if name := next((name for name, cap in caps.items() if cap <= 0), None):
            raise Refusal("out_of_range", "A cap must be above zero.", pointer("/budget", name))
    except Refusal as refusal:
        raise Invalid(refusal.message, code="invalid_budget", where=refusal.where) from None
    return caps


def next_number(actor: Actor) -> int:
    """Count up the workspace's runs and return the number of the next."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into runs_runcounter (workspace_id, last) values (%s, 1) "
            "on conflict (workspace_id) do update set last = runs_runcounter.last + 1 returning last",
            (actor.workspace.pk,),
        )
        return int(cursor.fetchone()[0])
