"""Questions to people: every wait for a person becomes one `approval_requested` event (engine.md §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.graph import gates
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.settling import leave
from runs.engine.state import Execution
from runs.engine.status import StepState, WaitReason


@dataclass(frozen=True, slots=True)
class Who:
    """Who may answer, until when (seconds; None: for ever), and what silence means."""

    roles: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    min_approvals: int = 1
    not_starter: bool = True
    expires: float | None = None
    on_expire: str = "reject"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `kind` is one of the desk's six; `payload` is what is approved, exactly.

    `memory` is what the step must remember until the answer comes. Of questions with the same `shared`, whatever their
    runs, one is asked, and its answer is for all.
    """

    kind: str
    wait: WaitReason
    title: str
    why: str
    payload: Json = None
    action: Mapping[str, Json] | None = None
    show: Json = None
    form: Json = None
    trust: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, Json] = field(default_factory=dict)
    shared: str = ""


def next_id(step: Step) -> str:
    """Return the name of the next thing that the step asks of the world outside its run."""
    number = step.record.memo.get("requests", 0) + 1
    step.record.memo["requests"] = number
    return f"{step.path}!{number}"


def ask(move: Move, step: Step, question: Question, who: Who) -> None:
    """Let the step wait for the answer to a question; where nobody is asked, `standing_in` answers in the same move."""
    record = step.record
    leave(move, step)
    request, fingerprint = next_id(step), digest(question.payload)
    record.memo["request"] = {
        "id": request,
        "kind": question.kind,
        "digest": fingerprint,
        "payload": question.payload,
        **question.memory,
    }
    record.state, record.wait_reason = StepState.WAITING, question.wait
    record.started_at = record.started_at or move.now
    move.run.waiting.add(record.path)
    move.touch(step)
    move.log("step_waiting", record.path, reason=question.wait, request=request)
    if move.run.origin.unattended:
        move.unasked.append(step)
        return
    move.log(
        "approval_requested",
        record.path,
        request=request,
        kind=question.kind,
        title=question.title,
        action=question.action,
        payload=question.payload,
        payload_hash=fingerprint,
        show=question.show if question.show is not None else {},
        form=question.form,
        why=question.why,
        trust=dict(question.trust),
        roles=list(who.roles),
        people=list(who.people),
        min_approvals=who.min_approvals,
        not_starter=who.not_starter,
        expires=who.expires,
        on_expire=who.on_expire,
        **({"shared": question.shared} if question.shared else {}),
    )


def who_by_policy(run: Execution, step: Step) -> Who:
    """Return who answers what no Person step describes: the document's policy on irreversible actions."""
    policy = run.document.irreversible
    who = Who(policy.roles, policy.people, policy.min_approvals, True, policy.expires, policy.on_expire)
    return _escalated(who, ()) if step.record.memo.get("escalated") else who


def who_of(step: Step) -> Who:
    """Return who a Person step asks."""
    config = step.node.config
    who = Who(
        roles=tuple(config["roles"]),
        people=tuple(config["people"]),
        min_approvals=config["min_approvals"] if config["mode"] != "answer" else 1,
        not_starter=config["not_starter"] or config["mode"] != "answer",
        expires=config["expires"],
        on_expire=config["on_expire"],
    )
    return _escalated(who, config["escalate_to"]) if step.record.memo.get("escalated") else who


def _escalated(who: Who, to: Sequence[str]) -> Who:
    """Return whom to ask when nobody answered in time: those named, else the managers too. Silence then rejects."""
    roles = tuple(name for name in to if "@" not in name)
    people = tuple(name for name in to if "@" in name)
    if not to:
        roles, people = (*who.roles, "manager"), who.people
    return replace(who, roles=roles, people=people, on_expire="reject")


def action_of(run: Execution, call: Mapping[str, Json]) -> dict[str, Json]:
    """Return the tool and the effect of a call, for the reviewer."""
    spec = run.lock.tools.get(call["tool"])
    return {"tool": call["tool"], "effect": str(spec.effect_of(call["args"])) if spec else "irreversible"}


def title_of(run: Execution, call: Mapping[str, Json]) -> str:
    spec = run.lock.tools.get(call["tool"])
    return spec.title if spec and spec.title else str(call["tool"])


def fingerprint_of(call: Mapping[str, Json]) -> str:
    return gates.payload_hash(call)
