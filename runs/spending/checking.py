"""Compares the daily books with the spans that they were made from, and both with the ledger."""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from accounts.models import Workspace
from runs.snapshot import one_snapshot
from runs.spending import lines
from runs.spending.answers import ask
from runs.spending.question import Question

_OF = "r.workspace_id = %(workspace)s and r.booked_at is not null and r.trimmed_at is null"
_COLUMNS = ", ".join((*lines.LINE, *lines.FIGURES))
_SAYS_SOMETHING = "(calls, unconfirmed, saved) <> (0, 0, 0)"
_BOOKED = f"select {_COLUMNS} from runs_spendday where workspace_id = %(workspace)s and not is_sealed"
_DIFFERENT = f"""
with found as materialized ({lines.cells_of(_OF)}),
made as materialized ({lines.lines_of("found")}),
kept as materialized ({_BOOKED} and {_SAYS_SOMETHING})
select day, pipeline_id, agent, node, model from (
  (select {_COLUMNS} from made except all table kept) union all (table kept except all select {_COLUMNS} from made)
) different group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
"""
_LEDGER = """
select coalesce(sum(l.amount_micros) filter (where l.kind = 'settled'), 0)::bigint,
  coalesce(sum(l.amount_micros) filter (where l.kind = 'unconfirmed'), 0)::bigint
from runs_ledgerentry l join runs_run r on r.id = l.run_id where r.workspace_id = %s
"""
_EVER = (dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2200, 1, 1, tzinfo=dt.UTC))


@dataclass(frozen=True, slots=True)
class Check:
    """Money is micro-dollars: (cost, unconfirmed). `different` names the lines that the spans do not bear out."""

    different: Sequence[str]
    told: tuple[int, int]
    ledger: tuple[int, int]

    @property
    def is_right(self) -> bool:
        return not self.different and self.told == self.ledger


def check(workspace: Workspace) -> Check:
    """Read all spans and the ledger of a workspace and compare. Takes about a minute for ten million spans."""
    zone = zoneinfo.ZoneInfo(workspace.zone)
    with one_snapshot(), connection.cursor() as cursor:
        cursor.execute(_DIFFERENT, {"workspace": workspace.pk})
        different = [" ".join(str(value) for value in row) for row in cursor.fetchall()]
        cursor.execute(_LEDGER, [workspace.pk])
        settled, unconfirmed = cursor.fetchone()
        total = ask(Question(workspace, (), *_EVER, zone)).total
    return Check(different, (total.cost or 0, total.unconfirmed), (settled, unconfirmed))
