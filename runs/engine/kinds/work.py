"""Agent and Action: rendered here, carried out by the executor. An irreversible action needs a grant for its digest."""

from collections.abc import Mapping
from typing import NamedTuple

from pipelines.graph import gates
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec
from runs.engine import checks, doubts, hearing, lives, requests, starting, trust, values
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.requests import Question
from runs.engine.scope import Step
from runs.engine.status import StepState, WaitReason

_WITHOUT_A_SAY = (StepState.SKIPPED, StepState.CANCELLED)


class Grant(NamedTuple):
    """A person's consent to one call: what was asked, what was approved, and by which approval."""

    asked: str
    digest: str
    payload: Json
    approval: str


def ask_agent(move: Move, step: Step) -> None:
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    try:
        prompt = values.rendered(move.run, step, step.node.config["prompt"])
        rubrics = checks.rubrics_of(move.run, step, step.node.rubrics)
        said_before = hearing.of(move.run, step)
        values.note_cache_words(move.run, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    step.record.input = {"prompt": prompt, **said_before, **({"rubrics": rubrics} if rubrics else {})}
    starting.launch(move, step)


def act(move: Move, step: Step) -> None:
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    try:
        args = values.rendered(move.run, step, step.node.config["args"])
        values.note_cache_words(move.run, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    done = lives.done_before(step.scope, step.node.id, args)
    grant = _grant_from_guard(step, gates.payload(tool_of(move, step), args))
    if done is not None:
        _as_approved(step, args, done)
    elif grant:
        use_grant(step, grant, args)
    else:
        step.record.input = {"args": args}
    dispatch(move, step)


def dispatch(move: Move, step: Step, *, was_looked_up: bool = False) -> None:
    """Start an action whose arguments stand, or ask first when it cannot be undone and nobody approved exactly it.

    What was done, or may have been, the executor first looks up in its journal: it asks itself where it finds nothing.
    In a step that somebody tries nobody is asked: the worker pretends to act, and without an approval never does.
    """
    tool, args = tool_of(move, step), step.record.input["args"]
    call = gates.payload(tool, args)
    held = step.record.memo.get("grants", {})
    if gates.needs_approval(tool, args) and gates.is_too_large(call):
        give_up(move, step, too_large(step.path, tool))
    elif move.run.origin.alone or (doubts.MAYBE_DONE in step.record.memo and not was_looked_up):
        starting.launch(move, step)
    elif gates.needs_approval(tool, args) and requests.fingerprint_of(call) not in held:
        ask_for_approval(move, step, call)
    else:
        starting.launch(move, step)


def too_large(path: str, tool: ToolSpec) -> StepError:
    """Return the error of a call that nobody could read before it cannot be undone."""
    message = (
        f"{path} would call {tool.id} with more than the {gates.MOST_BYTES:,} bytes that can be approved. Send less."
    )
    return StepError(ErrorClass.LIMIT, "payload_too_large", message)


def ask_for_approval(move: Move, step: Step, call: Mapping[str, Json]) -> None:
    """Ask, by the document's policy, for the approval of exactly this call."""
    found = starting.trust_of(move.run, step)
    question = Question(
        kind="approve",
        wait=WaitReason.APPROVAL,
        title=step.node.title or requests.title_of(move.run, call),
        why=why_of(requests.title_of(move.run, call), found),
        payload=call,
        action=requests.action_of(move.run, call),
        trust=found,
    )
    requests.ask(move, step, question, requests.who_by_policy(move.run, step))


def why_of(title: str, labels: Mapping[str, str]) -> str:
    """Return in one sentence why a person must look."""
    authors = [word for label, word in ((trust.MODEL, "a model"), (trust.TOOL, "a tool")) if label in labels.values()]
    written = f" Parts of it were written by {' and '.join(authors)}." if authors else ""
    return f"“{title}” cannot be undone.{written}"


def use_grant(step: Step, grant: Grant, asked: Json) -> None:
    """Let the step's call run as it was approved, under this grant and no other.

    What a person changed of the arguments as they were `asked` is theirs; the rest is still whose it was.
    """
    memo = step.record.memo
    memo["grants"] = {grant.digest: grant.approval}
    memo["used"] = [*memo.get("used", ()), grant.approval]
    memo.pop(lives.ASKED, None)
    _as_approved(step, asked, grant.payload["args"])


def _as_approved(step: Step, asked: Json, args: Json) -> None:
    """Give a call the arguments that were approved for those asked for."""
    step.record.input = {"args": args}
    if args != asked:
        step.record.memo[lives.ASKED] = digest(asked)
        step.record.memo["edited_by_person"] = trust.changed(asked, args, "/args")


def tool_of(move: Move, step: Step) -> ToolSpec:
    return move.run.lock.tool(step.node.config["tool"])


def _grant_from_guard(step: Step, call: Mapping[str, Json]) -> Grant | None:
    """Return the unused consent that the Person steps before this one hold for exactly this call.

    Several guards must agree: where one approved another payload than the other saw, or refused, or was not answered,
    nobody has approved the call. One that nobody reached has no say.
    """
    asked = requests.fingerprint_of(call)
    used = step.record.memo.get("used", ())
    guards = [step.scope.steps[name].record for name in starting.guards_of(step) if name in step.scope.steps]
    held = [record.memo.get("grant") for record in guards if record.state not in _WITHOUT_A_SAY]
    fitting = [grant for grant in held if grant and grant["asked"] == asked and grant["approval"] not in used]
    if len(fitting) < len(held) or len({grant["digest"] for grant in fitting}) != 1:
        return None
    return Grant(**fitting[-1])
