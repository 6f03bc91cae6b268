"""The attempts of one step, what each was asked and answered, and how two of them differ word by word."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.model import Json
from pipelines.wording import Piece, words
from runs.models import Call, Event, Run
from runs.words import Badge, step_badge

MOST_CALLS = 200
LONGEST = 20_000
"""How many characters of a prompt or an answer are compared."""
_WHY = {"repair": "Repair", "fallback": "Fallback"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a step. `prompt` and `answer` are those of its last model call that answered, "" without one."""

    number: int
    title: str
    model: str
    badge: Badge
    seconds: float | None
    input_tokens: int
    cost_micros: int | None
    error: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Two attempts side by side in one text; `prompt` is empty where both were asked the same."""

    first: Attempt
    second: Attempt
    answer: Sequence[Piece]
    prompt: Sequence[Piece]


def attempts_of(run: Run, path: str) -> list[Attempt]:
    """Return the attempts in which a model was asked, in order. Two queries."""
    calls = Call.objects.filter(run=run, path=path, kind="model").order_by("id")[:MOST_CALLS]
    retried = Event.objects.filter(run=run, path=path, type="step_retrying").values_list("payload", flat=True)
    why = {int(said.get("attempt") or 0) + 1: str(said.get("why")) for said in retried}
    by_number: dict[int, list[Call]] = {}
    for call in calls:
        by_number.setdefault(call.attempt, []).append(call)
    return [_attempt(number, found, why.get(number, "")) for number, found in sorted(by_number.items())]


def compared_of(attempts: Sequence[Attempt], wanted: tuple[int, int]) -> Compared | None:
    """Return how two attempts differ, named by their numbers; the last two where there are no such; None below two."""
    by_number = {one.number: one for one in attempts}
    if len(attempts) < 2:
        return None
    first, second = (by_number.get(number) for number in wanted)
    if first is None or second is None or first is second:
        first, second = attempts[-2], attempts[-1]
    prompt = words(first.prompt, second.prompt) if first.prompt != second.prompt else ()
    return Compared(first, second, words(first.answer, second.answer), prompt)


def _attempt(number: int, calls: Sequence[Call], why: str) -> Attempt:
    last = calls[-1]
    answered = next((call for call in reversed(calls) if call.state == Call.State.FINISHED), last)
    state = {"started": "running", "finished": "succeeded"}.get(last.state, "failed")
    known = [call.cost_micros for call in calls if call.cost_micros is not None]
    return Attempt(
        number=number,
        title=f"{_WHY[why]}, attempt {number}" if why in _WHY else f"Attempt {number}",
        model=", ".join(dict.fromkeys(call.name for call in calls)),
        badge=step_badge(state),
        seconds=(last.finished_at - calls[0].started_at).total_seconds() if last.finished_at else None,
        input_tokens=sum(call.input_tokens or 0 for call in calls),
        cost_micros=sum(known) if known else None,
        error=str((last.error or {}).get("message") or ""),
        prompt=_asked(answered.request)[:LONGEST],
        answer=_said(answered.response)[:LONGEST],
    )


def _asked(request: Json) -> str:
    messages = request.get("messages") if isinstance(request, dict) else None
    return "\n\n".join(str(one.get("text") or "") for one in messages or () if isinstance(one, Mapping))


def _said(response: Json) -> str:
    """Return an answer as its text; one that is JSON over several lines, so that its words can be told apart."""
    text = str(response.get("text") or "") if isinstance(response, dict) else ""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
