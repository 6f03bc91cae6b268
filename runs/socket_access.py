"""Who may follow a run or a workspace: `accounts.socket_access`, asked for the workspace of each run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts import access, second_line, socket_access
from accounts.access import Actor
from accounts.socket_access import Answer
from runs.models import Run


@dataclass(frozen=True, slots=True)
class Knock:
    """What a socket shows, and the run or the workspace it asks for. Equal knocks get equal answers."""

    session: str
    token: str
    run: UUID | None = None
    workspace: str | None = None


def knock(scope: dict[str, Any], run: UUID | None = None, workspace: str | None = None) -> Knock:
    """Return what the socket of this scope shows."""
    shown = socket_access.knock(scope)
    return Knock(shown.session, shown.token, run, workspace)


def answers(knocks: Sequence[Knock]) -> list[Answer]:
    """Return for each knock who follows, or the code with which its socket closes. Four queries, and one a token."""
    runs = _runs({one.run for one in knocks if one.run})
    slugs = [_workspace_of(runs.get(one.run)) if one.run else one.workspace for one in knocks]
    asked = zip(knocks, slugs, strict=True)
    found = socket_access.answers([socket_access.Knock(one.session, one.token, slug) for one, slug in asked])
    return [_of_run(answer, runs.get(one.run)) for one, answer in zip(knocks, found, strict=True)]


def _of_run(answer: Answer, run: Run | None) -> Answer:
    """Return who follows the run: not who sees no content, nor from whom its pipeline is kept."""
    if run is None or not isinstance(answer, Actor):
        return answer
    return socket_access.keep_out(answer) if access.sees_run(answer, run) else socket_access.NOT_YOURS


def _workspace_of(run: Run | None) -> str | None:
    return run.workspace.slug if run else None


@second_line.everywhere()
def _runs(runs: Collection[UUID]) -> dict[UUID | None, Run]:
    rows = Run.objects.filter(pk__in=runs).select_related("workspace").only("pipeline_id", "origin", "workspace__slug")
    return {row.pk: row for row in rows}
