"""What was paid for and came to nothing, each call counted once, and what kept results saved."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from runs.spending.question import Key, Spending


class Kind(StrEnum):
    """Each is also the name of a figure of runs (`drill`)."""

    RETRIED = "retried"
    REPAIRED = "repaired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNUSED = "unused"
    LOOPED = "looped"
    UNREAD = "unread"


NAMES = {
    Kind.RETRIED: "Asked again after a failure",
    Kind.REPAIRED: "Asked again: the answer did not fit",
    Kind.FAILED: "Failed runs",
    Kind.CANCELLED: "Cancelled runs",
    Kind.UNUSED: "Steps that came to nothing",
    Kind.LOOPED: "Second and later rounds of loops",
    Kind.UNREAD: "Outputs that nothing and nobody read",
}
BY = ("pipeline", "step", "outcome")


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a pipeline, and the micro-dollars there."""

    pipeline: str | None
    step: str | None
    micros: int


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of waste in micro-dollars; `places` are the steps with most of it, the worst first."""

    kind: Kind
    micros: int
    places: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        return NAMES[self.kind]


def waste(lines: Mapping[Key, Spending], shown: int = 3, unread: Collection[tuple[str, str]] = ()) -> list[Line]:
    """Return every kind of waste, the dearest first, from an answer by BY. No call is in two kinds.

    `unread` are the steps, as (pipeline, step), whose output nothing read: what else they cost in runs that succeeded.
    """
    found = [
        _line(
            kind,
            (
                Place(pipeline, step, of(one, outcome, kind))
                for (pipeline, step, outcome), one in lines.items()
                if kind is not Kind.UNREAD or (pipeline, step) in unread
            ),
            shown if kind is not Kind.UNREAD else len(lines),
        )
        for kind in Kind
    ]
    return sorted(found, key=lambda line: -line.micros)


def saved(lines: Mapping[Key, Spending], shown: int = 3) -> tuple[int, tuple[Place, ...]]:
    """Return what kept results saved in micro-dollars, and the steps that saved most."""
    places = _places(Place(pipeline, step, one.saved) for (pipeline, step, _), one in lines.items())
    return sum(place.micros for place in places), tuple(places[:shown])


def of(spending: Spending, outcome: str | None, kind: Kind) -> int:
    """Return the part of a line's cost that is waste of this kind."""
    match kind:
        case Kind.RETRIED:
            return spending.retried
        case Kind.REPAIRED:
            return spending.repaired
        case Kind.UNUSED:
            return spending.unused
        case Kind.LOOPED:
            return spending.looped
        case Kind.UNREAD:
            return _rest(spending) - spending.unused - spending.looped if outcome == "succeeded" else 0
    return _rest(spending) if outcome == kind else 0


def _rest(spending: Spending) -> int:
    """Return what was asked for the first time."""
    return (spending.cost or 0) - spending.retried - spending.repaired


def _line(kind: Kind, places: Iterable[Place], shown: int) -> Line:
    found = _places(places)
    return Line(kind, sum(place.micros for place in found), tuple(found[:shown]))


def _places(places: Iterable[Place]) -> list[Place]:
    sums: dict[tuple[str | None, str | None], int] = {}
    for place in places:
        sums[place.pipeline, place.step] = sums.get((place.pipeline, place.step), 0) + place.micros
    found = [Place(*key, micros) for key, micros in sums.items() if micros]
    return sorted(found, key=lambda place: (-place.micros, place.pipeline or "", place.step or ""))
