"""Person: asks for an approval of exactly what a guarded action will do, for an edit, or for an answer."""

from pipelines.graph import gates
from pipelines.graph.model import Json, Kind
from runs.engine import lives, requests, settling, starting, trust, values
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import give_up
from runs.engine.kinds.work import too_large, why_of
from runs.engine.move import Move
from runs.engine.requests import Question
from runs.engine.scope import Step
from runs.engine.status import WaitReason


def ask_person(move: Move, step: Step) -> None:
    try:
        question = _question(move, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    step.record.input = {"payload": question.payload, "show": question.show}
    done = _done_before(step, question)
    if done is None:
        requests.ask(move, step, question, requests.who_of(step))
    else:
        _let_pass(move, step, question.payload, done)


def done_meanwhile(move: Move, action: Step) -> None:
    """Take back what people are asked before an action that has been done by now, and let it have its result."""
    for name in starting.guards_of(action):
        guard = action.scope.steps.get(name)
        request = guard.record.memo.get("request") if guard else None
        if guard is None or request is None or request["kind"] not in ("approve", "edit"):
            continue
        done = lives.done_before(action.scope, action.node.id, request["payload"]["args"])
        if done is not None:
            settling.withdraw(move, guard)
            settling.leave(move, guard)
            _let_pass(move, guard, request["payload"], done)


def _let_pass(move: Move, step: Step, asked: Json, args: Json) -> None:
    """One approval, one call: it was made, and is not made again."""
    meta = {"done_before": step.node.config["guards"]}
    complete(move, step, {**asked, "args": args}, meta, ("approved",))


def _question(move: Move, step: Step) -> Question:
    config = step.node.config
    show = values.rendered(move.run, step, config.get("show"))
    title = step.node.title or "A decision is needed"
    if config["mode"] == "answer":
        why = step.node.help or "The pipeline waits for an answer."
        return Question(
            "answer", WaitReason.ANSWER, title, why, show=show, form=config.get("form"), trust=_of_shown(step)
        )
    if config.get("guards"):
        return _about_action(move, step, show)
    why = step.node.help or "The pipeline waits for a decision."
    return Question(
        config["mode"],
        WaitReason.APPROVAL,
        title,
        why,
        payload=show,
        show=show,
        form=config.get("form"),
        trust={**trust.labels(step, config.get("show"), ""), **_of_shown(step)},
    )


def _done_before(step: Step, question: Question) -> Json:
    """Return the arguments with which the guarded action has done what would be asked about, None where it has not."""
    guarded = step.node.config.get("guards")
    return lives.done_before(step.scope, guarded, question.payload["args"]) if guarded else None


def _of_shown(step: Step) -> dict[str, str]:
    """Return whose words the values are that are shown beside the question, by JSON pointer."""
    show = step.node.config.get("show")
    return trust.labels(step, show, "/show") if show else {}


def _about_action(move: Move, step: Step, show: Json) -> Question:
    """Ask for the very call that the guarded step would make now."""
    guarded = step.scope.graph.nodes.get(step.node.config["guards"])
    if guarded is None or guarded.kind is not Kind.TOOL:
        message = f"{step.path} guards {step.node.config['guards']!r}, which is no action beside it."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "nothing_to_guard", message))
    action = Step(step.scope, guarded, step.record)
    missing = starting.missing_from_lock(move.run, action)
    if missing:
        raise values.Unusable(missing)
    tool = move.run.lock.tool(guarded.config["tool"])
    call = gates.payload(tool, values.rendered(move.run, action, guarded.config["args"]))
    if gates.needs_approval(tool, call["args"]) and gates.is_too_large(call):
        raise values.Unusable(too_large(guarded.id, tool))
    labels = starting.trust_of(move.run, action)
    title = step.node.title or guarded.title or requests.title_of(move.run, call)
    why = why_of(tool.title, labels) if gates.needs_approval(tool, call["args"]) else step.node.help or title
    return Question(
        kind=step.node.config["mode"],
        wait=WaitReason.APPROVAL,
        title=title,
        why=why,
        payload=call,
        action=requests.action_of(move.run, call),
        show=show,
        trust={**labels, **_of_shown(step)},
    )
