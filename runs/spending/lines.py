"""The statements that make the lines of the daily books from the spans and entries of runs.

Statements are put together from constants; which runs is a condition over `r`, a row of `runs_run`.
"""

from runs.spending import cells
from runs.spending.adding import adding

_PLACE = ("pipeline_id", "agent", "node", "model", "person", "trigger", "outcome", "tags")
LINE = ("workspace_id", "day", *_PLACE)
FIGURES = (*cells.SUMS, *cells.MASKS.values())
_KEY = ", ".join((*LINE, "is_sealed"))
_ZONE = "(select b.zone from runs_spendbook b where b.workspace_id = r.workspace_id)"
_OF_RUN = "workspace_id, pipeline_id, person, trigger, outcome, tags"
_LETTERS = {"a": "agent", "n": "node", "m": "model"}


def cells_of(runs: str) -> str:
    """Return the statement with what runs came to: LINE, run_id and sums; a row per run, day and place.

    Where a run has both calls and entries in a place there are two.
    """
    day = "({} at time zone b.zone)::date as day"
    parts = (
        (day.format(cells.END), cells.OF_SPAN, cells.SUMS_OF_SPANS, cells.FROM_RUNS_OF_WORKSPACE, cells.A_CALL),
        (day.format(cells.AT), cells.OF_ENTRY, cells.SUMS_OF_ENTRIES, cells.FROM_ENTRIES, cells.BESIDE_COST),
    )
    return " union all ".join(
        f"select r.workspace_id, {at}, {', '.join(f'{keys[name]} as {name}' for name in _PLACE)}, r.id as run_id,"
        f" {', '.join(f'{text}::bigint as {name}' for name, text in sums.items())}"
        f" from {tables} join runs_spendbook b on b.workspace_id = r.workspace_id"
        # The rest of the place is the run's.
        f" where {kept} and {runs} group by r.id, 2, 3, 4, 5, 6"
        for at, keys, sums, tables, kept in parts
    )


def lines_of(found: str) -> str:
    """Return the statement with the lines that the rows of `cells_of` make: LINE, then FIGURES.

    Many runs of a pipeline are in the same places. So they are counted by the list of their places, and which of these
    stands for them is asked once a list. The same places in another order are another list; that is slower, not wrong.
    """
    names = ", ".join(LINE)
    sums = ", ".join(f"sum({name})::bigint as {name}" for name in cells.SUMS)
    nothing = ", ".join(f"0::bigint as {name}" for name in cells.SUMS)
    no_counts = ", ".join(f"0::bigint as {name}" for name in cells.MASKS.values())
    order = 'order by agent collate "C", node collate "C", model collate "C"'
    stands = ", ".join(
        f"(row_number() over (partition by {', '.join(['list', *(_LETTERS[letter] for letter in letters)])}"
        f" {order}) = 1)::int * times as {name}"
        for letters, name in cells.MASKS.items()
    )
    lists = (
        f"select {_OF_RUN}, day, agents, nodes, models, count(*) as times, row_number() over () as list from ("
        f"select {_OF_RUN}, run_id, min(day) as day, max(day) as last, array_agg(agent) as agents,"
        f" array_agg(node) as nodes, array_agg(model) as models"
        f" from (select * from {found} {order}) ordered group by {_OF_RUN}, run_id) one"
        f" where day = last group by {_OF_RUN}, day, agents, nodes, models"
    )
    counts = (
        f"select {names}, {nothing}, {stands} from ({lists}) of, unnest(agents, nodes, models) u(agent, node, model)"
    )
    figures = ", ".join(f"sum({name})::bigint as {name}" for name in FIGURES)
    return (
        f"select {names}, {figures} from (select {names}, {sums}, {no_counts} from {found} group by {names}"
        f" union all {counts}) made group by {names}"
    )


def entering(source: str, *, sealed: bool, sign: int) -> str:
    """Return the statement that adds lines to the book, or takes them off it with the sign -1."""
    return adding("runs_spendday", LINE, FIGURES, source, sealed=sealed, sign=sign)


def visits(found: str) -> str:
    """Return the statement that notes where runs of several days were."""
    names = ", ".join(LINE)
    return (
        f"insert into runs_spendvisit ({_KEY}, run_id)"
        f" select {names}, false, run_id from {found} where run_id in"
        f" (select run_id from {found} group by run_id having min(day) <> max(day))"
    )


COUNTED = {
    "runs": "1",
    "cost": "r.cost_micros",
    "peak": "r.cost_micros",
    "unconfirmed": "r.unconfirmed_micros",
    "capped": "(r.state = 'failed' and coalesce(r.reason, '') like '%%budget%%')::int",
}
"""What a run adds to the counts of its day; `peak` is the largest, all else a sum."""
COUNT = ("workspace_id", "day", "pipeline_id", "state", "is_child", "rehearsal", "person", "trigger", "tags")


def counted(runs: str, zone: str = _ZONE) -> str:
    """Return the statement with a row for each run: COUNT, then what it adds."""
    day = f"(r.created_at at time zone {zone})::date"
    place = f"r.workspace_id, {day} as day, r.pipeline_id, r.state, r.parent_id is not null as is_child, r.rehearsal, "
    place += ", ".join(f"{cells.OF_RUN[name]} as {name}" for name in ("person", "trigger", "tags"))
    figures = ", ".join(f"{text} as {name}" for name, text in COUNTED.items())
    return f"select {place}, {figures} from runs_run r where {runs}"


def totals() -> str:
    return ", ".join(f"{'max' if name == 'peak' else 'sum'}({name})::bigint as {name}" for name in COUNTED)


def counting(runs: str) -> str:
    """Return the statement that adds runs to the counts of their days."""
    names, figures = ", ".join(COUNT), ", ".join(COUNTED)
    sets = ", ".join(
        f"{name} = greatest(c.peak, excluded.peak)" if name == "peak" else f"{name} = c.{name} + excluded.{name}"
        for name in COUNTED
    )
    return (
        f"insert into runs_runday as c ({names}, {figures})"
        f" select {names}, {totals()} from ({counted(runs)}) one group by {names} order by {names}"
        f" on conflict ({names}) do update set {sets}"
    )
