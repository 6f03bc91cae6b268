"""Runs anew from a step of another run: what ended before it is taken over and costs nothing, what follows is run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BigIntegerField, F, Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from accounts.ids import new_id
from pipelines.graph import canonical, sharing
from pipelines.graph.freeze import agents_of, pipelines_of, tools_of
from pipelines.graph.lock import Lock
from pipelines.graph.model import Document, Graph, Json, Kind, Node
from pipelines.graph.money import dollars
from pipelines.graph.problems import pointer
from pipelines.graph.tools import Effect
from pipelines.models import PipelineVersion
from pipelines.sharing import require_all_below
from runs import artifacts, boards, dispatch, removal, services
from runs.engine import forking, given, paths, spread
from runs.engine.decision import StepRecord
from runs.engine.facts import RunRequested
from runs.engine.forking import Takeover
from runs.engine.scope import MADE
from runs.engine.status import StepState
from runs.models import Event, Run, Step, Via

MAX_BY_HAND = 256 * 1024
_LIGHT = ("path", "node", "kind", "title", "state", "flags", "port", "position")

# Copied inside the database: the outputs of ten thousand steps need not pass through this process. What a step had
# cost, and where, comes along, and so does what it wrote on the board, what its item came to by the board, and that it
# changed something; consent, retries and whatever else it remembered stay behind.
_COPY = """
insert into runs_step (run_id, path, node, kind, title, state, attempt, flags, port, input, output, meta, large, error,
  memo, cost_micros, unpriced_calls, position, started_at, finished_at)
select %(fork)s, path, node, kind, title, state, attempt,
  case when 'reused' = any(flags) then flags else flags || 'reused'::varchar end, port, input, output, meta,
  large, error,
  jsonb_strip_nulls(jsonb_build_object('failed_input', memo->'failed_input', 'made', memo->'made',
    'reused_from', coalesce(memo->'reused_from',
      jsonb_build_object('run', %(run)s::text, 'number', %(number)s, 'cost_micros', cost_micros))))
    || coalesce((select jsonb_object_agg(key, value) from jsonb_each(memo) where key in
      ('board', 'verdict', 'maybe_done')), '{}'),
  0, 0, position, started_at, finished_at
from runs_step where run_id = %(run)s::uuid and path = any(%(paths)s)
"""


@dataclass(frozen=True, slots=True)
class Fork:
    """What is asked for. Without `from_path`, what follows the `overrides` runs anew; without those too, everything.

    `overrides` are outputs by path that stand instead of what the step came to; for the start step (or "input") it is
    the run's input, and then everything runs anew. `version` as in `services.Order`; None is the run's own.
    """

    from_path: str | None = None
    overrides: Mapping[str, Json] = field(default_factory=dict)
    version: int | str | None = None


@dataclass(frozen=True, slots=True)
class Savings:
    """How many steps that had cost something are reused, and what they had cost in micro-dollars."""

    steps: int
    micros: int


@dataclass(frozen=True, slots=True)
class _Old:
    """The other run's steps without their outputs; `paid` is what each had cost, here or in the run it came from."""

    records: Mapping[str, StepRecord]
    paid: Mapping[str, int]

    def savings(self, carried: Iterable[str]) -> Savings:
        costs = [self.paid[path] for path in carried]
        return Savings(sum(cost > 0 for cost in costs), sum(costs))


def fork(actor: Actor, run: Run, order: Fork) -> Run:
    """Start a run that takes over what `order` keeps of `run`, and return it, queued.

    Raises Invalid (`unknown_step`, `not_by_hand`, `invalid_override`, `inside_rerun`, `invalid_input`), Conflict
    (`step_changed`, `step_running`, `part_of_run`, `archived`), Gone `content_removed`, NotFound for an unknown
    version, Forbidden. Locks the run's row, so that none of its decisions falls between what is read and what is
    copied, and that retention waits.
    """
    require(actor, Capability.RUN, run.pipeline)
    services.refuse_archived(run.pipeline)
    if is_item(run):
        message = f"Run {run.number} is one item of another run. Fork that one from its step {run.parent_path}."
        raise Conflict(message, code="part_of_run")
    with transaction.atomic():
        run = (
            Run.objects.select_for_update(of=("self",), no_key=True)
            .select_related("pipeline", "version")
            .get(pk=run.pk)
        )
        removal.refuse(run)
        version = run.version if order.version is None else services.version_of(actor, run.pipeline, order.version)
        require_all_below(actor, version)
        document = services.document_of(version.pk)
        old = _old(run)
        before = artifacts.input_of(run)
        outputs, values = _by_hand(run, version, document, order, before)
        found = _taken(document.graph, old, order.from_path, outputs, anew=values != before)
        _refuse_acting(run, old, outputs)
        if version != run.version:
            _refuse_changes(run.version, version, found)
        new = _new_run(actor, run, version, document)
        new.input, new.saved_micros = values, old.savings(found.carried).micros
        new.revision = 1 if found.carried or found.begun else 0  # at 0 its owner looks for no rows
        services.save_new(new)
        _write_steps(run, new, found)
        _announce(actor, run, new, order)
    return new


def can_begin_at(path: str) -> bool:
    """Tell whether a fork may begin at this step: not in a round, a turn or a delegation, which depend on those before
    them."""
    return not set("#~>") & set(path)


def is_item(run: Run) -> bool:
    """Tell whether a run is one item of a For each, which means nothing without the run around it."""
    return bool(run.origin.get("place"))


def savings(run: Run, path: str) -> Savings:
    """Return what a fork of this run from the step at `path` would reuse. Two queries."""
    old = _old(run)
    try:
        found = _taken(services.document_of(run.version_id).graph, old, path, {}, anew=False)
    except Invalid:
        return Savings(0, 0)
    return old.savings(found.carried)


def _old(run: Run) -> _Old:
    came_with = KeyTextTransform("cost_micros", KeyTransform("reused_from", "memo"))
    paid = Coalesce(Cast(came_with, BigIntegerField()), F("cost_micros"))
    rows = list(Step.objects.filter(run=run).annotate(paid=paid).values(*_LIGHT, "paid"))
    needed = Q(kind=Kind.EACH) | Q(kind=Kind.TOOL, state=StepState.RUNNING)
    found = Step.objects.filter(needed, run=run).annotate(made=KeyTransform(MADE, "memo"))
    more = {
        path: (artifacts.whole(run.pk, large, "input", input_), made)
        for path, input_, large, made in found.values_list("path", "input", "large", "made")
    }
    records = {row["path"]: _record(row, *more.get(row["path"], (None, None))) for row in rows}
    return _Old(records, {row["path"]: row["paid"] for row in rows})


def _record(row: Mapping[str, Any], input_: Json, made: Json) -> StepRecord:
    fields = {name: row[name] for name in _LIGHT if name not in ("state", "port")}
    ports = tuple(row["port"].split(",")) if row["port"] else ()
    memo = {MADE: made} if made else {}
    return StepRecord(**fields, state=StepState(row["state"]), ports=ports, input=input_, memo=memo)


def _taken(graph: Graph, old: _Old, start: str | None, outputs: Mapping[str, Json], *, anew: bool) -> Takeover:
    starts = list(graph.nodes) if anew or (start is None and not outputs) else []
    starts += [start] if start is not None else []
    try:
        return forking.take_over(graph, old.records.values(), starts, outputs, timezone.now())
    except forking.NoSuchStep as error:
        where = "/from_path" if error.path == start else pointer("/overrides", error.path)
        message = f"There is no step {error.path!r} in the run. Name one as GET /runs/{{id}}/steps does."
        raise Invalid(message, code="unknown_step", where=where) from None
    except forking.RunsAnew as error:
        message = f"{error.path} cannot be given, since {error.container} runs anew with all that is in it."
        raise Invalid(message, code="inside_rerun", where=pointer("/overrides", error.path)) from None


def _by_hand(
    run: Run, version: PipelineVersion, document: Document, order: Fork, before: Json
) -> tuple[dict[str, Json], Json]:
    """Return the outputs given by hand and the new run's input; `before` is that of the other run."""
    outputs: dict[str, Json] = {}
    values = before
    if version != run.version:
        values = services.checked_input(document.inputs, values, where="/version")
    lock = Lock.from_json(version.lock)
    for path, value in order.overrides.items():
        where = pointer("/overrides", path)
        node = _node_at(document.graph, path)
        if (node is None and path == "input") or (node is not None and node.kind is Kind.INPUT and "." not in path):
            values = services.checked_input(document.inputs, value, where=where)
        elif node is None:
            raise Invalid(f"There is no step {path!r} in the pipeline.", code="unknown_step", where=where)
        else:
            _check(node, lock, path, value)
            outputs[path] = value
    return outputs, values


def _check(node: Node, lock: Lock, path: str, value: Json) -> None:
    where = pointer("/overrides", path)
    if node.kind in given.NOT_BY_HAND:
        message = f"The output of {path} cannot be given: it is a person's answer or the run's result."
        raise Invalid(message, code="not_by_hand", where=where)
    if canonical.sanitise(value)[1]:
        message = f"What is given for {path} holds a NUL, a broken character or a number beyond limits."
        raise Invalid(message, code="invalid_override", where=where)
    if len(canonical.canonical_json(value)) > MAX_BY_HAND:
        raise Invalid(f"The output given for {path} is larger than 256 KB.", code="invalid_override", where=where)
    found = next(given.findings(node, lock, value), None)
    if found:
        raise Invalid(f"This cannot be the output of {path}: {found}", code="invalid_override", where=where)


def _node_at(graph: Graph, path: str) -> Node | None:
    inner: Graph | None = graph
    node: Node | None = None
    for name in paths.place_of(path).split("."):
        node = inner.nodes.get(name) if inner else None
        inner = spread.graph_in(node) if node else None
    return node


def _refuse_acting(run: Run, old: _Old, outputs: Mapping[str, Json]) -> None:
    """Raise Conflict while the other run does something that cannot be undone: this one would do it a second time."""
    acting = [
        record
        for record in old.records.values()
        if record.kind == Kind.TOOL and record.state is StepState.RUNNING and record.path not in outputs
    ]
    if not acting:
        return
    graph, lock = services.document_of(run.version_id).graph, Lock.from_json(run.version.lock)
    for record in acting:
        node = _node_at(graph, record.path)
        tool = record.memo[MADE]["step"]["tool"] if MADE in record.memo else node and node.config["tool"]
        args = record.input["args"] if isinstance(record.input, dict) else {}
        if tool and lock.tool(str(tool)).effect_of(args) is Effect.IRREVERSIBLE:
            message = f"{record.path} is acting at this moment in run {run.number}. Fork when it has ended."
            raise Conflict(message, code="step_running", where="/from_path")


def _refuse_changes(old: PipelineVersion, new: PipelineVersion, found: Takeover) -> None:
    """Raise Conflict where another version would not have made what is taken over."""
    before, after = services.document_of(old.pk).graph, services.document_of(new.pk).graph
    locks = Lock.from_json(old.lock), Lock.from_json(new.lock)
    opened = set(found.opened)
    for path in [*found.carried, *found.opened]:
        made = [
            _makings(graph, lock, path, whole=path not in opened)
            for graph, lock in zip((before, after), locks, strict=True)
        ]
        if made[0] != made[1]:
            message = f"{path} is another step in that version, so what it came to cannot be reused. Fork from it."
            raise Conflict(message, code="step_changed", where="/version")


def _makings(graph: Graph, lock: Lock, path: str, *, whole: bool) -> Any:
    """Return all that a step's output follows from: the step, the edges into it, its agents and its tools."""
    node = _node_at(graph, path)
    if node is None:
        return None
    around: Graph | None = graph
    for name in paths.place_of(path).split(".")[:-1]:
        holder = around.nodes[name] if around else None
        around = spread.graph_in(holder) if holder else None
        if holder and spread.is_spread(holder):
            node = holder  # its item is carried out by a run of its graph, so it follows from all of that
    inward = around.ins.get(node.id, ()) if around else ()
    edges = {(around.edges[index].source, around.edges[index].port) for index in inward} if around else ()
    agents = [lock.agent(reference) for _, reference in agents_of(node)]
    tools = [lock.tool(reference) for reference in tools_of(node)]
    started = [lock.pipeline(reference) for _, reference in pipelines_of(node)]
    bare = replace(node, title="", help="", graph=node.graph if whole else None)
    return bare, edges, agents, tools, started


def _new_run(actor: Actor, run: Run, version: PipelineVersion, document: Document) -> Run:
    """Return the new run's row. Another version brings its own budget; a rehearsal stays one."""
    return Run(
        id=new_id(),
        workspace=actor.workspace,
        pipeline=run.pipeline,
        version=version,
        number=services.next_number(actor),
        tags=run.tags,
        budget=run.budget if version == run.version else services.tightened(document.budget, {}),
        rehearsal=run.rehearsal,
        started_by=actor.user,
        via=Via.FORK,
        forked_from=run,
        origin=_origin(run),
        seq=1,
        created_at=timezone.now(),
    )


_KEPT_OF_ORIGIN = ("labels", "editors", "ancestors", "max_depth")  # who sees the fork of a child sees what is above it


def _origin(run: Run) -> dict[str, Json]:
    """Return what a fork knows of the runs above. Its board is its own, and rows where the other run's was.

    Whoever started the other run gave its input, and what it took over by hand: they are among the fork's editors.
    """
    kept = {name: run.origin[name] for name in _KEPT_OF_ORIGIN if name in run.origin}
    if run.started_by_id is not None:
        kept["editors"] = sorted({*kept.get("editors", ()), str(run.started_by_id)})
    shares = run.origin.get("shares_board") or sharing.shares_board(services.document_of(run.version_id))
    return {**kept, "shares_board": True} if shares else kept


def _write_steps(run: Run, new: Run, found: Takeover) -> None:
    if found.carried:
        with connection.cursor() as cursor:
            names: dict[str, UUID | str | int | list[str]] = {"fork": new.pk, "run": str(run.pk), "number": run.number}
            cursor.execute(_COPY, {**names, "paths": found.carried})
        artifacts.copy(run.pk, new.pk)
    boards.copy(run, new, found.carried)
    Step.objects.bulk_create([_row(new, record) for record in found.begun], batch_size=1_000)


def _row(run: Run, record: StepRecord) -> Step:
    row, large = artifacts.take_out({"input": record.input}, ("input",), str(run.pk))
    artifacts.keep(large)
    return Step(
        run=run,
        path=record.path,
        node=record.node,
        kind=record.kind,
        title=record.title,
        state=record.state,
        attempt=record.attempt,
        **row,
        memo=record.memo,
        position=record.position,
        started_at=record.started_at,
    )


def _announce(actor: Actor, run: Run, new: Run, order: Fork) -> None:
    payload = {
        "by": actor.user.email,
        "forked_from": str(run.pk),
        "forked_number": run.number,
        "from_path": order.from_path,
        "edited": sorted(order.overrides),
        "saved_usd": dollars(new.saved_micros),
    }
    Event.objects.create(run=new, seq=1, type="run_created", at=new.created_at, payload=payload)
    details = {name: payload[name] for name in ("forked_from", "from_path", "edited")}
    audit.record(new.workspace, actor.user, "run.forked", str(new.pk), details)
    dispatch.report(new.pk, RunRequested(), key="start")
