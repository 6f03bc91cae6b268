"""Who may answer which question, and with what: pure rules over values, asked before and under the row's lock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from approvals import needs, ruling
from approvals.needs import Need, Person
from approvals.ruling import Call, Rule
from pipelines.graph import money, problems, schemas
from pipelines.graph.canonical import canonical_json, sanitise
from pipelines.graph.model import Json

MAX_PAYLOAD_BYTES = 262_144
MAX_DEPTH = 64
MAX_REASON = 4_000
MAX_ADDED_MICROS = 1_000_000 * money.MICROS


class Choice(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    ANSWER = "answer"
    RETRY = "retry"
    USE = "use"
    SKIP = "skip"
    STOP = "stop"


_OF_A_FAILURE = (Choice.RETRY, Choice.USE, Choice.SKIP, Choice.STOP)

CHOICES: Mapping[str, tuple[Choice, ...]] = {
    "approve": (Choice.APPROVE, Choice.REJECT),
    "edit": (Choice.APPROVE, Choice.REJECT),
    "answer": (Choice.ANSWER,),
    "failure": _OF_A_FAILURE,
    "budget": (Choice.APPROVE, Choice.REJECT),
    "outcome_unknown": _OF_A_FAILURE,
}
BOUND_KINDS = frozenset({"approve", "edit"})
# Anything that makes a run act needs one of these, however the pipeline words its question: an author must not be able
# to name a colleague who was never trusted with decisions, and an admin does not decide.
_DECIDERS = frozenset({"reviewer", "manager"})


@dataclass(frozen=True, slots=True)
class Question:
    """What the rules need of an open question.

    `tool` is the id of the tool that would run, if one would; `args_schema` is its schema from the run's lock, None
    when the lock does not know it. `approvals` counts the approvals given so far; `held` says that they are all there
    and that the run is told in a moment. `rules` are the workspace's as they
    stood when it was asked, `levels` how far each has escalated by its id, and `call` what would be done now.
    """

    kind: str
    roles: frozenset[str]
    people: frozenset[str]
    barred: frozenset[str]
    payload: Json = None
    payload_hash: str = ""
    form: Json = None
    tool: str | None = None
    args_schema: Json = None
    approvals: int = 0
    min_approvals: int = 1
    held: bool = False
    rules: tuple[Rule, ...] = ()
    levels: Mapping[str, int] = field(default_factory=dict)
    call: Call = field(default_factory=Call)

    @property
    def applied(self) -> tuple[Rule, ...]:
        """The rules that what would run now meets. They are about approvals of something, not about answers."""
        return tuple(r for r in self.rules if ruling.applies(r, self.call)) if self.kind in BOUND_KINDS else ()

    @property
    def hold(self) -> int:
        """The seconds for which an approval can be taken back before the run is told: the longest that a rule wants."""
        return max((rule.hold for rule in self.applied), default=0)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the pipeline asks, then what each rule asks beside it."""
        if self.kind == "budget":
            own = Need(frozenset({"manager"}), frozenset(), self.min_approvals)
        else:
            own = Need(self.roles, self.people, self.min_approvals)
        return (own, *(ruling.need(rule, self.levels.get(rule.id, 0)) for rule in self.applied))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says. `payload_hash` is the fingerprint of what they saw."""

    decision: str
    payload_hash: str = ""
    payload: Json = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, with the code of the API and the JSON pointer of the offending value."""

    code: str
    message: str
    where: str | None = None


def default_roles(kind: str) -> tuple[str, ...]:
    """Return the roles that answer a question of this kind when it names nobody."""
    return ("manager",) if kind == "budget" else ("reviewer",)


def is_barred_kind(kind: str, not_starter: bool) -> bool:
    """Tell whether the starter and the editors may not answer: only a plain question may let them."""
    return not_starter or kind != "answer"


def is_decider(roles: frozenset[str]) -> bool:
    """Tell whether these roles were ever trusted with more than answering plain questions."""
    return bool(roles & _DECIDERS)


def may_answer(question: Question, person: Person) -> Refusal | None:
    """Return why this person cannot answer this question whatever they say, or None."""
    if person.id in question.barred:
        return Refusal(
            "own_request",
            "You started this run or edited its pipeline, so somebody else has to answer. Hand it over to a colleague.",
        )
    asked = question.needs
    allowed = any(needs.seat(need, person, question.barred) for need in asked)
    if question.kind == "budget":
        allowed = allowed and "manager" in person.roles
    elif question.kind != "answer":
        allowed = allowed and is_decider(person.roles)
    return None if allowed else Refusal("not_a_reviewer", f"This question is for {needs.addressees(asked)}.")


def missing(question: Question, approvers: Iterable[Person]) -> tuple[tuple[Need, int], ...]:
    """Return what is still to be approved by whom. `approvers` approved and are, as of now, members with these roles.

    Whoever may not answer any more does not count any more.
    """
    counted = [person for person in approvers if may_answer(question, person) is None]
    return needs.missing(question.needs, counted, question.barred)


def absent_one(question: Question, person: Person) -> Person | None:
    """Return the absent member whom this person answers for here, or None where they answer in their own right."""
    for need in question.needs:
        if not needs.asks(need, person) and (as_whom := needs.seat(need, person, question.barred)):
            return next(other for other in person.stands_for if other.id == as_whom)
    return None


def may_decide(question: Question, person: Person, decision: Decision) -> Refusal | None:
    """Return why this person cannot give this answer to this open question, or None when it may count."""
    return (
        may_answer(question, person)
        or _check_fit(question, decision)
        or _check_reason(decision)
        or _check_fingerprint(question, decision)
        or _check_payload(question, decision)
    )


def is_edit(question: Question, decision: Decision) -> bool:
    """Tell whether an approval changes what would run."""
    return (
        question.kind in BOUND_KINDS
        and decision.decision == Choice.APPROVE
        and decision.payload is not None
        and canonical_json(decision.payload) != canonical_json(question.payload)
    )


def _check_fit(question: Question, decision: Decision) -> Refusal | None:
    if question.held and decision.decision != Choice.REJECT:
        return Refusal("already_decided", "It is approved already and about to happen. You can still reject it.")
    choices = CHOICES.get(question.kind, ())
    if decision.decision in choices:
        return None
    return Refusal(
        "decision_not_offered",
        f"{decision.decision[:40]!r} does not answer this question. Choose {' or '.join(choices)}.",
        "/decision",
    )


def _check_reason(decision: Decision) -> Refusal | None:
    if decision.decision == Choice.REJECT and not decision.reason.strip():
        return Refusal("reason_required", "Say why you reject it; the reason goes back to the step.", "/reason")
    if len(decision.reason) > MAX_REASON:
        return Refusal(
            "reason_too_long",
            f"The reason has {len(decision.reason)} characters; {MAX_REASON} is the most.",
            "/reason",
        )
    return check_json(decision.reason, "/reason")


def _check_fingerprint(question: Question, decision: Decision) -> Refusal | None:
    must_match = question.kind in BOUND_KINDS and decision.decision == Choice.APPROVE
    if must_match and not decision.payload_hash:
        return Refusal(
            "payload_hash_required",
            "An approval names what it approves: send the payload_hash of the payload you saw.",
            "/payload_hash",
        )
    if decision.payload_hash and decision.payload_hash != question.payload_hash:
        return Refusal(
            "payload_changed", "What would run is no longer what you saw. Read it again and decide.", "/payload_hash"
        )
    return None


def _check_payload(question: Question, decision: Decision) -> Refusal | None:
    """A payload is an edited call, an answer, an output to use, or money to add, and must be fit to be stored."""
    unfit = check_json(decision.payload, "/payload")
    if unfit:
        return unfit
    match (question.kind, decision.decision):
        case ("approve" | "edit", Choice.APPROVE):
            return _check_edit(question, decision) if is_edit(question, decision) else None
        case ("budget", Choice.APPROVE):
            return _check_money(question.payload, decision.payload)
        case (_, Choice.ANSWER | Choice.USE):
            if decision.payload is None:
                return Refusal("payload_required", f"Send what to {decision.decision} as the payload.", "/payload")
            return _check_form(question.form, decision.payload, "/payload")
        case _:
            if decision.payload is not None:
                return Refusal("payload_not_taken", f"{decision.decision!r} takes no payload.", "/payload")
            return None


def check_json(value: Json, where: str) -> Refusal | None:
    """Return why a value from outside cannot be kept exactly as it came, or None.

    Nothing is cleaned silently: what a person approves is stored as they sent it or refused.
    """
    if _is_deeper_than(value, MAX_DEPTH):
        return Refusal("too_deep", f"The value is nested deeper than {MAX_DEPTH} levels.", where)
    if sanitise(value)[0] != value:
        return Refusal(
            "not_storable", "The value holds a NUL, half a character, or a number that is not finite.", where
        )
    try:
        size = len(canonical_json(value))
    except TypeError:
        return Refusal("not_storable", "The value holds a number of more than 64 bits.", where)
    if size > MAX_PAYLOAD_BYTES:
        return Refusal("payload_too_large", f"The value has {size:,} bytes; {MAX_PAYLOAD_BYTES:,} is the most.", where)
    return None


def _is_deeper_than(value: Json, limit: int) -> bool:
    """Walk level by level, not recursively: the value may be deep enough to exhaust the stack."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _check_edit(question: Question, decision: Decision) -> Refusal | None:
    if question.approvals:
        return Refusal(
            "edit_too_late",
            "Somebody has approved this already, so it can be approved as it is or rejected, but not changed.",
            "/payload",
        )
    if question.tool is None:
        return _check_form(question.form, decision.payload, "/payload")
    return _check_call(question, decision.payload)


def _check_call(question: Question, edited: Json) -> Refusal | None:
    """Everything of a call but its arguments stays as asked: the tool, its version and the connection."""
    asked = question.payload
    if not isinstance(edited, dict) or not isinstance(asked, dict) or not isinstance(edited.get("args"), dict):
        return Refusal("invalid_payload", 'An edited call is {"tool": …, "args": {…}} as it was shown.', "/payload")
    for key in sorted({*edited, *asked} - {"args"}):
        if edited.get(key) != asked.get(key) or (key in edited) != (key in asked):
            return Refusal(
                "only_args_may_change",
                f"Only the arguments may be edited; {key!r} must stay as it was asked.",
                f"/payload/{_pointer(key)}",
            )
    if question.args_schema is None:
        return Refusal(
            "tool_unknown",
            f"The run does not know the arguments of {question.tool}, so they cannot be edited. Approve or reject it.",
            "/payload/tool",
        )
    return _check_form(question.args_schema, edited["args"], "/payload/args")


def _check_form(schema: Json, value: Json, where: str) -> Refusal | None:
    if schema is None:
        return None
    try:
        findings = schemas.findings(schema, value)
    except problems.Refusal:
        return Refusal("form_unusable", "The form of this question cannot be checked, so nothing fits it.", where)
    if not findings:
        return None
    return Refusal("invalid_payload", findings[0].message, where + findings[0].pointer)


def _check_money(asked: Json, payload: Json) -> Refusal | None:
    """A cap on dollars is raised by any amount; one on tokens, calls or seconds by what was asked or not at all."""
    if payload is None or payload == asked:
        return None
    if isinstance(asked, dict) and "add_usd" not in asked:
        return Refusal("invalid_payload", "This cap can only be raised by what was asked; send no payload.", "/payload")
    if not isinstance(payload, dict) or set(payload) != {"add_usd"} or not isinstance(payload["add_usd"], str):
        return Refusal("invalid_payload", 'Send the money to add as {"add_usd": "2.00"}.', "/payload")
    try:
        added = money.micros(payload["add_usd"])
    except ValueError as error:
        return Refusal("invalid_payload", str(error), "/payload/add_usd")
    if not 0 < added <= MAX_ADDED_MICROS:
        return Refusal("invalid_payload", "Add more than $0 and at most $1,000,000.", "/payload/add_usd")
    return None


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")[:80]
