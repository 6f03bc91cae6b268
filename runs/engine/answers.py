"""What a person's answer does to the step that waited for it. An answer to a closed question changes nothing."""

from pipelines.graph import gates
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json, Kind
from runs.engine import budget, checks, doubts, failing, growing, settling, starting, worktime
from runs.engine.completing import complete
from runs.engine.facts import Answered, ErrorClass, StepBlocked, StepError, StepSucceeded
from runs.engine.kinds import carry_out, containers, route, work
from runs.engine.kinds.work import Grant
from runs.engine.move import Move
from runs.engine.requests import Question, action_of, ask, who_by_policy
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import StepState, WaitReason
from runs.engine.trust import EDITED

Request = dict[str, Json]
# The word on a question that another run asked too: whatever was said stands in the books, or nothing was.
AGAIN = "again"
# Errors of a step that did not get the inputs it needs.
_OF_A_JOIN = frozenset({"not_enough_inputs", "wait_timeout"})
# Silence has an answer of its own to these.
_NOT_ESCALATED = frozenset({"failure", "budget", "outcome_unknown"})
# What a step tried before does not count when a person orders a retry.
_FORGOTTEN = (
    *("retries", "repairs", "fallback", "crashes"),
    *("repair", "edits", "outcomes", "denials", "answers"),
)


def answer(move: Move, fact: Answered) -> None:
    """Apply the final word on a question: the desk's, or that of the run above."""
    if growing.answered(move, fact):
        return
    step = _who_waits_for(move.run, fact.request)
    if step is None:
        return
    request = step.record.memo["request"]
    del step.record.memo["request"]
    escalates = _escalates(move, step, request, fact)
    if not escalates:
        step.record.memo.pop("escalated", None)  # of this question; the next begins with its own rule
    settling.leave(move, step)
    move.touch(step)
    move.log(
        "approval_decided",
        step.path,
        request=fact.request,
        kind=request["kind"],
        decision=fact.decision,
        by=fact.by,
        reason=fact.reason,
        approval=fact.approval,
    )
    match request["kind"]:
        case "failure":
            _after_failure(move, step, fact)
        case "budget":
            _after_budget(move, step, request, fact)
        case "outcome_unknown":
            _after_unknown_outcome(move, step, request, fact)
        case _ if escalates:
            _escalate(move, step, request)
        case _ if request.get("blocked"):
            _after_block(move, step, request, fact)
        case _ if step.node.kind is Kind.HUMAN:
            _person_answered(move, step, request, fact)
        case _:
            _action_answered(move, step, request, fact)


def _who_waits_for(run: Execution, request: str) -> Step | None:
    """Return the step that waits for the answer to a question: the one that asked, or the one it was handed to."""
    asked = run.find(request.rpartition("!")[0])
    if asked is not None and _waits_for(asked, request):
        return asked
    return next((step for path in run.waiting if _waits_for(step := run.live[path], request)), None)


def _waits_for(step: Step, request: str) -> bool:
    found = step.record.memo.get("request")
    return found is not None and found["id"] == request and step.record.state is StepState.WAITING


def block(move: Move, step: Step, fact: StepBlocked) -> None:
    """Let a step wait in the middle of its attempt for a person."""
    unknown = fact.kind == "outcome_unknown"
    if unknown:
        doubts.note(move, step)
    memory = {"blocked": True, "call": fact.call, "title": fact.title, "why": fact.why, "trust": dict(fact.trust)}
    question = Question(
        kind=fact.kind,
        wait=WaitReason.OUTCOME_UNKNOWN if unknown else WaitReason.APPROVAL,
        title=fact.title,
        why=fact.why,
        payload=fact.payload,
        action=action_of(move.run, fact.payload),
        trust=fact.trust,
        memory=memory,
    )
    ask(move, step, question, who_by_policy(move.run, step))


def _approved(step: Step, request: Request, fact: Answered) -> Grant | None:
    """Return the consent to exactly one payload, or None when the answer does not hold together.

    Of a call only the arguments may be edited; what a Person step that guards nothing shows is no call.
    """
    payload = request["payload"] if fact.payload is None else fact.payload
    fingerprint = digest(payload)
    if fact.payload_hash and fact.payload_hash != fingerprint:
        return None
    is_call = step.node.kind is not Kind.HUMAN or bool(step.node.config.get("guards"))
    if is_call and not _is_same_tool(request["payload"], payload):
        return None
    return Grant(request["digest"], fingerprint, payload, fact.approval)


def _is_same_tool(asked: Json, payload: Json) -> bool:
    """Tell whether only the arguments of a call were edited."""
    if not isinstance(payload, dict) or not isinstance(payload.get("args"), dict):
        return False
    return {**payload, "args": None} == {**asked, "args": None}


def _person_answered(move: Move, step: Step, request: Request, fact: Answered) -> None:
    meta = {"decision": fact.decision, "who": fact.by, "when": move.now.isoformat(), "reason": fact.reason}
    match fact.decision:
        case "approve":
            grant = _approved(step, request, fact)
            if grant is None:
                failing.give_up(move, step, _broken_approval(step))
                return
            if step.node.config.get("guards"):
                step.record.memo["grant"] = grant._asdict()
            complete(move, step, grant.payload, meta, ("approved",))
        case "answer":
            complete(move, step, fact.payload, meta, ("approved",))
        case "expire":
            _expired(move, step, meta)
        case _:
            settling.succeed(move, step, None, meta, ("rejected",))


def _expired(move: Move, step: Step, meta: dict[str, Json]) -> None:
    """Silence goes its own way where it is drawn, else as the step says. It is never consent: it leaves no grant."""
    config = step.node.config
    if step.scope.is_wired(step.node.id, "expired"):
        settling.succeed(move, step, None, meta, ("expired",))
    elif config["on_expire"] == "default":
        settling.succeed(move, step, config.get("default"), meta, ("approved",))
    else:
        settling.succeed(move, step, None, meta, ("rejected",))


def _action_answered(move: Move, step: Step, request: Request, fact: Answered) -> None:
    if fact.decision != "approve":
        failing.give_up(move, step, _denied(step, fact))
        return
    grant = _approved(step, request, fact)
    if grant is None:
        failing.give_up(move, step, _broken_approval(step))
        return
    work.use_grant(step, grant, request["payload"]["args"])
    work.dispatch(move, step)


def _after_block(move: Move, step: Step, request: Request, fact: Answered) -> None:
    """Let the same attempt go on, with the grant or with the reason why not; an action that was denied has failed."""
    memo = step.record.memo
    grant = _approved(step, request, fact) if fact.decision == "approve" else None
    if grant is None:
        if step.node.kind is Kind.TOOL:
            failing.give_up(move, step, _denied(step, fact))
            return
        memo["denials"] = {**memo.get("denials", {}), request["digest"]: fact.reason or "Not approved."}
    elif step.node.kind is Kind.TOOL:
        work.use_grant(step, grant, request["payload"]["args"])
    else:
        memo["grants"] = {**memo.get("grants", {}), grant.digest: grant.approval}
        if grant.digest != grant.asked:
            memo["edits"] = {**memo.get("edits", {}), grant.asked: grant.payload}
    starting.launch(move, step, starting.SAME)


def _escalates(move: Move, step: Step, request: Request, fact: Answered) -> bool:
    """Tell whether nobody answered a question that then goes to others, as it has not yet."""
    if fact.decision != "expire" or request["kind"] in _NOT_ESCALATED or step.record.memo.get("escalated"):
        return False
    if step.node.kind is Kind.HUMAN:
        return bool(step.node.config["on_expire"] == "escalate")
    return move.run.document.irreversible.on_expire == "escalate"


def _escalate(move: Move, step: Step, request: Request) -> None:
    """Ask the next ones, once."""
    step.record.memo["escalated"] = True
    if request.get("blocked"):
        parts = (request[name] for name in ("kind", "payload", "title", "why", "trust", "call"))
        kind, payload, title, why, labels, call = parts
        again = StepBlocked(step.path, step.record.attempt, kind, payload, title, why, labels, call)
        block(move, step, again)
    elif step.node.kind is Kind.HUMAN:
        carry_out(move, step)
    else:
        work.ask_for_approval(move, step, request["payload"])


def _after_failure(move: Move, step: Step, fact: Answered) -> None:
    match fact.decision:
        case "retry":
            _retry_by_order(move, step)
        case "use":
            _use(move, step, fact.payload)
        case "skip":
            settling.fail_contained(move, step, _last_error(step))
        case _:
            failing.stop(move, step, _last_error(step), run=True)


def _retry_by_order(move: Move, step: Step) -> None:
    """Begin anew, as if nothing had been tried; an irreversible action that may not be repeated is asked about anew."""
    memo = step.record.memo
    if not (step.node.kind is Kind.TOOL and failing.may_repeat(move.run, step)):
        memo.pop("grants", None)
    worktime.forget(memo)
    for name in _FORGOTTEN:
        memo.pop(name, None)
    budget.renew(move.run, step)
    memo["generation"] = memo.get("generation", 0) + 1
    settling.unflag(step, EDITED)  # what a person gave did not do, and the step itself is carried out now
    code, step.record.error = _last_error(step).code, None
    if settling.TO_JUDGE in memo:  # what failed were the judges: what they are asked about is there
        starting.launch(move, step)
    elif code in _OF_A_JOIN:
        _join_again(move, step)
    elif step.path in move.run.containers:
        containers.retry(move, step)
    elif step.node.kind is Kind.TOOL and step.record.input is not None:
        work.dispatch(move, step)
    else:
        carry_out(move, step)


def _join_again(move: Move, step: Step) -> None:
    """Look at what has arrived once more: it may be enough by now, is waited for anew, or is still not enough."""
    step.record.state = StepState.PENDING
    step.record.memo.pop("out_of_time", None)
    move.dirty.append((step.scope, step.node.id))


def _use(move: Move, step: Step, output: Json) -> None:
    """Go on with the output a person gave, if it fits; else ask again."""
    ports = step.node.own_ports[:1]
    if step.node.kind is Kind.DECIDE:
        chosen = route.chosen_by_model(step, StepSucceeded(step.path, step.record.attempt, output))
        if isinstance(chosen, StepError):
            failing.ask_about(move, step, chosen)
            return
        ports, output = chosen
    error = checks.wrong_with(move.run, step, output)
    if error:
        failing.ask_about(move, step, error)
    else:
        settling.succeed(move, step, output, {"decision": "use"}, ports)


def _after_budget(move: Move, step: Step, request: Request, fact: Answered) -> None:
    cap, what = request["cap"], request["what"]
    if fact.decision == AGAIN:
        _go_on(move, step, request)
        return
    if fact.decision != "approve" and growing.FOR_CHILD in request:
        growing.refused(move, step, request)
        return
    if fact.decision != "approve":
        error = StepError(ErrorClass.BUDGET, request["code"], request["message"], cap=request["refusal"])
        failing.end_at_cap(move, step, error, cap)
        return
    amount = budget.in_units(what, fact.payload, request["amount"])
    _raise(move, step, (cap, what, amount), fact)
    _go_on(move, step, request)
    for path in sorted(move.run.waiting):
        other = move.run.live[path]
        asked = other.record.memo.get("request", {})
        if asked.get("kind") == "budget" and asked.get("cap") == cap:
            settling.withdraw(move, other)
            _go_on(move, other, asked)
    if not cap.startswith(budget.PERIOD):
        growing.use_room(move)


def _raise(move: Move, step: Step, more: tuple[str, str, int], fact: Answered) -> None:
    """Allow more: of the run's own caps in memory and in the step's memo, of a period's budget where that is kept."""
    cap, what, amount = more
    if cap.startswith(budget.PERIOD):
        move.log("budget_raised", step.path, cap=cap, amount_micros=amount, by=fact.by, reason=fact.reason)
        return
    budget.raise_cap(move.run, cap, what, amount)
    memo = step.record.memo
    memo["raised"] = [*memo.get("raised", ()), [cap, what, amount]]


def _go_on(move: Move, step: Step, request: Request) -> None:
    """Let the attempt that a cap held up go on, or begin if it had not; or let the step wait for its run again."""
    if growing.FOR_CHILD in request:
        growing.wait_on(move, step)
        return
    starting.launch(move, step, step.record.memo.get("prepared", starting.SAME))


def _after_unknown_outcome(move: Move, step: Step, request: Request, fact: Answered) -> None:
    is_action = step.node.kind is Kind.TOOL
    error = StepError(ErrorClass.TOOL_ERROR, "outcome_unknown", request["why"])
    match fact.decision:
        case "use" if is_action:
            _use(move, step, fact.payload)
        case "use":
            _tell_outcome(step, request, {"decision": "use", "output": fact.payload})
            starting.launch(move, step, starting.SAME)
        case "retry":
            _tell_outcome(step, request, {"decision": "retry"})
            _send_again(move, step, request)
        case "skip":
            settling.fail_contained(move, step, error)
        case "stop":
            failing.stop(move, step, error, run=True)
        case _:
            failing.give_up(move, step, error)


def _send_again(move: Move, step: Step, request: Request) -> None:
    """Let a call that did not happen be made, with an approval of its own where it cannot be undone.

    Whoever says that it did not happen has approved nothing: the desk's rules are those of a question that asks to.
    """
    memo = step.record.memo
    memo["grants"] = {asked: by for asked, by in memo.get("grants", {}).items() if asked != request["digest"]}
    if step.node.kind is Kind.TOOL and gates.needs_approval(work.tool_of(move, step), step.record.input["args"]):
        work.dispatch(move, step, was_looked_up=True)
    else:
        starting.launch(move, step, starting.SAME)


def _tell_outcome(step: Step, request: Request, outcome: Json) -> None:
    memo = step.record.memo
    memo["outcomes"] = {**memo.get("outcomes", {}), request["call"] or request["digest"]: outcome}


def _last_error(step: Step) -> StepError:
    error = step.record.error or {"class": ErrorClass.INTERNAL, "code": "unknown", "message": "The step failed."}
    return StepError(ErrorClass(error["class"]), error["code"], error["message"])


def _denied(step: Step, fact: Answered) -> StepError:
    why = fact.reason or ("Nobody answered in time." if fact.decision == "expire" else "It was not approved.")
    return StepError(ErrorClass.DENIED, "denied", f"{step.path} was not allowed: {why}")


def _broken_approval(step: Step) -> StepError:
    message = f"The approval of {step.path} does not match what would run."
    return StepError(ErrorClass.DENIED, "payload_changed", message)
