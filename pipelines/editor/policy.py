"""What happens when a step fails, as one sentence a person can check, whose words lead to the fields they speak of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.graph.model import FailurePolicy, Node

_THEN = {
    "stop_run": "the run stops",
    "use_default": "the value below is used instead",
    "skip": "the step is left out",
    "route": "the way “if it fails” is taken",
    "ask_human": "a person is asked",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Some words of the sentence; `where` is the JSON pointer within the step of the field that they speak of."""

    words: str
    where: str = ""


def sentence(node: Node, safe: bool) -> list[Part]:
    """Return the policy of a step in the order in which it is applied. `safe`: its failure would be left out."""
    policy: FailurePolicy = node.on_error
    clauses = [list(_repaired(policy)), list(_retried(node)), list(_replaced(policy)), [Part("at last ")]]
    said = "it is left out: a Combine goes on without it" if safe else "the run stops"
    clauses[-1].append(Part(_THEN.get(policy.then, said), "/on_error/then"))
    return [*_joined([clause for clause in clauses if clause]), Part(".")]


def _joined(clauses: Sequence[Sequence[Part]]) -> Iterator[Part]:
    for index, clause in enumerate(clauses):
        if index:
            yield Part("; ")
        yield from clause


def _repaired(policy: FailurePolicy) -> Iterator[Part]:
    if policy.repair.max_attempts:
        yield Part("When the output does not fit, ask again with the findings ")
        yield Part(_times(policy.repair.max_attempts), "/on_error/repair/max_attempts")
    else:
        yield Part("When the output does not fit, ")
        yield Part("it is not asked again", "/on_error/repair/max_attempts")


def _retried(node: Node) -> Iterator[Part]:
    tries = node.on_error.retry.max_attempts - 1
    if tries < 1:
        yield Part("when it is busy or gives no answer, ")
        yield Part("it is not tried again", "/on_error/retry/max_attempts")
        return
    yield Part("when it is busy or gives no answer, try again ")
    yield Part(_times(tries), "/on_error/retry/max_attempts")
    yield Part(" within ")
    yield Part(_long(node.total_timeout), "/total_timeout")


def _replaced(policy: FailurePolicy) -> Iterator[Part]:
    for index, fallback in enumerate(policy.fallback):
        yield Part(", then " if index else "then use ")
        yield Part(fallback.ref, f"/on_error/fallback/{index}")
    if policy.fallback:
        yield Part(" and mark the run as degraded")


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _long(seconds: float | None) -> str:
    if seconds is None:
        return "any time"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
