"""The runs behind what a tag is charged: each with its share, and the shares sum to the charge to the micro-dollar.

A line of a chargeback (a set of tags and a pipeline) is shared as a whole. So a run's share is what the line's share
grows by when the run is added to those before it; no run is rounded by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.snapshot import one_snapshot
from runs.spending.answers import ask
from runs.spending.chargeback import BY, share, tags_of
from runs.spending.drill import SUMS, Part, Parts, calls_of, fetched, spending_of_run
from runs.spending.question import Key, Question, Spending

FIGURES = ("tagged", "charged", "carried")
"""Of a tag: what the runs with it cost, its part of that, and the part that their other tags carry."""
Lines = Mapping[Key, Spending]


@dataclass(frozen=True, slots=True)
class Asked:
    """A figure of a tag (None: of what has none). `before` are the lines by BY of those days of the charged period
    that come before the days in question."""

    figure: str
    tag: str | None
    before: Lines = field(default_factory=dict)

    def has(self, key: Key) -> bool:
        return self.tag in tags_of(key[0])

    def part(self, key: Key, micros: int) -> int:
        """Return the figure of a line that costs so much."""
        tags = tags_of(key[0])
        own = share(micros, len(tags), tags.index(self.tag))
        return {"tagged": micros, "charged": own, "carried": micros - own}[self.figure]

    def growing(self) -> Callable[[Key, int], int]:
        """Return a function that adds a cost to a line and tells what the line's figure grew by."""
        so_far = defaultdict(int, {key: one.cost or 0 for key, one in self.before.items()})

        def grown(key: Key, micros: int) -> int:
            was = so_far[key]
            so_far[key] = was + micros
            return self.part(key, was + micros) - self.part(key, was)

        return grown

    def total(self, lines: Lines) -> int | None:
        """Return the figure of lines by BY; None where no price is known of any."""
        costs = {key: one.cost for key, one in lines.items() if self.has(key)}
        if costs and all(cost is None for cost in costs.values()):
            return None
        grown = self.growing()
        return sum(grown(key, cost or 0) for key, cost in costs.items())

    def by_day(self, lines: Lines) -> dict[str, int]:
        """Return the figure of each day, of lines by day and BY in the days' order; the days sum to the total."""
        grown = self.growing()
        days: dict[str, int] = defaultdict(int)
        for (day, *key), one in lines.items():
            if self.has(tuple(key)):
                days[str(day)] += grown(tuple(key), one.cost or 0)
        return days


def parts(question: Question, asked: Asked, limit: int, offset: int = 0) -> Parts:
    """Return the runs that a figure is the sum of. The calls of the whole period are read."""
    with one_snapshot():
        total = asked.total(lines_of(question))
        rows = _read(question, asked)
    grown = asked.growing()
    found = [Part(row["run_id"], grown(key, int(row["cost"])), spending_of_run(row)) for key, row in rows]
    listed = sorted((one for one in found if one.amount), key=lambda one: (-(one.amount or 0), one.run_id))
    removed = (total or 0) - sum(one.amount or 0 for one in found)
    return Parts(total, len(listed), removed, listed[offset : offset + limit])


def lines_of(question: Question) -> Lines:
    """Return the lines that are shared between tags."""
    return ask(Question(question.workspace, BY, question.since, question.until, question.zone, question.only)).lines


def _read(question: Question, asked: Asked) -> list[tuple[Key, dict[str, Any]]]:
    source, parameters = calls_of(question, ("tags", "pipeline_id"))
    rows = fetched(
        "select found.*, p.slug from (select c.run_id, c.pipeline_id, to_json(c.tags)::text as tags, "
        f"{SUMS} from {source} and (%(share)s::varchar = any(c.tags) or %(share)s::varchar is null and c.tags = '{{}}')"
        " group by c.run_id, c.pipeline_id, c.tags) found left join pipelines_pipeline p on p.id = found.pipeline_id"
        " order by run_id",
        parameters | {"share": asked.tag},
    )
    return [((row["tags"], row["slug"]), row) for row in rows]
