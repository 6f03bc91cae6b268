"""Published pipelines as tools that another program's model may call: what is offered, and what a call comes to."""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from accounts.access import Actor, Capability, get, require, scoped, shares
from accounts.errors import NotFound
from accounts.roles import Share
from pipelines.graph.canonical import compact_json
from pipelines.graph.model import Json
from pipelines.models import Pipeline
from runs.models import OPEN_RUN_STATES, Run, Via
from runs.services import Order, document_of, start_run

READ_RUN = "readRun"
"""The tool that reads a run again; no slug has a capital letter, so that it is none of the pipelines."""
PAGE = 100


class NoSuchTool(NotFound):
    """Nothing is offered under this name."""


def tools(actor: Actor, after: str = "") -> tuple[list[dict[str, Json]], str | None]:
    """Return the tools of a workspace after this name, in order, and where to go on, None at the end."""
    require(actor, Capability.READ)
    found = list(_offered(actor).filter(slug__gt=after).order_by("slug")[: PAGE + 1])
    shown = [_tool(pipeline) for pipeline in found[:PAGE]]
    return (shown if after else [_read_run(), *shown]), (found[PAGE - 1].slug if len(found) > PAGE else None)


def call(actor: Actor, name: str, arguments: dict[str, Json]) -> Run:
    """Start what a call asks for, or find the run that it asks about; Invalid, Forbidden, NotFound for no such tool."""
    if name == READ_RUN:
        require(actor, Capability.READ)
        return run_of(actor, str(arguments.get("run", "")))
    pipeline = _offered(actor).filter(slug=name).first() if "\0" not in name else None
    if pipeline is None:
        raise NoSuchTool(f"There is no tool {name[:63]!r}. A pipeline is one once it is published.")
    return start_run(actor, pipeline, Order(arguments, via=Via.MCP))


def run_of(actor: Actor, run_id: str | UUID) -> Run:
    """Return a run as it is now; NotFound."""
    try:
        return get(Run.objects.select_related("pipeline"), actor, pk=run_id)
    except NotFound:
        raise NotFound(f"There is no run {str(run_id)[:64]!r}. Take the id from the call that started it.") from None


def is_over(run: Run) -> bool:
    """Tell whether nothing more will come by itself: it has ended, or a person must do something first."""
    return run.state not in OPEN_RUN_STATES or _waits_for_a_person(run)


def _waits_for_a_person(run: Run) -> bool:
    if run.state not in ("waiting", "paused") or run.owner is not None or run.wake_at is not None:
        return False
    return not (run.children and run.child_runs.filter(state__in=OPEN_RUN_STATES).exists())


def told(run: Run) -> dict[str, Json]:
    """Return what a run came to so far, as the structured result of a call."""
    data: dict[str, Json] = {
        "run": str(run.pk),
        "url": f"{settings.BASE_URL}/runs/{run.pk}/",
        "state": run.state,
        "output": run.output,
    }
    return data | ({"error": run.error} if run.error else {})


def words(run: Run) -> str:
    """Return the same in a sentence, for a model that reads only text; the output alone where there is one."""
    where = f"{settings.BASE_URL}/runs/{run.pk}/"
    match run.state:
        case "succeeded" if "output" in (run.large or {}):
            return f"Run {run.number} has ended well. Its output is large: {where}"
        case "succeeded":
            return run.output if isinstance(run.output, str) else compact_json(run.output)
        case "failed" | "cancelled":
            said = (run.error or {}).get("message") or run.reason or ""
            return f"Run {run.number} has {run.state}: {said} {where}".replace(":  ", ": ")
        case "waiting" | "paused":
            return f"Run {run.number} waits for a person at {where}. Call {READ_RUN} with run={run.pk} later."
        case _:
            return f"Run {run.number} goes on at {where}. Call {READ_RUN} with run={run.pk} to see what came of it."


def _offered(actor: Actor) -> QuerySet[Pipeline]:
    rows = scoped(Pipeline, actor).filter(archived_at=None, published__isnull=False)
    kept = [pk for pk in actor.workspace.sharing if not shares(actor, Share.RUN, pk)]
    return rows.exclude(pk__in=kept) if kept else rows


def _tool(pipeline: Pipeline) -> dict[str, Json]:
    assert pipeline.published_id is not None  # noqa: S101 - `_offered`
    inputs = dict(document_of(pipeline.published_id).inputs or {})
    return {
        "name": pipeline.slug,
        "title": pipeline.name,
        "description": " ".join(_parts(pipeline)),
        "inputSchema": {**inputs, "type": "object"},
        "annotations": {"readOnlyHint": False, "openWorldHint": True},
    }


def _parts(pipeline: Pipeline) -> Iterable[str]:
    yield pipeline.description or pipeline.name
    yield "Starts a run that may take a while or wait for a person."


def _read_run() -> dict[str, Json]:
    what = "The id that the call which started the run gave."
    return {
        "name": READ_RUN,
        "title": "Read a run",
        "description": "Say what came of a run that had not ended when it was started.",
        "inputSchema": {
            "type": "object",
            "required": ["run"],
            "additionalProperties": False,
            "properties": {"run": {"type": "string", "description": what}},
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }
