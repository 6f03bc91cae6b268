"""What follows from a failed attempt: repair, retry, fallback, then the step's last word (engine.md §3). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.graph.model import FailurePolicy, Json
from runs.engine.facts import ErrorClass, StepError

RETRIED = frozenset({ErrorClass.TRANSIENT, ErrorClass.TIMEOUT})
# Another model or agent would fail the same way, or must not be asked after a person or a cap said no.
FINAL = frozenset({ErrorClass.DENIED, ErrorClass.BUDGET, ErrorClass.LIMIT})
# A limit of the one model, not of what is asked.
OF_THE_MODEL = frozenset({"context_too_large"})
CIRCUIT_OPEN = "circuit_open"
CIRCUIT_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Tries:
    """What a step has tried so far, and what it may: `fallbacks` is how many there are, `seconds_left` the machine time
    that `total_timeout` leaves (None: no limit)."""

    retries: int = 0
    repairs: int = 0
    fallback: int = 0
    fallbacks: int = 0
    may_repeat: bool = True
    may_repair: bool = True
    seconds_left: float | None = None

    @classmethod
    def of(cls, memo: Mapping[str, Json], **may: Json) -> "Tries":
        return cls(memo.get("retries", 0), memo.get("repairs", 0), memo.get("fallback", 0), **may)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay` seconds; `circuit` when the wait is for a breaker and counts no attempt."""

    delay: float
    circuit: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """Ask again with the previous output and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class UseFallback:
    """Go on with this entry (from 1) of the fallbacks, with fresh retries."""

    index: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step's `then` decides."""


Reaction = Retry | Repair | UseFallback | GiveUp


def is_final(error: StepError) -> bool:
    """Tell whether nobody else may be asked, or would do better."""
    return error.cls in FINAL and error.code not in OF_THE_MODEL


def class_above(cls: ErrorClass, code: str) -> ErrorClass:
    """Return the class of a failure that comes of one in a part: a limit of the one model is none of the whole's."""
    return ErrorClass.TOOL_ERROR if code in OF_THE_MODEL else cls


def react(policy: FailurePolicy, error: StepError, tries: Tries, jitter: float) -> Reaction:
    """Return what to do after a failed attempt. `jitter` in [0, 1) spreads the retries."""
    if is_final(error) or (tries.seconds_left is not None and tries.seconds_left <= 0):
        return GiveUp()
    if error.cls is ErrorClass.INVALID_OUTPUT and tries.may_repair and tries.repairs < policy.repair.max_attempts:
        return Repair()
    if error.code == CIRCUIT_OPEN:
        return _around_circuit(error, tries)
    if error.cls in RETRIED and error.cls in policy.retry.on and tries.may_repeat:
        delay = delay_before(policy, error, tries.retries, jitter)
        if tries.retries + 1 < policy.retry.max_attempts and _fits(delay, tries):
            return Retry(delay)
    return _next_fallback(tries) or GiveUp()


def delay_before(policy: FailurePolicy, error: StepError, retries: int, jitter: float) -> float:
    """Return the seconds before the next attempt: full jitter under a growing ceiling, never before Retry-After."""
    ceiling = min(policy.retry.max_delay, policy.retry.first_delay * policy.retry.factor**retries)
    return max(ceiling * jitter, error.retry_after or 0.0)


def _around_circuit(error: StepError, tries: Tries) -> Reaction:
    delay = error.retry_after or CIRCUIT_WAIT
    waiting: Reaction = Retry(delay, circuit=True) if _fits(delay, tries) else GiveUp()
    return _next_fallback(tries) or waiting


def _next_fallback(tries: Tries) -> UseFallback | None:
    return UseFallback(tries.fallback + 1) if tries.fallback < tries.fallbacks else None


def _fits(delay: float, tries: Tries) -> bool:
    return tries.seconds_left is None or delay < tries.seconds_left
