"""Routes of pipelines: create, edit the draft, publish, compare, go back."""

from dataclasses import asdict
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status
from pydantic import Field, StrictInt

from accounts.access import get, hidden_from, scoped
from accounts.errors import Invalid, Refused
from accounts.ids import new_id
from accounts.paging import page
from accounts.schemas import Body
from pipelines import budgets, bundles, drafts, homes, publish, sharing, splits
from pipelines.api import shapes
from pipelines.api.caller import caller
from pipelines.graph.model import Json
from pipelines.models import Draft, Pipeline

router = Router(tags=["pipelines"])


_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "description": "the revision that was changed, bare or in quotes",
    "schema": {"type": "string", "minLength": 1},
}


class DocumentIn(Body):
    document: Any


class OpsIn(Body):
    rev: int
    op_id: str = Field(min_length=1, max_length=64)
    ops: list[dict[str, Any]]


_WHY = "needed where a cap of a run is higher than what new runs get now, or gone"


class NoteIn(Body):
    note: str = Field("", max_length=2000)
    reason: str = Field("", max_length=budgets.LONGEST_REASON, description=_WHY)


class RollbackIn(Body):
    version: int
    reason: str = Field("", max_length=budgets.LONGEST_REASON, description=_WHY)


class ArmIn(Body):
    version: StrictInt
    percent: StrictInt


class SplitIn(Body):
    arms: list[ArmIn] = Field(max_length=10)
    reason: str = Field("", max_length=budgets.LONGEST_REASON, description=_WHY)


class RevisionRequired(Refused):
    """A write that does not say which revision it changes could undo a colleague's work."""

    code, status = "revision_required", 428


@router.post("/pipelines", response={201: shapes.PipelineOut}, summary="Create a pipeline from a document")
def create(request: HttpRequest, body: DocumentIn) -> Status[Any]:
    return Status(201, shapes.pipeline(drafts.create(caller(request), body.document)))


@router.get("/pipelines", response=shapes.Page[shapes.PipelineOut], summary="List pipelines by slug")
def list_pipelines(
    request: HttpRequest, archived: bool = False, cursor: str | None = None, limit: int | None = None
) -> Any:
    rows = homes.of_people(scoped(_shown(), caller(request))).filter(archived_at__isnull=not archived)
    return page(rows, cursor, limit, "slug", shapes.pipeline)


@router.get("/pipelines/{slug}", response=shapes.PipelineOut, summary="Read a pipeline")
def read(request: HttpRequest, slug: str) -> Any:
    return shapes.pipeline(get(_shown(), caller(request), slug=slug))


@router.delete("/pipelines/{slug}", response={204: None}, summary="Archive a pipeline")
def archive(request: HttpRequest, slug: str) -> Status[None]:
    drafts.archive(caller(request), _pipeline(request, slug))
    return Status(204, None)


@router.post("/pipelines/{slug}/restore", response=shapes.PipelineOut, summary="Bring an archived pipeline back")
def restore(request: HttpRequest, slug: str) -> Any:
    drafts.restore(caller(request), _pipeline(request, slug))
    return read(request, slug)


@router.get("/pipelines/{slug}/draft", response=shapes.DraftOut, summary="Read the draft (ETag: its revision)")
def read_draft(request: HttpRequest, response: HttpResponse, slug: str) -> Any:
    return _draft(request, response, Draft.objects.get(pipeline=_pipeline(request, slug)))


@router.put(
    "/pipelines/{slug}/draft",
    response=shapes.DraftOut,
    summary="Replace the draft (If-Match: revision)",
    openapi_extra={"parameters": [_IF_MATCH]},
)
def save_draft(request: HttpRequest, response: HttpResponse, slug: str, body: DocumentIn) -> Any:
    pipeline = _pipeline(request, slug)
    return _draft(request, response, drafts.save(caller(request), pipeline, body.document, _revision(request)))


@router.post("/pipelines/{slug}/draft/ops", response=shapes.DraftOut, summary="Change the draft step by step")
def apply_ops(request: HttpRequest, response: HttpResponse, slug: str, body: OpsIn) -> Any:
    pipeline = _pipeline(request, slug)
    return _draft(request, response, drafts.apply_ops(caller(request), pipeline, body.rev, body.op_id, body.ops))


@router.get(
    "/pipelines/{slug}/problems",
    response=shapes.Page[shapes.ProblemOut],
    summary="List what publishing would complain about",
)
def problems(request: HttpRequest, slug: str) -> Any:
    found = drafts.problems(caller(request), _pipeline(request, slug))
    return {"items": [problem.as_json() for problem in found], "next": None}


@router.post("/pipelines/{slug}/publish", response={201: shapes.VersionOut}, summary="Publish the draft")
def publish_draft(request: HttpRequest, slug: str, body: NoteIn | None = None) -> Status[Any]:
    """Raising a cap of a run over what new runs get now is for who sets budgets, and needs a reason."""
    said = body or NoteIn.model_validate({})
    made = publish.publish(caller(request), _pipeline(request, slug), said.note, reason=said.reason)
    return Status(201, shapes.version(made))


@router.post("/pipelines/{slug}/rollback", response={201: shapes.VersionOut}, summary="Publish an old version again")
def rollback(request: HttpRequest, slug: str, body: RollbackIn) -> Status[Any]:
    made = publish.rollback(caller(request), _pipeline(request, slug), body.version, body.reason)
    return Status(201, shapes.version(made))


@router.get(
    "/pipelines/{slug}/versions",
    response=shapes.Page[shapes.VersionOut],
    summary="List published versions, newest first",
)
def versions(request: HttpRequest, slug: str, cursor: str | None = None, limit: int | None = None) -> Any:
    rows = _pipeline(request, slug).versions.filter(number__isnull=False).select_related("published_by")
    return page(rows.defer("document", "lock"), cursor, limit, "-number", shapes.version)


@router.get("/pipelines/{slug}/versions/{number}", response=shapes.VersionDetail, summary="Read a version")
def read_version(request: HttpRequest, slug: str, number: int) -> Any:
    version = publish.version_of(_pipeline(request, slug), number)
    return shapes.version_detail(version, sharing.seen_of(caller(request), version.lock))


@router.put("/pipelines/{slug}/split", response=shapes.PipelineOut, summary="Share new runs between versions")
def put_split(request: HttpRequest, slug: str, body: SplitIn) -> Any:
    arms = [(arm.version, arm.percent) for arm in body.arms]
    splits.put(caller(request), _pipeline(request, slug), arms, body.reason)
    return read(request, slug)


@router.delete("/pipelines/{slug}/split", response={204: None}, summary="Give all new runs the published version again")
def end_split(request: HttpRequest, slug: str, reason: str = "") -> Status[None]:
    """`reason` is needed where the published version's cap of a run is higher than those of all that share new runs."""
    splits.end(caller(request), _pipeline(request, slug), reason)
    return Status(204, None)


@router.get("/pipelines/{slug}/sharing", response=shapes.SharingBody, summary="For whom a pipeline is kept")
def read_sharing(request: HttpRequest, slug: str) -> Any:
    return asdict(sharing.read(caller(request), _pipeline(request, slug)))


@router.put("/pipelines/{slug}/sharing", response=shapes.SharingBody, summary="Keep a pipeline for some")
def put_sharing(request: HttpRequest, slug: str, body: shapes.SharingBody) -> Any:
    """Roles and members' addresses. An empty list leaves it to the roles. From now on; what is under way goes on."""
    lists = sharing.Lists(tuple(body.see), tuple(body.run), tuple(body.edit))
    return asdict(sharing.put(caller(request), _pipeline(request, slug), lists))


@router.get("/pipelines/{slug}/export", response=Any, summary="Export a pipeline with its agents and children")
def export(
    request: HttpRequest,
    slug: str,
    version: Annotated[str, Query(description='a number or "draft"')] = "draft",
) -> Any:
    pipeline = _pipeline(request, slug)
    hidden = hidden_from(caller(request)).values()
    return bundles.exported(pipeline, _document(pipeline, version, "version"), hidden)


@router.post("/imports", response={201: shapes.ImportOut}, summary="Make a draft from a bundle or a document")
def import_bundle(request: HttpRequest, body: DocumentIn) -> Status[Any]:
    actor = caller(request)
    found = bundles.taken_in(actor, body.document, f"api-{new_id()}")
    return Status(201, shapes.imported(found, drafts.problems(actor, found.pipeline)))


@router.get("/pipelines/{slug}/diff", response=Any, summary="Say in words what changed between two versions")
def diff(
    request: HttpRequest,
    slug: str,
    older: Annotated[str, Query(alias="from", description='a number or "draft"')],
    newer: Annotated[str, Query(alias="to", description='a number or "draft"')] = "draft",
) -> Any:
    pipeline = _pipeline(request, slug)
    changes = publish.compare(_document(pipeline, older, "from"), _document(pipeline, newer, "to"))
    return {"from": older, "to": newer, "changes": changes}


def _shown() -> QuerySet[Pipeline]:
    """Return pipelines with what their shape shows, without the large columns of their published version."""
    rows = Pipeline.objects.select_related("published", "created_by")
    return rows.defer("published__document", "published__lock")


def _pipeline(request: HttpRequest, slug: str) -> Pipeline:
    return get(Pipeline.objects.select_related("workspace"), caller(request), slug=slug)


def _draft(request: HttpRequest, response: HttpResponse, draft: Draft) -> Any:
    response["ETag"] = f'"{draft.revision}"'
    return shapes.draft(draft, drafts.problems_of(caller(request), draft))


def _revision(request: HttpRequest) -> int:
    """Return the revision of If-Match, which may stand bare or in quotes."""
    given = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not given:
        raise RevisionRequired("Send the revision you changed as If-Match; it is in the draft and in its ETag.")
    if not given.isdecimal() or len(given) > 9:
        raise Invalid(f"If-Match must be a revision such as 7, not {given[:40]!r}.", code="bad_revision")
    return int(given)


def _document(pipeline: Pipeline, wanted: str, name: str) -> Json:
    if wanted == "draft":
        return pipeline.draft.document
    if not wanted.isdecimal() or len(wanted) > 9:
        raise Invalid(f'{name} must be a version\'s number or "draft", not {wanted[:40]!r}.', where=f"/{name}")
    return publish.version_of(pipeline, int(wanted)).document
