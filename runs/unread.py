"""Steps whose output nothing and nobody reads: told from the versions of a time, and from who has looked at a step."""

import datetime as dt
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import connection

from accounts.models import Workspace
from pipelines.graph import parse
from pipelines.graph.lock import Lock
from pipelines.graph.problems import Refusal
from pipelines.graph.unread import unread
from pipelines.models import PipelineVersion
from runs.engine.status import StepState
from runs.models import Step, StepReading

_NOTE = """
insert into runs_stepreading as s (workspace_id, pipeline_id, node, read_at) values (%s, %s, %s, now())
on conflict (pipeline_id, node) do update set read_at = excluded.read_at where s.read_at < now() - interval '1 hour'
"""
_MOST_KNOWN = 10_000
_known: dict[UUID, frozenset[str]] = {}
"""What versions say, which never change: by their ids."""


def note(workspace: Workspace, pipeline: UUID, step: Step) -> None:
    """Keep that somebody looks at what a step gave. Once an hour is enough."""
    if step.state == StepState.SUCCEEDED:
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, [workspace.pk, pipeline, step.node])


def steps(
    workspace: Workspace, pipelines: Sequence[str], between: tuple[dt.datetime, dt.datetime]
) -> set[tuple[str, str]]:
    """Return the steps, as (slug, node), of these pipelines that nothing read in a time and nobody looked at since.

    Of a pipeline count the versions that were its newest at some moment of the time, and those that its new runs have
    now: a step that one of them reads is read. Three queries, less what is known of versions already.
    """
    versions = _in_force(workspace, pipelines, between)
    _learn([pk for found in versions.values() for _, pk in found])
    slugs = {pipeline: slug for pipeline, found in versions.items() for slug, _ in found}
    seen = StepReading.objects.filter(workspace=workspace, read_at__gte=between[0]).values_list("pipeline_id", "node")
    looked_at = {(slugs.get(pipeline), node) for pipeline, node in seen}
    found = {
        (slugs[pipeline], node)
        for pipeline, ones in versions.items()
        for node in frozenset.intersection(*(_known.get(pk, frozenset()) for _, pk in ones))
    }
    return {one for one in found if one not in looked_at}


def _in_force(
    workspace: Workspace, pipelines: Sequence[str], between: tuple[dt.datetime, dt.datetime]
) -> Mapping[UUID, list[tuple[str, UUID]]]:
    """Return for each pipeline (slug, version) of the versions that runs of a time may have had."""
    since, until = between
    rows = PipelineVersion.objects.filter(pipeline__workspace=workspace, pipeline__slug__in=pipelines)
    rows = rows.exclude(number=None).order_by("pipeline_id", "-number")
    found: dict[UUID, list[tuple[str, UUID]]] = {}
    ended: dict[UUID, dt.datetime] = {}
    fields = (
        "pk",
        "number",
        "pipeline_id",
        "pipeline__slug",
        "pipeline__published_id",
        "pipeline__split",
        "created_at",
    )
    for pk, number, pipeline, slug, published, split, at in rows.values_list(*fields):
        has_runs_now = pk == published or any(arm["version"] == number for arm in split)
        if has_runs_now or (at < until and ended.get(pipeline, until) > since):
            found.setdefault(pipeline, []).append((slug, pk))
        ended[pipeline] = at
    return found


def _learn(versions: Sequence[UUID]) -> None:
    missing = [pk for pk in versions if pk not in _known]
    if len(_known) + len(missing) > _MOST_KNOWN:
        _known.clear()
        missing = list(versions)
    rows = PipelineVersion.objects.filter(pk__in=missing).values_list("pk", "document", "lock")
    for pk, document, lock in rows.iterator(chunk_size=50):
        try:
            _known[pk] = unread(parse.parse(document), Lock.from_json(lock))
        except Refusal:  # nothing is said of one that this installation cannot read
            _known[pk] = frozenset()
