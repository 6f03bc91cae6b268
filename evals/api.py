"""Datasets and evaluations over REST. Everybody in the workspace reads; who may edit and run changes and starts."""

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool, StrictInt

from accounts import paging
from accounts.access import Actor, Capability, actor_of, get, require
from accounts.schemas import Body
from evals import cases, datasets, evaluations, gates, ratings, rejections, shapes
from evals.evaluations import Gate, Order
from evals.gates import Demand
from evals.models import Dataset, DatasetVersion, Pair, Result
from evals.ratings import Opinion
from runs.models import Run

router = Router(tags=["evaluations"])


class VersionBody(Body):
    cases: list[Any] = Field(max_length=cases.MOST, description="{name, inputs, expected_output, context, asserts, …}")
    note: str = Field("", max_length=500)


class DatasetBody(VersionBody):
    name: str = Field(max_length=63)
    description: str = Field("", max_length=500)


class FileBody(Body):
    name: str = Field(max_length=63, description="of the dataset; a new name makes a new one")
    format: str = Field(max_length=40, description="pydantic-evals, promptfoo or deepeval")
    data: Any = Field(description="the file as JSON")
    field: str = Field("input", min_length=1, max_length=63, description="takes an input that is no object")
    note: str = Field("", max_length=500)


class CaseBody(Body):
    dataset: str = Field(max_length=63, description="a new name makes a new dataset")
    name: str = Field("", max_length=200, description="of the case")


class GateBody(Body):
    min_pass_rate: float | None = None
    max_cost_usd: str | None = Field(
        None,
        max_length=30,
        description="also bounds what is spent; a baseline not evaluated yet may cost as much again",
    )
    max_regression: float | None = Field(None, description="how much lower than the baseline's the score may be")


class EvaluationBody(Body):
    pipeline: str = Field(max_length=100)
    version: StrictInt | str | None = Field(None, description='a number, "draft", or null for the published one')
    dataset: str = Field(max_length=100)
    dataset_version: StrictInt | None = Field(None, description="null for the newest")
    baseline: StrictInt | None = Field(None, description="a version of the pipeline to compare with")
    repeats: StrictInt = 3
    seed: StrictInt = 0
    judge: str = Field("", max_length=128, description="the model of rubrics that name none")
    asserts: list[Any] = Field([], max_length=50, description="asked of every case beside its own")
    gate: GateBody = Field(default_factory=lambda: GateBody.model_validate({}))
    replay: bool = Field(False, description="score again what was answered before; nothing runs, no key is needed")
    prefer: str = Field(
        "",
        max_length=evaluations.MOST_PREFER,
        description="by what the judge chooses between the baseline's answer and this one's; both orders are asked",
    )


class PublishGateBody(Body):
    dataset: str = Field(max_length=63, description="whose cases a draft must pass")
    min_pass_rate: float = Field(description="which part of its answers must pass at least, above 0 and at most 1")
    dataset_version: StrictInt | None = Field(None, description="null for the newest of now; later ones do not count")
    judge: str = Field("", max_length=128, description="the model of rubrics that name none; no other judge counts")
    repeats: StrictInt = Field(3, description="how often each case must be answered at least")


class RatingBody(Body):
    passed: StrictBool | None = Field(None, description="whether the answer passes; from a score of 0.5 if left out")
    score: float | None = Field(None, description="0 to 1; 1 or 0 if left out")
    note: str = Field("", max_length=ratings.LONGEST_NOTE)


class Paging(Schema):
    cursor: str | None = None
    limit: int | None = None


class ResultFilters(Paging):
    unrated: bool = Field(False, description="only answers that you have not rated yet")


class Filters(Paging):
    pipeline: str | None = None
    dataset: str | None = None
    state: str | None = None


@router.get("/datasets", response=Any, summary="List datasets")
def list_datasets(request: HttpRequest, page: Query[Paging]) -> Any:
    return paging.page(datasets.listed(_reader(request)), page.cursor, page.limit, "name", shapes.dataset)


@router.post("/datasets", response={201: Any}, summary="Create a dataset with its first version")
def create_dataset(request: HttpRequest, body: DatasetBody) -> Status[Any]:
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    datasets.create(actor, body.name, cases.read(body.cases), body.description, body.note)
    return Status(201, shapes.dataset(datasets.listed(actor).get(name=body.name)))


@router.get("/datasets/{name}", response=Any, summary="Read a dataset")
def read_dataset(request: HttpRequest, name: str) -> Any:
    actor = _reader(request)
    return shapes.dataset(get(datasets.listed(actor), actor, name=name))


@router.get("/datasets/{name}/versions", response=Any, summary="List a dataset's versions, newest first")
def list_versions(request: HttpRequest, name: str, page: Query[Paging]) -> Any:
    dataset = get(Dataset, _reader(request), name=name)
    rows = DatasetVersion.objects.filter(dataset=dataset).select_related("created_by")
    return paging.page(rows, page.cursor, page.limit, "-number", shapes.version)


@router.post("/datasets/{name}/versions", response={201: Any}, summary="Save cases as a dataset's next version")
def add_version(request: HttpRequest, name: str, body: VersionBody) -> Status[Any]:
    """The same cases again make no new version."""
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    get(Dataset, actor, name=name)
    return Status(201, shapes.version(datasets.add_version(actor, name, cases.read(body.cases), body.note)))


@router.get("/datasets/{name}/versions/{number}", response=Any, summary="Read a version with its cases")
def read_version(request: HttpRequest, name: str, number: int) -> Any:
    return shapes.whole_version(datasets.version_of(_reader(request), name, number))


@router.get("/datasets/{name}/versions/{number}/export", response=Any, summary="Cases as another tool's file")
def export(request: HttpRequest, name: str, number: int, format: str, field: str = "input") -> Any:
    """`problems` names what that tool has no place for."""
    version = datasets.version_of(_reader(request), name, number)
    return shapes.exported(version, format, field)


@router.post(
    "/dataset-files", response={201: Any}, summary="Save another tool's cases as a dataset or its next version"
)
def bring(request: HttpRequest, body: FileBody) -> Status[Any]:
    """Nothing of the file is run; `problems` names what did not come along."""
    file = datasets.File(body.format, body.data, body.field)
    version, problems = datasets.bring(actor_of(request), body.name, file, body.note)
    return Status(201, {**shapes.version(version), "problems": [problem.as_json() for problem in problems]})


@router.post("/runs/{run_id}/case", response={201: Any}, summary="Save a run as a case of a dataset")
def save_run(request: HttpRequest, run_id: str, body: CaseBody) -> Status[Any]:
    """Its input, and its output as what is expected from now on, join the newest cases as the next version."""
    actor = actor_of(request)
    run = get(Run.objects.select_related("pipeline"), actor, pk=run_id)
    return Status(201, shapes.version(datasets.add_run(actor, run, body.dataset, body.name)))


@router.post("/approvals/{approval_id}/case", response={201: Any}, summary="Save a rejection as a case of a dataset")
def save_rejection(request: HttpRequest, approval_id: str, body: CaseBody) -> Status[Any]:
    """The run's input, and why its answer was rejected as a rubric for later ones, join the newest cases."""
    saved = rejections.add(actor_of(request), approval_id, body.dataset, body.name)
    return Status(201, shapes.version(saved))


@router.get("/evaluations", response=Any, summary="List evaluations, newest first")
def list_evaluations(request: HttpRequest, filters: Query[Filters]) -> Any:
    rows = evaluations.listed(_reader(request))
    wanted = {
        "pipeline__slug": filters.pipeline,
        "dataset__dataset__name": filters.dataset,
        "state": filters.state,
    }
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    return paging.page(rows, filters.cursor, filters.limit, "-created_at", shapes.evaluation)


@router.post("/evaluations", response={202: Any}, summary="Start an evaluation")
def start(request: HttpRequest, body: EvaluationBody) -> Status[Any]:
    """Each case is a rehearsal of the pipeline in which nothing is sent or changed and nobody is asked."""
    given = {**dict(body), "gate": Gate(**dict(body.gate))}
    actor = actor_of(request)
    started = evaluations.start(actor, Order(**given))
    return Status(202, shapes.evaluation(evaluations.read(actor, started.pk)))


@router.get("/evaluations/{evaluation_id}", response=Any, summary="Read an evaluation")
def read(request: HttpRequest, evaluation_id: str) -> Any:
    found = evaluations.read(_reader(request), evaluation_id)
    return {**shapes.evaluation(found), "progress": shapes.progress(found)}


@router.get("/evaluations/{evaluation_id}/results", response=Any, summary="An evaluation's results with their metrics")
def read_results(request: HttpRequest, evaluation_id: str, page: Query[ResultFilters]) -> Any:
    actor = _reader(request)
    found = evaluations.read(actor, evaluation_id)
    rows = ratings.to_rate(actor, found) if page.unrated else Result.objects.filter(evaluation=found)
    listed = paging.page(rows.select_related("case", "run"), page.cursor, page.limit, "id")
    return {**listed, "items": shapes.results(listed["items"])}


@router.get("/evaluations/{evaluation_id}/pairs", response=Any, summary="What the judge chose between both answers")
def read_pairs(request: HttpRequest, evaluation_id: str, page: Query[Paging]) -> Any:
    rows = Pair.objects.filter(evaluation=evaluations.read(_reader(request), evaluation_id)).select_related("case")
    return paging.page(rows, page.cursor, page.limit, "id", shapes.pair)


@router.get("/evaluations/{evaluation_id}/agreement", response=Any, summary="How far judges agree with people")
def read_agreement(request: HttpRequest, evaluation_id: str) -> Any:
    """For each rubric, and for all assertions together; Cohen's kappa is null where chance explains everything."""
    found = ratings.agreed(evaluations.read(_reader(request), evaluation_id))
    return {"items": [shapes.agreed(one) for one in found], "next": None}


@router.get("/runs/{run_id}/ratings", response=Any, summary="What people say of a run's answer, newest first")
def list_ratings(request: HttpRequest, run_id: str, page: Query[Paging]) -> Any:
    """With what they said before and changed since; the newest of each person counts."""
    actor = _reader(request)
    rows = ratings.listed(actor, get(Run, actor, pk=run_id))
    return paging.page(rows, page.cursor, page.limit, "-id", shapes.rating)


@router.post("/runs/{run_id}/ratings", response={201: Any}, summary="Rate a run's answer")
def rate(request: HttpRequest, run_id: str, body: RatingBody) -> Status[Any]:
    """Rating again keeps what was said before."""
    return Status(201, shapes.rating(ratings.rate(actor_of(request), run_id, Opinion(**dict(body)))))


@router.post("/evaluations/{evaluation_id}/cancel", response=Any, summary="Stop an evaluation and its runs")
def cancel(request: HttpRequest, evaluation_id: str) -> Any:
    return shapes.evaluation(evaluations.cancel(actor_of(request), evaluation_id))


@router.get("/pipelines/{slug}/publish-gate", response=Any, summary="What a draft must pass before it is published")
def read_gate(request: HttpRequest, slug: str) -> Any:
    """Nulls where nothing must be passed."""
    return shapes.gate(gates.read(_reader(request), slug))


@router.put("/pipelines/{slug}/publish-gate", response=Any, summary="Set what a draft must pass")
def put_gate(request: HttpRequest, slug: str, body: PublishGateBody) -> Any:
    return shapes.gate(gates.put(actor_of(request), slug, Demand(**dict(body))))


@router.delete("/pipelines/{slug}/publish-gate", response={204: None}, summary="Let drafts be published unevaluated")
def remove_gate(request: HttpRequest, slug: str) -> Status[None]:
    gates.remove(actor_of(request), slug)
    return Status(204, None)


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor
