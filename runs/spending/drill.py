"""The runs behind a number: each with its part, and the parts sum to the number."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import connection

from runs.snapshot import one_snapshot
from runs.spending import cells, counts, waste
from runs.spending.answers import COLUMN, ask, given, raw, spending_of, that_keeps
from runs.spending.question import Question, Spending

WASTED = "wasted"
_PLACE = ("outcome", "pipeline_id", "node")
_FIRST = "c.cost - c.retried - c.repaired"
_UNREAD = (
    "select p.id, u.node from unnest(%(slugs)s::varchar[], %(nodes)s::varchar[]) u(slug, node)"
    " join pipelines_pipeline p on p.workspace_id = %(workspace)s and p.slug = u.slug"
)
FIGURES = {
    "cost": "sum(c.cost)",
    "unconfirmed": "sum(c.unconfirmed)",
    "saved": "sum(c.saved)",
    "retried": "sum(c.retried)",
    "repaired": "sum(c.repaired)",
    "unused": "sum(c.unused)",
    "looped": "sum(c.looped)",
    "rest": f"sum({_FIRST})",
    "first": f"sum({_FIRST} - c.unused - c.looped)",
    WASTED: (
        "sum(c.retried + c.repaired + c.unused + c.looped"
        f" + case when c.outcome in ('failed', 'cancelled') then {_FIRST}"
        f" when c.outcome = 'succeeded' and (c.pipeline_id, c.node) in ({_UNREAD})"
        f" then {_FIRST} - c.unused - c.looped else 0 end)"
    ),
    "calls": "sum(c.calls)",
    "unpriced": "sum(c.unpriced)",
    "runs": "1",
}
"""What can be looked behind: micro-dollars, calls, those whose price is not known, and runs with calls. `rest` is what
failed and cancelled runs cost beside retries and repairs, `first` what is no other waste of runs that succeeded;
`wasted` is every kind of waste."""
SUMS = ", ".join(f"sum(c.{name}) as {name}" for name in cells.SUMS)
MOST_CALLS = 60_000
"""With more calls than that in the period, days are shown first."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run's part of a number (`amount`, None where no price is known), and all it did there."""

    run_id: UUID
    amount: int | None
    spending: Spending


@dataclass(frozen=True, slots=True)
class Parts:
    """The runs from `offset` on, the largest part first. `total` is the number, `removed` the part of it that belongs
    to runs whose calls retention has removed; `count` is how many runs there are, listed or not. Of calls without any
    known price the total is None."""

    total: int | None
    count: int = 0
    removed: int = 0
    runs: list[Part] = field(default_factory=list)


def amount(spending: Spending, figure: str) -> int | None:
    """Return a figure of FIGURES of what was spent; None where that is money of calls without any known price."""
    if figure in ("rest", "first"):
        beside = spending.retried + spending.repaired + (spending.unused + spending.looped) * (figure == "first")
        return None if spending.cost is None else spending.cost - beside
    found: int | None = getattr(spending, figure)
    return found


def parts(
    question: Question, figure: str, limit: int, offset: int = 0, unread: Collection[tuple[str, str]] = ()
) -> Parts:
    """Return the runs that a number is the sum of. Four queries; the calls of the whole period are read.

    Of what is `wasted`, `unread` are the steps, as (pipeline, step), whose output nothing read.
    """
    with one_snapshot():
        total = _total(question, figure, unread)
        rows = _read(question, figure, (limit, offset), unread)
        if rows or not offset:
            count, listed = (rows[0]["all_runs"], rows[0]["all_amounts"]) if rows else (0, 0)
        else:
            count, listed = 0, total or 0
    found = [Part(row["run_id"], _amount(row, figure), spending_of_run(row)) for row in rows]
    return Parts(total, count, (total or 0) - int(listed or 0), found)


def begun(runs: counts.Runs, limit: int, offset: int = 0) -> tuple[int, list[UUID]]:
    """Return how many runs these are (`counts`), and the newest of them. One query."""
    statement, parameters = counts.listing(runs)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{statement} limit %(limit)s offset %(offset)s", parameters | {"limit": limit, "offset": offset}
        )
        rows = cursor.fetchall()
    return (rows[0][1] if rows else 0), [row[0] for row in rows]


def calls_of(question: Question, beside: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return a statement's source `c` and condition, and the parameters: what calls came to by run and place.

    `beside` are columns of the books that are read with those which the question keeps something of.
    """
    parameters: dict[str, Any] = {"workspace": question.workspace.pk, "zone": question.zone.key}
    parameters |= given(question.only)
    columns = list(dict.fromkeys((*(COLUMN[name] for name in question.only), *beside)))
    every = " union all ".join(raw(columns, (question.since, question.until), "true", parameters))
    return f"({every}) c where {that_keeps(question.only)}", parameters


def fetched(statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def spending_of_run(row: dict[str, Any]) -> Spending:
    return spending_of({name: row[name] for name in cells.SUMS} | {"runs": 1})


def _total(question: Question, figure: str, unread: Collection[tuple[str, str]]) -> int | None:
    if figure != WASTED:
        return amount(ask(question).total, figure)
    lines = ask(replace(question, by=waste.BY, with_total=False)).lines
    return sum(line.micros for line in waste.waste(lines, unread=unread))


def _amount(row: dict[str, Any], figure: str) -> int | None:
    return int(row["amount"]) if figure == WASTED else amount(spending_of_run(row), figure)


def _read(
    question: Question, figure: str, page: tuple[int, int], unread: Collection[tuple[str, str]]
) -> list[dict[str, Any]]:
    source, parameters = calls_of(question, _PLACE if figure == WASTED else ())
    parameters |= {"limit": page[0], "offset": page[1]}
    parameters |= {"slugs": [slug for slug, _ in unread], "nodes": [node for _, node in unread]}
    return fetched(
        f"select found.*, count(*) over () as all_runs, sum(amount) over () as all_amounts from ("
        f"select c.run_id, {FIGURES[figure]} as amount, {SUMS} from {source}"
        f" group by c.run_id) found where {'true' if figure == 'cost' else 'amount <> 0'}"
        " order by amount desc, run_id limit %(limit)s offset %(offset)s",
        parameters,
    )
