"""Start, read and steer runs."""

from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictInt

from accounts import scanner
from accounts.access import Actor, Capability, actor_of, get, require, scoped
from accounts.paging import page
from accounts.schemas import Body
from pipelines.graph.canonical import canonical_json
from pipelines.graph.places import LONGEST_PATH
from pipelines.models import Pipeline
from runs import artifacts, boards, forks, receipt, removal, services, veil
from runs.api import shapes
from runs.engine.status import RunState
from runs.models import Event, LedgerEntry, Run, Span, Step, Via

router = Router(tags=["runs"])


Tag = Annotated[str, Field(min_length=1, max_length=63)]


class StartBody(Body):
    input: Any = Field(default_factory=dict)
    version: StrictInt | str | None = Field(None, description='a number, "draft", or null for the published one')
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    budget: dict[str, Any] = Field(default_factory=dict)
    rehearsal: bool = False


class ForkBody(Body):
    from_path: str | None = Field(
        default=None, max_length=LONGEST_PATH, description="the step that runs anew, and all that follows it"
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, max_length=100, description="outputs by path that stand instead of what the step came to"
    )
    version: StrictInt | str | None = Field(default=None, description='a number, "draft", or null for the run\'s own')


class StopBody(Body):
    path: str = Field(
        min_length=1,
        max_length=LONGEST_PATH,
        description="a step's, or an item's or a round's, as research[3] or write#2",
    )
    reason: str = Field(default="", max_length=500)


class RunFilters(Schema):
    pipeline: str | None = None
    state: RunState | None = None
    tag: str | None = None
    via: str | None = Field(default=None, description="how they were started: form, api, …, or trigger: and its slug")
    parent: str | None = Field(default=None, description='the run whose steps started them, or "none": people did')
    cursor: str | None = None
    limit: int | None = None


class CancelBody(Body):
    reason: str = Field(default="", max_length=500)


@router.post("/pipelines/{slug}/runs", response={202: Any}, summary="Start a run")
def start(request: HttpRequest, slug: str, body: StartBody) -> Status[Any]:
    actor = actor_of(request)
    pipeline = get(Pipeline.objects.select_related("published"), actor, slug=slug)
    order = services.Order(body.input, body.version, tuple(body.tags), body.budget, body.rehearsal, via=Via.API)
    return Status(202, shapes.run(services.start_run(actor, pipeline, order)))


@router.get("/runs", response=Any, summary="List runs, newest first")
def list_runs(request: HttpRequest, filters: Query[RunFilters]) -> Any:
    actor = _reader(request)
    runs = _runs(actor)
    tags = [filters.tag] if filters.tag else None
    wanted = {"pipeline__slug": filters.pipeline, "state": filters.state, "tags__contains": tags, "via": filters.via}
    runs = runs.filter(**{name: value for name, value in wanted.items() if value})
    if filters.parent == "none":
        runs = runs.filter(parent=None)
    elif filters.parent:
        runs = runs.filter(parent=get(_runs(actor), actor, pk=filters.parent))
    found = page(runs, filters.cursor, filters.limit, "-created_at")
    return {**found, "items": shapes.runs([veil.run(actor, one) for one in found["items"]])}


@router.get("/runs/{run_id}", response=Any, summary="Read a run")
def read(request: HttpRequest, run_id: str) -> Any:
    return _shown(request, _run(request, run_id))


@router.get("/runs/{run_id}/steps", response=Any, summary="A run's steps in the order they became ready")
def steps(request: HttpRequest, run_id: str, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(Step.objects.filter(run=_run(request, run_id)), cursor, limit, "position", shapes.step)


@router.get("/runs/{run_id}/events", response=Any, summary="A run's log after a seq")
def events(
    request: HttpRequest, run_id: str, after: int = 0, cursor: str | None = None, limit: int | None = None
) -> Any:
    rows = Event.objects.filter(run=_run(request, run_id), seq__gt=after)
    return page(rows, cursor, limit, "seq", shapes.event)


@router.get("/runs/{run_id}/spans", response=Any, summary="A run's spans")
def spans(request: HttpRequest, run_id: str, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(Span.objects.filter(run=_run(request, run_id)), cursor, limit, "start", shapes.span)


@router.get("/runs/{run_id}/ledger", response=Any, summary="Every movement of a run's money")
def ledger(request: HttpRequest, run_id: str, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(LedgerEntry.objects.filter(run=_run(request, run_id)), cursor, limit, "id", shapes.entry)


@router.get("/runs/{run_id}/receipt", response=Any, summary="What each step cost, and which cap stopped the run")
def read_receipt(request: HttpRequest, run_id: str) -> Any:
    return shapes.receipt(veil.receipt(actor_of(request), receipt.of(_run(request, run_id))))


@router.get("/runs/{run_id}/board", response=Any, summary="What stands on the run's board")
def board(request: HttpRequest, run_id: str) -> Any:
    run = _run(request, run_id)
    first = services.document_of(run.version_id).board
    return {"items": [shapes.entry_on_board(entry) for entry in boards.read(run, first)], "next": None}


@router.get(
    "/runs/{run_id}/artifacts/{digest}",
    response=Any,
    summary="A value that is too large for a row",
    openapi_extra={"responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}},
)
def artifact(request: HttpRequest, run_id: str, digest: str, form: Literal["json", "text"] = "json") -> HttpResponse:
    """Its canonical JSON, whose SHA-256 is the hash; a text as it is where `form` asks for that."""
    run = _run(request, run_id)
    removal.refuse(run)
    value = artifacts.read(run, digest)
    is_text = form == "text" and isinstance(value, str)
    body = value.encode() if is_text else canonical_json(value)
    name = f"{digest.removeprefix('sha256:')[:12]}.{'txt' if is_text else 'json'}"
    scanner.check(actor_of(request), name, body)
    return HttpResponse(
        body,
        content_type="text/plain; charset=utf-8" if is_text else "application/json; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )


@router.post("/runs/{run_id}/cancel", response={202: Any}, summary="Stop a run")
def cancel(request: HttpRequest, run_id: str, body: CancelBody | None = None) -> Status[Any]:
    run = _run(request, run_id)
    services.cancel(actor_of(request), run, body.reason if body else "")
    return Status(202, _shown(request, run))


@router.post("/runs/{run_id}/pause", response={202: Any}, summary="Start no further step")
def pause(request: HttpRequest, run_id: str) -> Status[Any]:
    run = _run(request, run_id)
    services.pause(actor_of(request), run)
    return Status(202, _shown(request, run))


@router.post("/runs/{run_id}/resume", response={202: Any}, summary="Go on after a pause")
def resume(request: HttpRequest, run_id: str) -> Status[Any]:
    run = _run(request, run_id)
    services.resume(actor_of(request), run)
    return Status(202, _shown(request, run))


@router.post("/runs/{run_id}/steps/stop", response={202: Any}, summary="Stop one step, or one item or round")
def stop_step(request: HttpRequest, run_id: str, body: StopBody) -> Status[Any]:
    run = _run(request, run_id)
    services.stop_step(actor_of(request), run, body.path, body.reason)
    return Status(202, _shown(request, run))


@router.post("/runs/{run_id}/fork", response={202: Any}, summary="Run anew from a step and reuse what came before")
def fork(request: HttpRequest, run_id: str, body: ForkBody | None = None) -> Status[Any]:
    asked = body or ForkBody()
    order = forks.Fork(asked.from_path, asked.overrides, asked.version)
    return Status(202, shapes.run(forks.fork(actor_of(request), _run(request, run_id), order)))


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor


def _shown(request: HttpRequest, run: Run) -> dict[str, Any]:
    return shapes.run(veil.run(actor_of(request), run))


def _runs(actor: Actor) -> QuerySet[Run]:
    return scoped(Run.objects.select_related("pipeline", "version", "started_by"), actor)


def _run(request: HttpRequest, run_id: str) -> Run:
    actor = _reader(request)
    return get(_runs(actor), actor, pk=run_id)
