"""How long runs and steps took, half of them and 95 of 100, with waiting for people apart; and how they ended.

The daily books keep times in buckets (`durations`), so a percentile is right to within ten percent, however long the
history. What has not been booked yet is read from its rows. Days are those of the books.
"""

import datetime as dt
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Workspace
from runs.spending import durations

MIDDLE, MOST = 0.5, 0.95


@dataclass(frozen=True, slots=True)
class Times:
    """How many there were and seconds: half took at most `p50`, 95 of 100 at most `p95`. None where there were none."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a pipeline, or its runs where `node` is "": the machine's time, and how long people were waited for.

    `states` counts how they ended, `ports` which way a step's result went.
    """

    pipeline: str
    node: str
    kind: str
    work: Times
    people: Times
    states: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[str | None, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return sum(self.states.values())

    def share(self, state: str) -> float | None:
        """Return how many of 100 ended so."""
        return 100 * self.states.get(state, 0) / self.ended if self.ended else None


def places(
    workspace: Workspace, first: dt.date, last: dt.date, pipelines: Sequence[str] = (), state: str = ""
) -> list[Place]:
    """Return the runs and steps that ended on these days, of all pipelines or of some (slugs), in any state or in one.
    One query."""
    found: dict[tuple[str, str, str], list[tuple[str, int, str, str | None, int]]] = defaultdict(list)
    for slug, node, kind, *line in _read(workspace, first, last, pipelines):
        if state in ("", line[2]):
            found[slug, node, kind].append(tuple(line))
    return [_place(key, lines) for key, lines in sorted(found.items())]


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds at which a share of the times lies: the middle of its bucket."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted, passed = share * total, 0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if passed >= wanted:
            return _seconds(bucket)
    raise AssertionError("The last bucket holds the last time.")


def _seconds(bucket: int) -> float:
    """Return the geometric middle of a bucket; the first holds what took less than a millisecond."""
    return 2 ** ((bucket - 0.5) / durations.PER_DOUBLING) / 1000 if bucket else 0.0


def _place(key: tuple[str, str, str], lines: Iterable[tuple[str, int, str, str | None, int]]) -> Place:
    times: dict[str, Counter[int]] = {part: Counter() for part in durations.PARTS}
    states: Counter[str] = Counter()
    ports: Counter[str | None] = Counter()
    for part, bucket, state, port, count in lines:
        times[part][bucket] += count
        if part == durations.WORK:
            states[state] += count
            ports[port] += count * (state == "succeeded")
    work, people = (_times(times[part]) for part in (durations.WORK, durations.PEOPLE))
    return Place(*key, work=work, people=people, states=+states, ports=+ports)


def _times(buckets: Counter[int]) -> Times:
    return Times(buckets.total(), percentile(buckets, MIDDLE), percentile(buckets, MOST))


def _read(workspace: Workspace, first: dt.date, last: dt.date, pipelines: Sequence[str]) -> list[tuple[Any, ...]]:
    kept = "true" if not pipelines else "p.slug = any(%(pipelines)s::varchar[])"
    names = "p.slug, d.node, d.kind, d.part, d.bucket, d.state, d.port"
    statement = f"select {names}, sum(d.times)::bigint from {_LINES} where {kept} group by {names}"
    return _rows(statement, _given(workspace, first, last) | {"pipelines": list(pipelines)})


_OF = "where d.workspace_id = %(workspace)s and d.day between %(first)s and %(last)s"
_NAMES = "d.day, d.pipeline_id, d.node, d.kind, d.part, d.bucket, d.state, d.port, d.times"
_NOT_BOOKED = durations.timed("r.workspace_id = %(workspace)s and r.booked_at is null", "%(zone)s")
_LINES = (
    f"(select {_NAMES} from runs_stepday d {_OF} union all select {_NAMES} from ({_NOT_BOOKED}) d {_OF}) d"
    " join pipelines_pipeline p on p.id = d.pipeline_id"
)
_OF_SPOT = (
    "pipeline_id in (select id from pipelines_pipeline where workspace_id = %(workspace)s and slug = %(pipeline)s)"
)
_IS_SPOT = (
    "{0}.node = %(node)s and {0}.kind = %(kind)s and {0}.part = %(part)s"
    " and (%(state)s::varchar = '' or {0}.state = %(state)s::varchar)"
)
_BY_DAY = (
    f"select d.day, sum(d.times)::bigint from {_LINES} where d.{_OF_SPOT} and {_IS_SPOT.format('d')}"
    " group by 1 order by 1"
)
# Two statements, each with its index; what has been trimmed has no times of its own any more.
_RUNS = " union all ".join(
    f"select id from runs_run where workspace_id = %(workspace)s and {_OF_SPOT} and created_at < %(until)s and {booked}"
    for booked in ("booked_at is null", "booked_at is not null and trimmed_at is null and finished_at >= %(since)s")
)
_BEHIND = (
    f"with chosen as materialized ({_RUNS}), found as (select d.run_id, count(*) as times, max(d.ms) as ms"
    f" from ({durations.each('r.id in (select id from chosen)', '%(zone)s')}) d {_OF} and {_IS_SPOT.format('d')}"
    " group by d.run_id)"
    " select run_id, times, ms::float8 / 1000, count(*) over (), (sum(times) over ())::bigint"
    " from found order by ms desc, run_id"
    " limit %(limit)s offset %(offset)s"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a time was taken: a step of a pipeline (a slug), or its runs where `node` is "", and which part of it.

    Where `state` is not "", only what ended so.
    """

    pipeline: str
    node: str
    kind: str
    part: str = durations.WORK
    state: str = ""


@dataclass(frozen=True, slots=True)
class Slow:
    """A run with its longest time at a spot, in seconds, and how many it had there."""

    run_id: UUID
    times: int
    seconds: float


def by_day(workspace: Workspace, first: dt.date, last: dt.date, spot: Spot) -> dict[dt.date, int]:
    """Return how many times were taken at a spot, by day. One query, of the books."""
    return dict(_rows(_BY_DAY, _given(workspace, first, last) | asdict(spot)))


def behind(
    workspace: Workspace, first: dt.date, last: dt.date, spot: Spot, page: tuple[int, int]
) -> tuple[int, list[Slow], int]:
    """Return how many runs have times at a spot, those of a page (limit, offset), the slowest first, and how many times
    all runs have. One query.

    Runs whose events retention has removed are not among them.
    """
    zone = zoneinfo.ZoneInfo(workspace.zone)
    since, until = (
        dt.datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, last + dt.timedelta(days=1))
    )
    limits = {"since": since, "until": until, "limit": page[0], "offset": page[1]}
    rows = _rows(_BEHIND, _given(workspace, first, last) | asdict(spot) | limits)
    return (rows[0][3] if rows else 0), [Slow(*row[:3]) for row in rows], (rows[0][4] if rows else 0)


def _given(workspace: Workspace, first: dt.date, last: dt.date) -> dict[str, Any]:
    return {"workspace": workspace.pk, "zone": workspace.zone, "first": first, "last": last}


def _rows(statement: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
