"""What a run's steps come to, by place: how many are in which state, what they cost, which rounds and items there are.

`Rows` says it of the steps as they are now, `Then` of steps in memory as they stood once.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db.models import Case, Count, F, Func, IntegerField, Max, Q, QuerySet, Sum, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce

from pipelines.canvas import Picture
from pipelines.graph.model import Kind
from runs.engine.settling import CONTAINED
from runs.engine.status import StepState
from runs.models import Run, Step

Tally = Mapping[str, Any]
"""{place, round ("" outside of one), state, count, cost, unpriced, newest}: steps that share the first three."""
Tallies = Mapping[str, Sequence[Tally]]
HEAVY = ("input", "output", "meta", "memo")
ORIGIN = KeyTextTransform("number", KeyTransform("reused_from", "memo"))
INSTANCE = r"\[\d+\]|[#~>@]\d+"
_LAST_TURN = r"[~>](\d+)\.[^.]*$"  # the number of the turn or delegation that a made step stands in
_DELEGATED = r">\d+\.[^.]*$"
_IN_AN_ITEM = r"\]\.[^.]+$"
_AFTER_ROUND = r"\.[^#]*$"  # what follows the last round in a path


class Facts(Protocol):
    """What the cards of a run are made from."""

    def tallies(self) -> Iterable[Tally]: ...

    def steps(self, ids: Collection[int]) -> Mapping[int, Step]: ...

    def delegated(self) -> Iterable[Tally]:
        """Return the tallies of what supervisors have given out, by `title` too: that of who works on it."""

    def turns(self) -> Mapping[str, int]:
        """Return the newest turn or delegation by the container's path."""

    def items(self) -> Iterable[tuple[str, int | None]]:
        """Yield the path of each For each and how many items it was given."""

    def failed(self) -> Iterable[str]:
        """Yield the paths of the steps right in an item that failed and are not left out of it."""


def place_of(path: str) -> str:
    """Return the node's place of a step's path: "research[3].draft" → "research.draft"."""
    return re.sub(INSTANCE, "", path)


class Rows:
    """The steps as their rows have them now."""

    def __init__(self, run: Run) -> None:
        self._steps = Step.objects.filter(run=run)

    def tallies(self) -> Iterable[Tally]:
        return self._tallied(self._steps)

    def delegated(self) -> Iterable[Tally]:
        return self._tallied(self._steps.filter(path__regex=_DELEGATED), "title")

    def _tallied(self, steps: QuerySet[Step], *by: str) -> list[Tally]:
        place = _replaced(INSTANCE, "", "g")
        around = Case(
            When(path__contains="#", then=_replaced(_AFTER_ROUND, "", "")), default=Value(""), output_field=TextField()
        )
        rows = (
            steps.annotate(place=place, round=around)
            .order_by()
            .values("place", "round", "state", *by)
            .annotate(count=Count("id"), cost=Sum("cost_micros"), unpriced=Sum("unpriced_calls"), newest=Max("id"))
        )
        return [dict(row) for row in rows]

    def steps(self, ids: Collection[int]) -> Mapping[int, Step]:
        return Step.objects.defer(*HEAVY).annotate(origin=ORIGIN).in_bulk(list(ids))

    def turns(self) -> Mapping[str, int]:
        made = self._steps.filter(path__regex=_LAST_TURN)
        number = Cast(Func(F("path"), Value(_LAST_TURN), function="substring"), IntegerField())
        rows = made.annotate(container=_replaced(_LAST_TURN, "", ""), number=number).order_by().values("container")
        return {row["container"]: row["newest"] for row in rows.annotate(newest=Max("number"))}

    def items(self) -> Iterable[tuple[str, int | None]]:
        listed = Func(KeyTransform("over", "input"), function="jsonb_array_length", output_field=IntegerField())
        beside = KeyTextTransform("over", KeyTransform("lengths", KeyTransform("input", "large")))
        length = Coalesce(listed, Cast(beside, IntegerField()))
        return list(self._steps.filter(kind=Kind.EACH).values_list("path", length))

    def failed(self) -> Iterable[str]:
        inside = Q(state=StepState.FAILED, path__regex=_IN_AN_ITEM) & ~Q(flags__contains=[CONTAINED])
        return list(self._steps.filter(inside).values_list("path", flat=True))


class Then:
    """Steps in memory; `given` is how many items each For each had, by path."""

    def __init__(self, steps: Iterable[Step], given: Mapping[str, int]) -> None:
        self._steps = list(steps)
        self._given = given

    def tallies(self) -> Iterable[Tally]:
        return _tallied(self._steps)

    def delegated(self) -> Iterable[Tally]:
        return _tallied((step for step in self._steps if re.search(_DELEGATED, step.path)), "title")

    def steps(self, ids: Collection[int]) -> Mapping[int, Step]:
        wanted = set(ids)
        return {step.pk: step for step in self._steps if step.pk in wanted}

    def turns(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for step in self._steps:
            if made := re.search(_LAST_TURN, step.path):
                container = step.path[: made.start()]
                found[container] = max(int(made[1]), found.get(container, 0))
        return found

    def items(self) -> Iterable[tuple[str, int | None]]:
        return self._given.items()

    def failed(self) -> Iterable[str]:
        for step in self._steps:
            if step.state == StepState.FAILED and CONTAINED not in step.flags and re.search(_IN_AN_ITEM, step.path):
                yield step.path


def _tallied(steps: Iterable[Step], *by: str) -> list[Tally]:
    names = ("place", "round", "state", *by)
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for step in steps:
        around = re.sub(_AFTER_ROUND, "", step.path) if "#" in step.path else ""
        key = (place_of(step.path), around, step.state, *(getattr(step, name) for name in by))
        empty = {"count": 0, "cost": 0, "unpriced": 0, "newest": 0}
        row = found.setdefault(key, {**dict(zip(names, key, strict=True)), **empty})
        row["count"] += 1
        row["cost"] += step.cost_micros
        row["unpriced"] += step.unpriced_calls
        row["newest"] = max(row["newest"], step.pk)
    return list(found.values())


class Rounds:
    """Which rounds of the run's Repeats there were, and which of each is the newest."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def add(self, prefix: str) -> None:
        """Take note of a round by its prefix: "write#2"."""
        container, mark, number = prefix.rpartition("#")
        if mark:
            self._newest[container] = max(int(number), self._newest.get(container, 0))

    def newest_of(self, path: str) -> int:
        """Return the newest round of a Repeat, 0 for any other step."""
        return self._newest.get(path, 0)

    def shown(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the rows of steps that stand in no round but the newest of each Repeat around them."""
        return [row for row in rows if self.holds(row["round"])]

    def holds(self, path: str) -> bool:
        """Tell whether a path is in no round but the newest of each Repeat around it."""
        prefix = re.sub(_AFTER_ROUND, "", path)
        while "#" in prefix:
            container, _, number = prefix.rpartition("#")
            if int(number) != self._newest.get(container):
                return False
            prefix = re.sub(_AFTER_ROUND, "", container)
        return True


@dataclass(frozen=True, slots=True)
class Items:
    """How many items each For each was given, and how many of them have failed, by place."""

    given: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Facts, rounds: Rounds, drawn: Picture) -> "Items":
        given: Counter[str] = Counter()
        for path, count in facts.items():
            if rounds.holds(path):
                given[place_of(path)] += count or 0
        ended: dict[str, set[str]] = {}
        for path in facts.failed():
            placed = drawn.by_place.get(place_of(path))
            routed = placed is not None and placed.node.on_error.then == "route"  # its item goes another way
            if rounds.holds(path) and not routed:
                item = path.rpartition(".")[0]
                ended.setdefault(place_of(item), set()).add(item)
        return cls(given, {place: len(items) for place, items in ended.items()})


def _replaced(pattern: str, by: str, flags: str) -> Func:
    return Func(F("path"), Value(pattern), Value(by), Value(flags), function="regexp_replace", output_field=TextField())
