"""Plain builders of a run's rows and of what a decision writes about it."""

from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from accounts.models import User, Workspace
from pipelines.models import Pipeline, PipelineVersion
from runs.models import Run
from runs.store import RUN, Commit
from tests.people import a_workspace

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_run(workspace: Workspace | None = None, starter: User | None = None, **fields: Any) -> Run:
    """Return a bare run row of a version that says nothing; `owner` and `epoch` as given."""
    workspace = workspace or a_workspace("acme")
    number = Run.objects.filter(workspace=workspace).count() + 1
    pipeline = Pipeline.objects.create(workspace=workspace, slug=f"p{number}", name="Pipeline")
    version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, hash="sha256:0", document={}, lock={}, published_by=starter
    )
    return Run.objects.create(
        workspace=workspace, pipeline=pipeline, version=version, number=number, started_by=starter, **fields
    )


def a_commit(run: Run, *, owner: str, epoch: int, revision: int = 1, **rows: Any) -> Commit:
    """Return a commit that sets the run running and logs one event."""
    columns: dict[str, Any] = {column.name: 0 if column.type in ("bigint", "int") else None for column in RUN}
    columns |= {"id": str(run.pk), "owner": owner, "epoch": epoch, "revision": revision}
    columns |= {"release": False, "state": "running", "seq": revision}
    events = [{"run_id": str(run.pk), "seq": revision, "type": "run_started", "path": None, "at": AT, "payload": {}}]
    return Commit(**{"run": columns, "events": events, **rows})


async def a_connection() -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(test_conninfo(), autocommit=True)


def test_conninfo() -> str:
    """Return libpq's words for the test database."""
    parameters = dict(connection.get_connection_params())
    for name in ("cursor_factory", "context", "prepare_threshold", "pool"):
        parameters.pop(name, None)
    return make_conninfo(**parameters)


test_conninfo.__test__ = False  # type: ignore[attr-defined]
