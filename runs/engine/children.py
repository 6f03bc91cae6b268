"""Runs that a step starts: a Sub-pipeline, an item of a For each that is spread, a pipeline that an agent wants.

A step remembers its children in its memo: `children` = {"count", "live": {number: {"hold", "detached", "wants",
"heard"}}, "spent"} (what they want and asked for is `runs.engine.growing`'s),
`child` is the number of the one it waits for, `wanted` what its agent asked for, and `answers` what came of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.graph import canonical, schemas
from pipelines.graph.lock import PipelineSpec
from pipelines.graph.model import Budget, Json, Kind
from pipelines.graph.problems import pointer
from pipelines.graph.stand_ins import WITHIN, given_to_pipeline
from runs.engine import (
    allotting,
    checks,
    completing,
    doubts,
    failing,
    fallbacks,
    growing,
    locking,
    settling,
    spread,
    starting,
    trust,
)
from runs.engine.allotting import Allotted
from runs.engine.budget import Refusal
from runs.engine.decision import ChildStart, StepRecord
from runs.engine.facts import ChildEnded, ErrorClass, PipelineWanted, StepError, StepSucceeded
from runs.engine.kinds import route
from runs.engine.move import Move
from runs.engine.origin import Ancestor, Origin, child_id
from runs.engine.scope import MADE, Step
from runs.engine.state import Execution
from runs.engine.status import StepState, WaitReason
from runs.engine.values import LARGEST_ITEM, LARGEST_VALUE

# What a join was given: anybody's words.
CANDIDATES = "candidates"


class Refused(Exception):
    """A child that must not start; carries the step's error."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Order:
    """Which pipeline is started with what. `spec` is None for an item of the run's own For each."""

    spec: PipelineSpec | None
    input: Json
    origin: Origin
    detached: bool = False


def is_due(run: Execution, step: Step) -> bool:
    """Tell whether another run carries the step out now, and not the executor."""
    if settling.TO_JUDGE in step.record.memo:
        return False
    return "wanted" in step.record.memo or bool(fallbacks.pipeline_of(run, step)) or spread.is_item(step)


def want(move: Move, step: Step, fact: PipelineWanted) -> None:
    """Start a pipeline for an agent in the middle of its attempt."""
    step.record.memo["wanted"] = {"pipeline": fact.pipeline, "inputs": fact.inputs, "call": fact.call}
    starting.launch(move, step, starting.SAME)


def begin(move: Move, step: Step) -> None:
    """Start the step's child and let the step wait for it, unless it is detached."""
    try:
        order = _order(move.run, step)
    except Refused as refused:
        _refuse(move, step, refused.error)
        return
    own = order.spec.budget if order.spec else Budget()
    allotted = allotting.allot(move.run, step.path, own, detached=order.detached)
    if isinstance(allotted, Refusal):
        failing.over_budget(move, step, StepError(ErrorClass.BUDGET, allotted.code, allotted.message))
        return
    number = _enter(move, step, order, allotted)
    if order.detached:
        child = child_id(move.run.origin.run, step.path, number)
        doubts.note(move, step)  # what it does, nobody will say
        settling.succeed(move, step, None, {"run": child, "detached": True}, ("done",))


def ended(move: Move, fact: ChildEnded) -> None:
    """Take note of a child that has ended: its money counts in any case, its output where the step still waits."""
    record = move.run.children.pop((fact.path, fact.child), None)
    if record is None:
        return
    _settle(move, record, fact)
    step = move.run.find(fact.path)
    if step and step.record is record and record.memo.get("child") == fact.child and not record.state.is_terminal:
        settling.withdraw(move, step)  # a manager may have been asked on its behalf
        settling.leave(move, step)
        del record.memo["child"]
        _use(move, step, fact)
    growing.use_room(move)


def recall(run: Execution, record: StepRecord) -> None:
    """Know a step's children again after a restart, and what they used and hold of the run's caps."""
    children = record.memo.get("children")
    if children:
        run.child_count += children["count"]
        run.children.update({(record.path, int(number)): record for number in children["live"]})
        allotting.recount(run.spend, children)


def _enter(move: Move, step: Step, order: _Order, allotted: Allotted) -> int:
    """Have the child made with this decision, keep its money, and let the step wait for it."""
    run, record = move.run, step.record
    children = record.memo.setdefault("children", {"count": 0, "live": {}, "spent": None})
    children["count"] += 1
    number: int = children["count"]
    hold = allotting.hold_of(allotted.caps)
    children["live"][str(number)] = {"hold": hold, "detached": order.detached}
    allotting.keep(run, step.path, hold)
    run.children[step.path, number] = record
    run.child_count += 1
    child = child_id(run.origin.run, step.path, number)
    spec = order.spec
    move.decision.children.append(
        ChildStart(
            child,
            step.path,
            number,
            spec.pipeline if spec else "",
            spec.version if spec else "",
            order.input,
            allotted.caps,
            replace(order.origin, grows=allotted.grows, seconds=allotted.seconds),
            order.detached,
        )
    )
    settling.leave(move, step)
    record.attempt += record.memo.pop("prepared", starting.NEW) == starting.NEW
    record.memo.pop("queued", None)
    record.memo["child"] = number
    record.state, record.wait_reason = StepState.WAITING, WaitReason.CHILDREN
    settling.start_time(step, move.now)
    run.waiting.add(step.path)
    started = {"child": child, "pipeline": spec.id if spec else None}
    if "wanted" in record.memo:
        move.log("step_waiting", step.path, reason=WaitReason.CHILDREN, **started)
    else:
        move.log("step_started", step.path, attempt=record.attempt, **started)
    move.touch(step)
    return number


def _order(run: Execution, step: Step) -> _Order:
    """Return what the step starts; raise Refused with what is wrong."""
    if spread.is_item(step):
        given, labels = spread.surroundings(run, step)
        _check_size(step, given, LARGEST_ITEM)
        chain = run.chain()
        place = step.scope.container.place if step.scope.container else ""
        lock, shares = locking.held_at(run, step), spread.shares_board(run, step)
        origin = Origin("", chain, _depth(run), labels, place, lock=lock, shares_board=shares, alone=run.origin.alone)
        return _Order(None, given, replace(origin, unattended=run.origin.unattended))
    wanted = step.record.memo.get("wanted")
    reference = wanted["pipeline"] if wanted else fallbacks.pipeline_of(run, step)
    try:
        spec = run.lock.pipeline(reference)
    except KeyError:
        message = f"{step.path} names the pipeline {reference!r}, which this version does not hold."
        raise Refused(StepError(ErrorClass.CONFIG, "unknown_pipeline", message)) from None
    given = _given(step, wanted)
    input = _checked(step, spec, given)
    labels = dict.fromkeys(given, trust.MODEL) if wanted else _labels(run, step, given)
    named = {f"input.{name}": label for name, label in labels.items()}
    chain = _chain(run, step, spec, input)
    detached = bool(step.node.config.get("detached")) and not wanted
    lock = "" if detached else locking.held_at(run, step)
    shares = bool(step.node.config.get("share_board")) and not wanted
    unattended = run.origin.unattended
    origin = Origin("", chain, _depth(run), named, lock=lock, shares_board=shares, unattended=unattended)
    return _Order(spec, input, origin, detached)


def _depth(run: Execution) -> int:
    return min(run.origin.max_depth, run.limits.max_depth)


def _given(step: Step, wanted: Json) -> dict[str, Json]:
    """Return the fields that the child is given, as the step or its agent wrote them."""
    if wanted:
        found = wanted["inputs"]
    elif step.node.kind in WITHIN:
        found = step.record.input[WITHIN[step.node.kind]]
    else:
        names = given_to_pipeline(step.node) or ()
        found = {name: step.record.input[name] for name in names}
    return found if isinstance(found, dict) else {}


def _checked(step: Step, spec: PipelineSpec, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the child's input with the defaults of its form; raise Refused where it does not fit."""
    input, _ = canonical.sanitise(spec.filled(given))
    _check_size(step, input)
    found = schemas.findings(spec.inputs, input) if spec.inputs else []
    if found:
        where = f"{found[0].pointer or '/'}: {found[0].message}"
        message = f"{spec.id} does not take what {step.path} gives it: {where}"
        raise Refused(StepError(ErrorClass.CONFIG, "invalid_input", message))
    return dict(input)


def _check_size(step: Step, input: Json, most: int = LARGEST_VALUE) -> None:
    if (size := len(canonical.canonical_json(input))) > most:
        message = f"What {step.path} gives to another run has {size:,} bytes; {most:,} is the most."
        raise Refused(StepError(ErrorClass.LIMIT, "input_too_large", message))


def _chain(run: Execution, step: Step, spec: PipelineSpec, input: Json) -> tuple[Ancestor, ...]:
    """Return the child's ancestors; raise Refused where it would go round, or too deep."""
    chain = run.chain()
    if len(chain) > _depth(run):
        names = " › ".join(ancestor.pipeline for ancestor in chain)
        message = f"{step.path} would start {spec.slug} below {names}: runs go at most {_depth(run)} deep."
        raise Refused(StepError(ErrorClass.LIMIT, "too_deep", message))
    own = Ancestor(spec.slug, canonical.digest(input))
    if own in chain:
        above = len(chain) - chain.index(own)
        where = {1: "its own run", 2: "the run above it"}.get(above, f"a run {above - 1} levels above it")
        message = f"{step.path} would start {spec.slug} with the same input as {where}, which would never end."
        raise Refused(StepError(ErrorClass.LIMIT, "recursion", message))
    return chain


def _labels(run: Execution, step: Step, given: Mapping[str, Json]) -> dict[str, str]:
    """Return whose words each field is; for the child, what its parent's author wrote is a user's.

    Where a leader wrote the inputs, their names are its words too, even where no value stands under them.
    """
    if step.is_made:
        return dict.fromkeys(given, step.record.memo[MADE]["trust"])
    found = starting.trust_of(run, step)
    root = pointer("", WITHIN[step.node.kind]) if step.node.kind in WITHIN else ""
    return {
        name: trust.worst([trust.USER, *(label for at, label in found.items() if _is_within(at, pointer(root, name)))])
        for name in given
    } | ({CANDIDATES: trust.TOOL} if CANDIDATES in given and step.node.kind is Kind.COMBINE else {})


def _is_within(at: str, where: str) -> bool:
    return at == where or at.startswith(f"{where}/")


def _refuse(move: Move, step: Step, error: StepError) -> None:
    """Tell an agent that what it wanted cannot start; for any other step that is its end."""
    if "wanted" in step.record.memo:
        _answer(move, step, {"error": error.message})
    else:
        settling.leave(move, step)
        step.record.memo.pop("prepared", None)
        failing.give_up(move, step, error)


def _answer(move: Move, step: Step, answer: Json) -> None:
    memo = step.record.memo
    call = memo.pop("wanted")["call"]
    memo["answers"] = {**memo.get("answers", {}), call: answer}
    starting.launch(move, step, starting.SAME)


def _settle(move: Move, record: StepRecord, fact: ChildEnded) -> None:
    children = record.memo["children"]
    child = children["live"].pop(str(fact.child))
    allotting.settle(move.run, record.path, child["hold"], fact.spent)
    before = children["spent"] or dict.fromkeys(fact.spent, 0)
    children["spent"] = {name: before[name] + amount for name, amount in fact.spent.items()}
    move.decision.changed[record.path] = record


def _use(move: Move, step: Step, fact: ChildEnded) -> None:
    """Go on with what a child came to."""
    child = child_id(move.run.origin.run, step.path, fact.child)
    error = None if fact.state == "succeeded" else _error_of(step, fact)
    doubts.note_child(move, step, fact)
    if "wanted" in step.record.memo:
        _answer(move, step, {"error": error.message} if error else {"output": fact.output})
        return
    meta: dict[str, Json] = {"run": child, "reason": fact.reason}
    ports: tuple[str, ...] = ("done",)
    output = fact.output
    if error is None and step.node.kind is Kind.DECIDE:
        chosen = route.chosen_by_model(step, StepSucceeded(step.path, step.record.attempt, fact.output))
        if isinstance(chosen, StepError):
            error = chosen
        else:
            ports, output = chosen
    error = error or checks.wrong_with(move.run, step, output)
    if error is None:
        completing.go_on(move, step, output, meta, ports)
        return
    step.record.meta = {**meta, "error": None if fact.state == "succeeded" else fact.error}
    if spread.is_item(step) and fact.reason == spread.STOPS_RUN:
        failing.stop(move, step, error, run=True)
    elif error.cls is ErrorClass.BUDGET:  # it was the child's cap; what is left of the run's is told by the next call
        failing.give_up(move, step, error)
    else:
        failing.attempt_failed(move, step, error, 0.0)


def _error_of(step: Step, fact: ChildEnded) -> StepError:
    """Return a step's error for a child that ended badly: its class, and where in it."""
    if fact.state == "cancelled":
        return StepError(ErrorClass.INTERNAL, "child_cancelled", f"The run that {step.path} started was stopped.")
    error = {"class": ErrorClass.INTERNAL, "code": "child_failed", "message": "It failed.", **(fact.error or {})}
    where = f"{step.path}/{error['path']}" if error.get("path") else step.path
    if spread.is_item(step):
        return StepError(ErrorClass(error["class"]), error["code"], error["message"])
    return StepError(ErrorClass(error["class"]), "child_failed", f"{where}: {error['message']}")
