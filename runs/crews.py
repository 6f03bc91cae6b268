"""Who of a Team or a Supervisor is at work in a run, and how often each was asked: from the tallies of made steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.canvas import Mate, Placed
from pipelines.graph.crew import LEADS
from pipelines.graph.model import Kind
from runs.engine.status import StepState
from runs.models import Step
from runs.tallies import Facts, Rounds, Tallies, Tally

_AT_WORK = frozenset({StepState.RUNNING, StepState.RETRYING, StepState.WAITING})
_ASKED = _AT_WORK | {StepState.SUCCEEDED, StepState.FAILED}


@dataclass(frozen=True, slots=True)
class Working:
    """One of a crew in a run: how often it was asked, the step that says what of, and how many of those go on."""

    mate: Mate
    asked: int = 0
    at_work: int = 0
    failed: int = 0
    step: Step | None = None
    word: str = "turn"

    @property
    def count(self) -> str:
        """How often it was asked, in words; "" for never."""
        return f"{self.asked} {self.word}{'' if self.asked == 1 else 's'}" if self.asked else ""

    @property
    def look(self) -> tuple[object, ...]:
        return self.asked, self.at_work, self.failed, self.step.path if self.step else ""


class Crews:
    """The crews of some boxes; `shown` are the tallies of the newest rounds by place."""

    def __init__(self, facts: Facts, nodes: Iterable[Placed], shown: Tallies, rounds: Rounds) -> None:
        crewed = [placed for placed in nodes if placed.is_crew and shown.get(placed.place)]
        gives_out = any(placed.node.kind is Kind.SUPERVISOR for placed in crewed)
        given = rounds.shown(list(facts.delegated())) if gives_out else []
        self._rows = {placed.place: list(_by_mate(placed, shown, given)) for placed in crewed}

    @property
    def newest(self) -> list[int]:
        """Return the id of the step that stands for each who was asked."""
        return [_newest(rows) for all_rows in self._rows.values() for rows in all_rows if rows]

    def of(self, placed: Placed, steps: Mapping[int, Step]) -> tuple[Working, ...]:
        """Return a box's crew; `steps` holds those of `newest`."""
        every = self._rows.get(placed.place) or [[] for _ in placed.crew]
        return tuple(_working(placed, mate, rows, steps) for mate, rows in zip(placed.crew, every, strict=True))


def _working(placed: Placed, mate: Mate, rows: Sequence[Tally], steps: Mapping[int, Step]) -> Working:
    gives_out = placed.node.kind is Kind.SUPERVISOR and mate.member.part != LEADS
    return Working(
        mate=mate,
        asked=_counted(rows, _ASKED),
        at_work=_counted(rows, _AT_WORK),
        failed=_counted(rows, {StepState.FAILED}),
        step=steps.get(_newest(rows)) if rows else None,
        word="task" if gives_out else "turn",
    )


def _by_mate(placed: Placed, shown: Tallies, given: Sequence[Tally]) -> Iterator[list[Tally]]:
    speaks = 0
    for mate in placed.crew:
        member = mate.member
        speaks += member.is_listed
        if placed.node.kind is Kind.SUPERVISOR and member.is_listed:
            yield [row for row in given if row["title"] == mate.title and _depth(row, placed) == member.depth]
        else:
            names = (f"speak_{speaks}",) if member.is_listed else _asked_beside(placed, member.at)
            yield [row for name in names for row in shown.get(f"{placed.place}.{name}", ())]


def _asked_beside(placed: Placed, at: str) -> tuple[str, ...]:
    """Return the names of the made steps of who leads or judges."""
    if placed.node.kind is Kind.SUPERVISOR:
        return ("leader",)
    if at == "stop/judge":
        return ("judge",)
    return ("close",) if at == "judge" else ("choose", "summary", "close")


def _depth(row: Tally, placed: Placed) -> int | None:
    """Return how many supervisors stand between a made step and a box; None for a step of another box."""
    place, prefix = str(row["place"]), f"{placed.place}."
    return place.removeprefix(prefix).count(".") if place.startswith(prefix) else None


def _counted(rows: Iterable[Tally], states: Iterable[StepState]) -> int:
    wanted = {str(state) for state in states}
    return sum(row["count"] for row in rows if row["state"] in wanted)


def _newest(rows: Sequence[Tally]) -> int:
    """Return the newest of those at work, else the newest of all."""
    busy = [row for row in rows if row["state"] in _AT_WORK]
    return max(int(row["newest"]) for row in busy or rows)
