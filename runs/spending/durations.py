"""The statements that make the lines of how long runs and steps took, with waiting apart from work.

A line counts in one of `PARTS`: work of the machine, waiting for people, waiting for an event, a time or a turn.
Times are kept in buckets that grow by a fourth root of two, so that a percentile is known to within ten percent
however many steps a day has. Statements are put together from constants; which runs is a condition over `r`.
"""

from runs.engine.status import WaitReason
from runs.spending.adding import adding

WORK, PEOPLE, OUTSIDE = PARTS = ("work", "people", "outside")
RUN, CHILD = "run", "child"
LINE = ("workspace_id", "day", "pipeline_id", "node", "kind", "state", "port", "part", "bucket")
FIGURES = ("times", "milliseconds")
PER_DOUBLING = 4

_ZONE = "(select b.zone from runs_spendbook b where b.workspace_id = r.workspace_id)"
_OF_PEOPLE = (
    WaitReason.APPROVAL,
    WaitReason.ANSWER,
    WaitReason.FAILURE,
    WaitReason.BUDGET,
    WaitReason.OUTCOME_UNKNOWN,
)
_OF_OUTSIDE = (WaitReason.EVENT, WaitReason.TIMER, WaitReason.LOCK)
# What stands in these is timed by itself; they would count it, and what people wait inside, a second time.
_CONTAINERS = ("input", "output", "each", "repeat", "pipeline", "team", "supervisor")
_NODE = (
    "case when t.path = t.node then t.node else"
    r" regexp_replace(regexp_replace(t.path, '[~>]\d+\..*$', ''), '^.*\.', '') end"
)
# All ports that a Route took; an index takes no more of them.
_PORT = "left(t.port, 1000)"
_MS = "(1000 * extract(epoch from {}))"


def _words(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _waited(runs: str) -> str:
    """Return the statement with the runs in which a step has waited: only of those the events are read."""
    return (
        "select distinct e.run_id from runs_run r join runs_event e on e.run_id = r.id"
        f" where {runs} and e.type = 'step_waiting'"
    )


def _waits() -> str:
    """Return the statement with a row for each wait of a step: run_id, path, for_people and its time."""
    return (
        "select run_id, path, for_people, tstzrange(at, coalesce(until, finished_at, at)) as time from ("
        " select e.run_id, e.path, e.type, e.at, r.finished_at, e.payload->>'reason' as reason,"
        f" e.payload->>'reason' in ({_words(_OF_PEOPLE)}) as for_people,"
        " lead(e.at) over (partition by e.run_id, e.path order by e.seq) as until"
        " from waited join runs_run r on r.id = waited.run_id join runs_event e on e.run_id = r.id"
        r" where e.path is not null and e.type like 'step\_%%') one"
        f" where type = 'step_waiting' and reason in ({_words((*_OF_PEOPLE, *_OF_OUTSIDE))})"
    )


def _of_steps(runs: str, zone: str) -> str:
    waited = (
        "select run_id, path, sum(upper(time) - lower(time)) filter (where for_people) as people,"
        " sum(upper(time) - lower(time)) filter (where not for_people) as outside from waits group by run_id, path"
    )
    return (
        f"select r.id as run_id, r.workspace_id, (t.finished_at at time zone {zone})::date as day, r.pipeline_id,"
        f" {_NODE} as node, t.kind, t.state, {_PORT} as port, t.finished_at - t.started_at as took,"
        " coalesce(w.people, interval '0') as people, coalesce(w.outside, interval '0') as outside"
        " from runs_run r join runs_step t on t.run_id = r.id"
        f" left join ({waited}) w on w.run_id = t.run_id and w.path = t.path"
        f" where {runs} and t.started_at is not null and t.finished_at is not null"
        f" and not t.kind in ({_words(_CONTAINERS)}) and not t.flags && '{{reused,cached}}'::varchar[]"
    )


def _of_runs(runs: str, zone: str) -> str:
    """Return the statement with a row for each run; steps that wait at the same time make the run wait once."""
    waited = (
        "select run_id, range_agg(time) filter (where for_people) as people, range_agg(time) as ever"
        " from waits group by run_id"
    )
    of = "coalesce((select sum(upper(one) - lower(one)) from unnest(w.{}) one), interval '0')"
    return (
        f"select r.id as run_id, r.workspace_id, (r.finished_at at time zone {zone})::date, r.pipeline_id, '',"
        f" case when r.parent_id is null then '{RUN}' else '{CHILD}' end, r.state, null,"
        f" r.finished_at - coalesce(r.started_at, r.finished_at), {of.format('people')},"
        f" greatest({of.format('ever')} - {of.format('people')}, interval '0')"
        f" from runs_run r left join ({waited}) w on w.run_id = r.id where {runs} and r.finished_at is not null"
    )


def each(runs: str, zone: str = _ZONE) -> str:
    """Return the statement with a row for each time of these runs and their steps: run_id, LINE's columns, and ms."""
    ms = {
        WORK: f"greatest({_MS.format('took - people - outside')}, 0)",
        PEOPLE: _MS.format("people"),
        OUTSIDE: _MS.format("outside"),
    }
    parts = ", ".join(f"('{part}', {ms[part]})" for part in PARTS)
    bucket = f"case when ms < 1 then 0 else 1 + floor({PER_DOUBLING} * ln(ms::float8) / ln(2)) end::smallint"
    return (
        f"with waited as materialized ({_waited(runs)}), waits as materialized ({_waits()})"
        f" select one.*, part, ms, {bucket} as bucket"
        f" from ({_of_steps(runs, zone)} union all {_of_runs(runs, zone)}) one"
        f" cross join lateral (values {parts}) cut(part, ms) where part = '{WORK}' or ms > 0"
    )


def timed(runs: str, zone: str = _ZONE) -> str:
    """Return the statement with the lines of these runs and their steps: LINE, then FIGURES."""
    names = ", ".join(LINE)
    return (
        f"select {names}, count(*)::bigint as times, sum(ms)::bigint as milliseconds from ({each(runs, zone)}) cut"
        f" group by {names}"
    )


def entering(source: str, *, sealed: bool, sign: int) -> str:
    """Return the statement that adds lines to the book, or takes them off it with the sign -1."""
    return adding("runs_stepday", LINE, FIGURES, source, sealed=sealed, sign=sign)
