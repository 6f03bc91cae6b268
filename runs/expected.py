"""What the steps of a pipeline are expected to cost: what they cost in its newest runs, from least to most."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import F, Func, QuerySet, Sum, TextField, Value

from accounts.access import Actor, get, scoped
from pipelines.models import Pipeline
from runs import ranges
from runs.models import Run, Step
from runs.tallies import INSTANCE

_MADE = r"[~>]\d+\..*$"  # steps of a turn or delegation belong to the box that made them
_BELOW = """
with recursive below as (
  select parent_id as above, regexp_replace(regexp_replace(parent_path, %s, '', 'g'), %s, '', 'g') as place, id
  from runs_run where parent_id = any(%s)
  union all
  select b.above, b.place, r.id from below b join runs_run r on r.parent_id = b.id
)
select b.above, b.place, sum(r.cost_micros), sum(r.unpriced_calls)
from below b join runs_run r on r.id = b.id group by b.above, b.place
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost in so many runs, in micro-dollars; `unpriced` of them had calls without a known price."""

    runs: int
    unpriced: int
    least_micros: int | None
    most_micros: int | None

    @property
    def is_one(self) -> bool:
        """Tell whether all of the runs cost the same."""
        return self.least_micros == self.most_micros

    @property
    def basis(self) -> str:
        """What the range is taken from."""
        said = f"In {'the newest run' if self.runs == 1 else f'the newest {self.runs} runs'} that succeeded"
        return f"{said}; {self.unpriced} with calls of unknown price" if self.unpriced else said


@dataclass(frozen=True, slots=True)
class Expected:
    """`run` is None while no run has succeeded; `steps` has those by place that cost something."""

    run: Cost | None
    steps: Mapping[str, Cost]


def of_pipeline(actor: Actor, slug: str) -> Expected:
    """Return what the newest runs of a pipeline cost, as a whole and by step. NotFound. At most five queries."""
    own = scoped(Run, actor).filter(pipeline=get(Pipeline, actor, slug=slug))
    whole = ranges.cost_of(own)
    # What a fork took over cost nothing there, and would say too little of the step.
    ended = own.filter(parent=None, state="succeeded", forked_from=None).order_by("-created_at")
    ids = list(ended.values_list("pk", flat=True)[: ranges.LOOKED_AT])
    run = Cost(whole.runs, whole.unpriced, whole.least_micros, whole.most_micros) if whole.runs else None
    return Expected(run, _by_place([*_of_steps(ids), *_of_children(ids)]))


_Paid = tuple[UUID, str, int, int]
"""The run, the place, micro-dollars, and calls without a known price."""


def _of_steps(ids: Sequence[UUID]) -> Iterator[_Paid]:
    place = _without(_without(F("path"), _MADE), INSTANCE)
    rows: QuerySet[Step, _Paid] = (
        Step.objects.filter(run__in=ids)
        .annotate(place=place)
        .order_by()
        .values_list("run_id", "place")
        .annotate(Sum("cost_micros"), Sum("unpriced_calls"))
    )
    return iter(rows)


def _of_children(ids: Sequence[UUID]) -> Iterator[_Paid]:
    """Yield what the runs that a step started came to, with all below them: a line a place, however many they are."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [_MADE, INSTANCE, list(ids)])
        for parent, place, micros, unpriced in cursor.fetchall():
            yield parent, place, int(micros), int(unpriced)


def _without(text: F | Func, pattern: str) -> Func:
    return Func(text, Value(pattern), Value(""), Value("g"), function="regexp_replace", output_field=TextField())


def _by_place(paid: Iterable[_Paid]) -> dict[str, Cost]:
    """Return the range of each place that ever cost something; a container costs what is in it."""
    sums: dict[str, dict[UUID, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for run, place, micros, unpriced in paid:
        names = place.split(".")
        for depth in range(1, len(names) + 1):
            found = sums[".".join(names[:depth])][run]
            found[0] += micros
            found[1] += unpriced
    return {
        place: _ranged(list(runs.values())) for place, runs in sums.items() if any(any(one) for one in runs.values())
    }


def _ranged(runs: Sequence[Sequence[int]]) -> Cost:
    known = [micros for micros, unpriced in runs if not unpriced]
    return Cost(len(runs), len(runs) - len(known), min(known, default=None), max(known, default=None))
