"""The one door to a tool: checked arguments, an approval for exactly this payload, one effect under one key."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.graph import gates
from pipelines.graph.canonical import canonical_json, digest
from pipelines.graph.model import Json
from pipelines.graph.problems import pointer
from pipelines.graph.tools import Delivery, Effect, ToolSpec
from runs.engine.facts import ErrorClass
from runs.execution import rights, tools
from runs.execution.answers import findings_of
from runs.execution.calls import Calls, ToolOrder
from runs.execution.context import FAILED, ToolCall
from runs.execution.failures import AnswerLost, Blocked, Failure
from runs.execution.journal import Earlier
from runs.execution.models.samples import Words, instance

MOST_ARGUMENTS = 4 * 1024 * 1024
"""Bytes of a tool call's arguments as canonical JSON."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A tool call somebody wants: the author of a step, or the model of agent `agent` under its own `call_id`."""

    spec: ToolSpec
    args: Mapping[str, Json]
    agent: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What the tool answered, and the arguments a reviewer put in the place of those asked for, if any.

    `before` is the key of the call of an earlier generation that had done it.
    """

    result: Json
    edited: Mapping[str, Json] | None = None
    before: str = ""


@dataclass(frozen=True, slots=True)
class _Payload:
    """What would run. `hash` is its digest; `asked` is the digest of what was first asked."""

    args: Mapping[str, Json]
    asked: str
    hash: str

    @property
    def is_edited(self) -> bool:
        return self.asked != self.hash


async def call_tool(calls: Calls, wish: Wish) -> Done:
    """Return what the tool did, now or in an earlier attempt.

    Raise Blocked when a person must answer first, else a Failure: `denied` with the reviewer's reason, `tool_error`,
    `config`, or `transient` where the call may be repeated.
    """
    payload = _payload(calls, wish)
    if findings := findings_of(wish.spec.args_schema, payload.args):
        raise Failure(
            ErrorClass.TOOL_ERROR,
            "invalid_arguments",
            f"{wish.spec.id} cannot be called with these arguments: {'; '.join(findings[:5])}",
            findings=findings,
        )
    if len(canonical_json(dict(payload.args))) > MOST_ARGUMENTS:
        message = f"{wish.spec.id} would be called with more than {MOST_ARGUMENTS:,} bytes of arguments. Send less."
        raise Failure(ErrorClass.TOOL_ERROR, "arguments_too_large", message)
    rights.check(calls.start, wish.agent, payload.args)
    edited = payload.args if payload.is_edited else None
    if calls.context.rehearsal and (calls.start.unasked or wish.spec.effect_of(payload.args) is not Effect.NONE):
        return Done(_rehearsed(wish.spec, payload.args), edited)
    result, before = await _once(calls, wish, payload)
    return Done(result, edited, before)


def _payload(calls: Calls, wish: Wish) -> _Payload:
    asked = gates.payload_hash(gates.payload(wish.spec, wish.args))
    if (instead := calls.start.edits.get(asked)) is None:
        return _Payload(copy.deepcopy(dict(wish.args)), asked, asked)
    if instead["tool"] != wish.spec.id:
        raise Failure(ErrorClass.DENIED, "payload_changed", f"The approved payload is for {instead['tool']}.")
    return _Payload(copy.deepcopy(dict(instead["args"])), asked, gates.payload_hash(instead))


async def _once(calls: Calls, wish: Wish, payload: _Payload) -> tuple[Json, str]:
    """Return the result of an earlier sending that finished, else send under its key, or under a new one.

    With it comes the key of the sending that it is of, if that was made before a person ordered a retry.
    """
    request, hashes = _requests(calls, wish.spec, payload)
    earlier = calls.journal.take(*hashes)
    if earlier is not None:
        if earlier.is_finished:
            return earlier.last.response, "" if earlier.last.request_hash == hashes[0] else earlier.last.key
        if (answer := _settled_otherwise(calls, wish, payload, earlier)) is not None:
            return answer["output"], ""
    approval = _approval(calls, wish, payload, earlier)
    egress = rights.egress_of(calls.start, wish.agent)
    order = ToolOrder(wish.spec, payload.args, request, earlier, approval, wish.call_id, egress)

    async def run(call: ToolCall) -> Json:
        if gates.payload_hash(gates.payload(wish.spec, payload.args)) != payload.hash:
            raise Failure(ErrorClass.DENIED, "payload_changed", "What would run is not what was approved.")
        return await tools.run(wish.spec, payload.args, call)

    try:
        return await calls.act(order, run), ""
    except AnswerLost as lost:
        raise _after_loss(calls, wish, payload, lost) from lost


def _requests(calls: Calls, spec: ToolSpec, payload: _Payload) -> tuple[Json, list[str]]:
    """Return what is journaled, and the hashes under which it may be found.

    A retry that a person ordered asks models anew and reads anew; an effect that it finds done stays done.
    """
    generation = calls.start.generation
    oldest = generation if spec.effect_of(payload.args) is Effect.NONE else 0
    requests = [
        {"tool": spec.id, "args": payload.args, "generation": number} for number in range(generation, oldest - 1, -1)
    ]
    return requests[0], [digest(request) for request in requests]


def _settled_otherwise(calls: Calls, wish: Wish, payload: _Payload, earlier: Earlier) -> Mapping[str, Json] | None:
    """Return {"output"} when the earlier sending need not be repeated, None when it must; raise what it left behind."""
    last = earlier.last
    if last.state == FAILED:
        told = wish.agent and (last.error or {}).get("class") == ErrorClass.TOOL_ERROR
        if told and last.request_hash == digest(_requests(calls, wish.spec, payload)[0]):
            raise Failure(ErrorClass.TOOL_ERROR, last.error["code"], last.error["message"])
        return None
    if Delivery(last.delivery) is not Delivery.NEITHER:
        return None
    answer = calls.start.outcomes.get(last.key)
    if answer is None:
        raise _unknown(wish, payload, last.key, (last.error or {}).get("code", ""))
    if answer.get("decision") == "use":
        return {"output": answer.get("output")}
    return None


def _approval(calls: Calls, wish: Wish, payload: _Payload, earlier: Earlier | None) -> str | None:
    """Return the approval this call consumes, None when it needs none; raise Blocked or a `denied` Failure.

    Sending again where the key makes it the same call needs no second approval.
    """
    if not gates.needs_approval(wish.spec, payload.args):
        return None
    approval = calls.start.grants.get(payload.hash)
    if approval is not None and approval not in calls.journal.consumed:
        return approval
    if earlier is not None and Delivery(earlier.last.delivery) is not Delivery.NEITHER and earlier.was_approved:
        return None
    if gates.is_too_large(gates.payload(wish.spec, payload.args)):
        message = f"{wish.spec.id} would be called with more than the {gates.MOST_BYTES:,} bytes that can be approved."
        raise Failure(ErrorClass.TOOL_ERROR, "payload_too_large", message)
    if (reason := calls.start.denials.get(payload.asked)) is not None:
        raise Failure(ErrorClass.DENIED, "denied", f"A reviewer refused this {wish.spec.id} call: {reason}")
    who = f"The agent {wish.agent}" if wish.agent else "This step"
    raise Blocked(
        "approve",
        gates.payload(wish.spec, payload.args),
        tools.title(wish.spec, payload.args),
        f"{who} wants to do this, and it cannot be undone.{' A model wrote what it would send.' if wish.agent else ''}",
        {pointer("/args", name): "model" for name in payload.args} if wish.agent else calls.start.trust,
    )


def _after_loss(calls: Calls, wish: Wish, payload: _Payload, lost: AnswerLost) -> Exception:
    """Return the failure to retry where a repeated call is recognised; else a person must say what happened."""
    if wish.spec.delivery_of(payload.args) is not Delivery.NEITHER:
        return lost
    call = calls.journal.newest_key(calls.start.path, calls.start.attempt)
    return _unknown(wish, payload, call, lost.error.code)


def _unknown(wish: Wish, payload: _Payload, call: str, code: str) -> Blocked:
    """Return the question what came of a call; `code` is of the error that left it open, "" where a worker went.

    What the other side said is left out: a person should look there, not believe it.
    """
    status = code.removeprefix("http_")
    answered = f"the answer was {status}, which does not say that nothing was done" if status != code else ""
    return Blocked(
        "outcome_unknown",
        gates.payload(wish.spec, payload.args),
        f"Did this happen? {tools.title(wish.spec, payload.args)}",
        f"The call was sent, but {answered or 'no answer came back'}. It is not sent again until somebody says whether "
        "it happened.",
        call=call,
    )


def _rehearsed(spec: ToolSpec, args: Mapping[str, Json]) -> Json:
    """Return a result of the right shape that says it is simulated, so that later steps can go on."""
    title = tools.title(spec, args)
    sample = instance(dict(spec.result_schema), Words(title, title, (title,)))
    return {**(sample if isinstance(sample, dict) else {}), "simulated": True, "would_have": title}
