"""What the runs below a pipeline's spend: those that its runs started, and theirs, whatever pipelines they are of.

The books count each call once, in the pipeline of the run that made it. A pipeline's budget holds these besides.
"""

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Workspace

# A call may end a moment after its run. Runs of this period still have their spans, whatever is removed.
_BY_DAY = """
select p.slug, (s."end" at time zone %(zone)s)::date::text, sum(s.cost_micros)::bigint
from runs_run r join runs_span s on s.run_id = r.id join pipelines_pipeline p on p.id = any(r.above)
where r.workspace_id = %(workspace)s and r.above is not null and r.above && %(pipelines)s::uuid[]
  and (r.finished_at is null or r.finished_at >= %(since)s - interval '1 day')
  and p.id = any(%(pipelines)s::uuid[]) and s.model is not null and s.cost_micros > 0 and s."end" >= %(since)s
group by 1, 2
"""


def by_day(
    workspace: Workspace, pipelines: Sequence[UUID], since: dt.datetime, zone: zoneinfo.ZoneInfo
) -> Mapping[str, Mapping[str, int]]:
    """Return micro-dollars by day since a moment in the last month, by the slug of each of the pipelines. One query."""
    found: dict[str, dict[str, int]] = {}
    if not pipelines:
        return found
    given: dict[str, Any] = {"workspace": workspace.pk, "pipelines": list(pipelines), "since": since, "zone": str(zone)}
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY, given)
        for slug, day, micros in cursor.fetchall():
            found.setdefault(slug, {})[day] = micros
    return found
