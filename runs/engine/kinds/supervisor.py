"""Supervisor: a leader is asked what to give to whom; each question is a turn of it, each task given out a delegation.

What it knows is in its `Book`, which is made anew from the rows of its turns and delegations after a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import re2

from pipelines.graph import plans
from pipelines.graph.freeze import agents_of, pipelines_of, tools_of
from pipelines.graph.model import Json, Kind
from pipelines.graph.workers import Worker, step_for, takes_task, workers_of
from runs.engine import briefing, instances, marks, paths, settling, trust, turns, values
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import come_to_nothing, give_up
from runs.engine.leading import Book, Stage
from runs.engine.move import Move
from runs.engine.orders import ROUTE, Order, Setting
from runs.engine.scope import Container, Outcome, Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState

LEADER, REVIEW = "leader", "review"
FORGIVEN = "forgiven"
MOST_ABOUT = 500
_TITLES = {"step": "Say what is next", "plan": "Make a plan", "route_only": "Choose who does it"}
_NOT_IN_NAMES = re2.compile(r"[^a-z0-9_]")


@dataclass(slots=True, eq=False, kw_only=True)
class Lead(Container):
    """A supervisor that is under way. `task` is its own, as a leader reads it, and `label` whose words that is.

    `numbers` gives the number of the delegation in an instance, by the instance's index; `unbooked` is one that a
    restart has found and not numbered yet. `logged` counts the refusals in the log, None before that is known.
    """

    book: Book
    task: str
    label: str
    next: int = 1
    numbers: dict[int, int] = field(default_factory=dict)
    unbooked: Scope | None = None
    logged: int | None = None


def open_container(move: Move, step: Step) -> None:
    missing = _missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    try:
        task = values.rendered(move.run, step, step.node.config["task"])
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    step.record.input = {"task": task}
    step.record.state = StepState.RUNNING
    step.record.attempt = 1
    settling.start_time(step, move.now)
    move.log("step_started", step.path, attempt=1, tasks=step.node.config["max_delegations"])
    reopen(move.run, step)
    _lead(move.run, step).logged = 0
    move.touch(step)
    feed(move, step)


def reopen(run: Execution, step: Step) -> None:
    """Begin the bookkeeping of a supervisor whose task is in its record."""
    text = briefing.text(step.record.input["task"])
    label = trust.labels(step, step.node.config["task"], "/task")["/task"]
    if not step.is_made and label in marks.UNTRUSTED:
        text = marks.marked(step.node.config["task"], text, label)
    book = Book(_setting(run, step, text))
    run.containers[step.path] = Lead(step=step, book=book, task=text, label=label)


def next_prefix(run: Execution, step: Step) -> str:
    """Return with what the paths in the next delegation begin, where one may begin, else those in the next turn."""
    book = _lead(run, step).book
    if book.stage is Stage.WORK and book.ready():
        return paths.of_delegation(step.path, len(book.given) + 1)
    return paths.of_turn(step.path, book.turn + 1)


def begin_next(run: Execution, step: Step) -> Scope:
    """Return the scope of the turn or delegation that had begun next before a restart."""
    lead, prefix = _lead(run, step), next_prefix(run, step)
    scope = instances.begin(run, lead, prefix)
    if prefix == paths.of_turn(step.path, lead.book.turn + 1):
        lead.book.turn += 1
    else:
        lead.unbooked = scope
    return scope


def take_note(run: Execution, step: Step, scope: Scope) -> None:
    """Take note of a delegation, or of a leader's or a reviewer's answer."""
    lead = _lead(run, step)
    number, record = lead.numbers.get(scope.index), next(iter(scope.steps.values())).record
    if number is not None:
        lead.book.note(number, _outcome(scope))
    elif record.state is not StepState.SUCCEEDED:
        lead.book.leader_failed(_error(record.error))
    elif record.node == REVIEW:
        meta = record.meta or {}
        decision = "approve" if "approved" in record.ports else str(meta.get("decision"))
        lead.book.reviewed(record.output, decision, str(meta.get("reason") or ""))
    else:
        lead.book.hear(record.output)


def feed(move: Move, step: Step) -> None:
    """End the supervisor when it has come to something, else begin a task, or ask what comes next."""
    lead = _lead(move.run, step)
    book = lead.book
    _log_refusals(move, lead)
    if book.stage is Stage.ENDED:
        complete(move, step, book.result, _meta(lead))
    elif book.stage is Stage.FAILED:
        step.record.meta = _meta(lead)
        come_to_nothing(move, step, book.error or _error(None))
    elif move.run.is_held:
        return
    elif book.stage is not Stage.WORK:
        if not lead.active:
            _ask(move, lead)
    elif lead.active < step.node.config["max_parallel"] and (order := book.ready()):
        _delegate(move, lead, order)


def retry(move: Move, step: Step) -> None:
    """Ask the leader again, have the one task done again, or go on after all: whatever the supervisor failed by."""
    lead = _lead(move.run, step)
    newest, code = lead.scopes.get(lead.next - 1), lead.book.error.code if lead.book.error else ""
    if newest and code == "leader_failed":
        lead.book.ask_again()
        turns.again(move, newest)
    elif newest and code == "delegation_failed":
        lead.book.forget(lead.numbers[newest.index])
        turns.again(move, newest)
    elif lead.book.stage in (Stage.ENDED, Stage.FAILED):
        memo = step.record.memo
        memo[FORGIVEN] = [*memo.get(FORGIVEN, ()), lead.book.turn]
        lead.book.forgive()


def above(run: Execution, step: Step) -> frozenset[str]:
    """Return the wishes that this step and the supervisors around it were begun for."""
    around = step.scope.container
    if around is None or around.path not in run.containers or around.node.kind is not Kind.SUPERVISOR:
        return frozenset()
    lead = _lead(run, around)
    number = lead.numbers.get(step.scope.index)
    if number is None:
        return lead.book.setting.above
    order = lead.book.given[number - 1]
    return lead.book.setting.above | {order.wish}


def _lead(run: Execution, step: Step) -> Lead:
    """Return a supervisor's bookkeeping, up to date: what a restart found is numbered, a finished batch closed."""
    lead = cast(Lead, run.containers[step.path])
    book = lead.book
    if lead.unbooked and lead.unbooked.graph.nodes:
        scope, lead.unbooked = lead.unbooked, None
        order = next(order for order in book.todo if order.id in scope.graph.nodes or _name(order) in scope.graph.nodes)
        lead.numbers[scope.index] = book.begin(order)
    if book.stage is Stage.WORK and len(book.outcomes) == len(book.given) and not book.ready():
        book.close()
    return lead


def _missing_from_lock(run: Execution, step: Step) -> StepError | None:
    """Return a `config` error when the version's lock lacks a leader or a worker."""
    agents = [("agent", reference, run.lock.agent) for _, reference in agents_of(step.node)]
    tools = [("tool", reference, run.lock.tool) for reference in tools_of(step.node)]
    pipelines = [("pipeline", reference, run.lock.pipeline) for _, reference in pipelines_of(step.node)]
    for what, reference, find in (*agents, *tools, *pipelines):
        try:
            find(reference)
        except KeyError:
            message = f"{step.path} names the {what} {reference!r}, which this version does not hold."
            return StepError(ErrorClass.CONFIG, f"unknown_{what}", message)
    return None


def _setting(run: Execution, step: Step, task: str) -> Setting:
    config = step.node.config
    return Setting(
        mode=config["mode"],
        task=task,
        workers={worker.name: worker for worker in workers_of(config)},
        lock=run.lock,
        most=config["max_delegations"],
        reviewed=config["review_plan"],
        schema=step.node.output_schema,
        above=above(run, step),
        too_deep=_too_deep(run, step),
        forgiven=frozenset(step.record.memo.get(FORGIVEN, ())),
    )


def _too_deep(run: Execution, step: Step) -> str:
    """Return why no supervisor may stand under this one, "" if one may."""
    deep, most = 1, run.limits.max_depth
    seen: Step | None = step
    while seen:
        most = min(most, seen.node.config["max_depth"]) if seen.node.kind is Kind.SUPERVISOR else most
        seen = seen.scope.container
        deep += seen is not None and seen.node.kind is Kind.SUPERVISOR
    return f"Supervisors may stand {most} deep under each other, and this is number {deep}." if deep >= most else ""


def _ask(move: Move, lead: Lead) -> None:
    """Begin the next turn: a question to the leader, or to a person about the plan."""
    step, book = lead.step, lead.book
    error = instances.too_many_steps(move.run, step, 1)
    if error:
        give_up(move, step, error)
        return
    turns.forget_ended(move.run, lead)
    made = _review(move, lead) if book.stage is Stage.REVIEW else _question(lead)
    book.turn += 1
    move.log("lead_asked", step.path, turn=book.turn, stage=book.stage, mode=book.setting.mode)
    turns.begin(move, lead, [made], paths.of_turn(step.path, book.turn))


def _question(lead: Lead) -> turns.Made:
    book = lead.book
    raw = {
        "kind": "agent",
        "agent": lead.step.node.config["agent"],
        "title": "Finish" if book.stage is Stage.FINAL else _TITLES[book.setting.mode],
        "prompt": briefing.question(book, lead.task),
        "output_schema": briefing.answer_schema(book),
    }
    has_tools = any(book.setting.workers[order.worker].kind != "agent" for order in book.given)
    label = trust.TOOL if has_tools or lead.label == trust.TOOL else trust.MODEL if book.given else lead.label
    return turns.Made(LEADER, raw, label=label)


def _review(move: Move, lead: Lead) -> turns.Made:
    """Return the question to a person whether the plan may be carried out, as it is or edited."""
    book, policy = lead.book, move.run.document.irreversible
    raw = {
        "kind": "human",
        "mode": "edit",
        "title": "Look at the plan",
        "help": briefing.about_plan(book),
        "show": {"steps": [task.as_json() for task in book.plan]},
        "form": plans.FORM,
        "roles": list(policy.roles),
        "people": list(policy.people),
        "min_approvals": policy.min_approvals,
        "expires": f"PT{int(policy.expires)}S",
        "on_expire": policy.on_expire,
    }
    return turns.Made(REVIEW, raw)


def _delegate(move: Move, lead: Lead, order: Order) -> None:
    """Begin one task, and look at once whether there is room for another."""
    step, book = lead.step, lead.book
    error = instances.too_many_steps(move.run, step, 1)
    if error:
        give_up(move, step, error)
        return
    turns.forget_ended(move.run, lead)
    made, number = _work(lead, order), book.begin(order)
    move.log("task_given", step.path, number=number, worker=order.worker, id=order.id)
    scope = turns.begin(move, lead, [made], paths.of_delegation(step.path, number))
    lead.numbers[scope.index] = number
    move.hungry.append(step)


def _work(lead: Lead, order: Order) -> turns.Made:
    """Return the step that carries a task out, with what it builds on put into its words or arguments."""
    book = lead.book
    worker, known = book.setting.workers[order.worker], book.known
    authors = {done.id: done.worker for done in book.given if done.id}
    if book.setting.mode == ROUTE:
        task, label = lead.task, lead.label
    else:
        task = briefing.task_for(order, {name: (authors[name], known[name]) for name in order.uses})
        label = trust.MODEL
    if any(book.setting.workers[authors[name]].kind != "agent" for name in order.uses):
        label = trust.TOOL
    if not takes_task(worker):
        label = trust.TOOL if label == trust.TOOL else trust.MODEL  # its arguments are the leader's
    raw = step_for(worker, task, plans.filled(order.args, known.__getitem__, lambda text: text))
    return turns.Made(_name(order), {**raw, "title": _title(worker), "help": order.task[:MOST_ABOUT]}, label=label)


def _outcome(scope: Scope) -> Outcome:
    """Return how the one step of a delegation ended."""
    record = next(iter(scope.steps.values())).record
    match record.state:
        case StepState.SUCCEEDED:
            return Outcome("succeeded", record.output)
        case StepState.FAILED:
            return Outcome("failed", error=record.error)
        case _:
            return Outcome("cancelled")


def _error(found: Json) -> StepError:
    error = found or {"class": ErrorClass.INTERNAL, "code": "cancelled", "message": "It was cancelled."}
    return StepError(ErrorClass(error["class"]), error["code"], error["message"])


def _name(order: Order) -> str:
    """Return the name of the step that carries a task out: a plan's own, else one after the worker."""
    if order.id:
        return order.id
    bare = str(_NOT_IN_NAMES.sub("_", order.worker.lower()))
    return (bare if bare[:1].isalpha() else f"w_{bare}")[:63]


def _title(worker: Worker) -> str:
    return worker.name.replace("-", " ").replace("_", " ").capitalize()[:200]


def _meta(lead: Lead) -> dict[str, Json]:
    book = lead.book
    return {
        "delegations": [_entry(lead, number) for number in range(1, len(book.given) + 1)],
        "plan": [task.as_json() for task in book.plan] or None,
        "refused": [entry.as_json() for entry in book.rejected],
        "turns": book.turn,
        "ended": book.ended or None,
    }


def _entry(lead: Lead, number: int) -> dict[str, Json]:
    order = lead.book.given[number - 1]
    outcome = lead.book.outcomes.get(number) or Outcome("cancelled")
    asked: Mapping[str, Json] = {"task": order.task} if order.task else {"args": dict(order.args)}
    return {
        "number": number,
        "path": paths.of_delegation(lead.step.path, number) + _name(order),
        "worker": order.worker,
        **({"id": order.id, "uses": list(order.uses)} if order.id else {}),
        **asked,
        "status": outcome.status,
        "value": outcome.value,
        "error": outcome.error,
    }


def _log_refusals(move: Move, lead: Lead) -> None:
    rejected = lead.book.rejected
    for entry in rejected[lead.logged :] if lead.logged is not None else ():
        move.log("task_refused", lead.step.path, **entry.as_json())
    lead.logged = len(rejected)
