"""Datasets: made and followed by new versions; a version never changes, so that what it came to stays comparable."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, QuerySet, Subquery

from accounts import audit, scanner
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Invalid, NotFound
from accounts.ids import new_id
from evals import cases, formats
from evals.cases import CaseFields
from evals.formats import LeftOut
from evals.models import Case, Dataset, DatasetVersion
from pipelines.graph.model import Json
from pipelines.graph.problems import shown
from runs import artifacts, removal
from runs.models import Run

# One version for each saved run: an old one is left where it is.
MOST_VERSIONS = 10_000


@dataclass(frozen=True, slots=True)
class File:
    """Another tool's cases as JSON. `field` of the start form takes an input that is no object."""

    format: str
    data: Json
    field: str = "input"


def listed(actor: Actor) -> "QuerySet[Dataset]":
    """Return the workspace's datasets, each with the number, size and date of its newest version."""
    newest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number")
    return scoped(Dataset, actor).annotate(
        newest=Subquery(newest.values("number")[:1]),
        size=Subquery(newest.values("size")[:1]),
        changed_at=Subquery(newest.values("created_at")[:1]),
    )


def create(
    actor: Actor, name: str, given: Sequence[CaseFields], description: str = "", note: str = ""
) -> DatasetVersion:
    """Make a dataset with its first version; raise Conflict `dataset_exists`, Invalid `bad_dataset_name`, Forbidden; as
    `scanner.check`."""
    require(actor, Capability.EDIT)
    _scan(actor, name, given)
    return _create(actor, name, given, description, note)


@transaction.atomic
def _create(actor: Actor, name: str, given: Sequence[CaseFields], description: str, note: str) -> DatasetVersion:
    _check_name(name)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                workspace=actor.workspace, name=name, description=description, created_by=actor.user
            )
    except IntegrityError:
        raise Conflict(f"There is a dataset {name} already. Add a version to it.", code="dataset_exists") from None
    return _add(actor, dataset, given, note, 1)


def add_version(actor: Actor, name: str, given: Sequence[CaseFields], note: str = "") -> DatasetVersion:
    """Save cases as the next version; the same cases again are the version that there is. Locks the dataset. Raises as
    `scanner.check`."""
    require(actor, Capability.EDIT)
    _scan(actor, name, given)
    return _add_version(actor, name, given, note)


@transaction.atomic
def _add_version(actor: Actor, name: str, given: Sequence[CaseFields], note: str) -> DatasetVersion:
    dataset = get(Dataset.objects.select_for_update(of=("self",)), actor, name=name)
    return _follow(actor, dataset, given, note)


def bring(actor: Actor, name: str, file: File, note: str = "") -> tuple[DatasetVersion, list[LeftOut]]:
    """Save the cases of another tool's file as a new dataset or as the next version of one, and return it with what
    did not come along. Raises Invalid (`unknown_format`, `unreadable_file`, `invalid_cases`), Forbidden; as
    `scanner.check`."""
    require(actor, Capability.EDIT)
    scanner.check_json(actor, f"The dataset {shown(name)}", file.data)
    try:
        found = formats.read(file.format, file.data, file.field)
    except KeyError:
        message = f"{shown(file.format)} is no format that can be read. There are: {', '.join(formats.FORMATS)}."
        raise Invalid(message, code="unknown_format", where="/format") from None
    except ValueError as error:
        raise Invalid(f"This is no file of {file.format}: {error}", code="unreadable_file", where="/data") from None
    given = cases.read(found.cases)
    with transaction.atomic():
        if scoped(Dataset, actor).filter(name=name).exists():
            return _add_version(actor, name, given, note or f"From {file.format}"), found.problems
        return _create(actor, name, given, f"From {file.format}", note), found.problems


def add_run(actor: Actor, run: Run, name: str, case_name: str = "") -> DatasetVersion:
    """Save a run as a case: its input, and its output as what is expected. Raises Conflict `run_not_succeeded`, and as
    `add_case`."""
    require(actor, Capability.EDIT)
    return add_case(actor, name, _case_of(run, case_name), run, f"Run {run.number}")


@transaction.atomic
def add_case(actor: Actor, name: str, case: CaseFields, run: Run, note: str) -> DatasetVersion:
    """Let a case that a run gave rise to join the newest cases of a dataset; a new name makes a new dataset.

    Raises Invalid (`bad_dataset_name`, `invalid_cases`), Conflict `too_many_versions`, Forbidden. Locks the dataset.
    """
    require(actor, Capability.EDIT)
    case = replace(case, metadata={**case.metadata, "run": run.number}, source=run.pk)
    dataset = scoped(Dataset.objects.select_for_update(of=("self",)), actor).filter(name=name).first()
    if dataset is None:
        return _create(actor, name, [case], f"Cases of {run.pipeline.name}"[:500], note)
    known = [cases.of_row(row) for row in Case.objects.filter(version=newest(dataset)).order_by("position")]
    if len(known) >= cases.MOST:
        raise Invalid(f"{name} has {cases.MOST:,} cases, which is the most.", code="invalid_cases")
    taken = {one.name for one in known}
    named = next(one for one in _names(case.name) if one not in taken)
    return _follow(actor, dataset, [*known, replace(case, name=named)], note)


def newest(dataset: Dataset) -> DatasetVersion:
    """Return the version with the highest number."""
    found = dataset.versions.order_by("-number").first()
    if found is None:
        raise NotFound
    return found


def version_of(actor: Actor, name: str, number: int | None = None) -> DatasetVersion:
    """Return a version of a dataset by its name, the newest unless a number is given; NotFound."""
    dataset = get(Dataset, actor, name=name)
    if number is None:
        return newest(dataset)
    rows = DatasetVersion.objects.select_related("dataset")
    return get(rows, actor, through="dataset__workspace", dataset=dataset, number=number)


def _scan(actor: Actor, name: str, given: Sequence[CaseFields]) -> None:
    scanner.check_json(actor, f"The dataset {shown(name)}", [cases.as_json(one) for one in given])


def _follow(actor: Actor, dataset: Dataset, given: Sequence[CaseFields], note: str) -> DatasetVersion:
    last = newest(dataset)
    if last.hash == cases.hash_of(given):
        return last
    if last.number >= MOST_VERSIONS:
        message = f"{dataset.name} has {MOST_VERSIONS:,} versions. Go on under another name."
        raise Conflict(message, code="too_many_versions")
    return _add(actor, dataset, given, note, last.number + 1)


def _add(actor: Actor, dataset: Dataset, given: Sequence[CaseFields], note: str, number: int) -> DatasetVersion:
    version = DatasetVersion.objects.create(
        id=new_id(),
        dataset=dataset,
        number=number,
        hash=cases.hash_of(given),
        note=note[:500],
        size=len(given),
        created_by=actor.user,
    )
    Case.objects.bulk_create(
        Case(
            version=version,
            position=position,
            digest=case.asked,
            **{name: getattr(case, name) for name in ("name", "expected_output", "has_expected", "context", "source")},
            inputs=dict(case.inputs),
            asserts=list(case.asserts),
            metadata=dict(case.metadata),
        )
        for position, case in enumerate(given)
    )
    data = {"version": number, "hash": version.hash, "cases": len(given)}
    audit.record(actor.workspace, actor.user, "dataset.saved", dataset.name, data)
    return version


def _case_of(run: Run, name: str) -> CaseFields:
    removal.refuse(run)
    if run.state != "succeeded":
        message = f"Run {run.number} has not succeeded, so there is no output to expect. Save one that has."
        raise Conflict(message, code="run_not_succeeded")
    output: Json = artifacts.whole(run.pk, run.large, "output", run.output)
    called = (name.strip() or f"Run {run.number}")[:200]
    (case,) = cases.read([{"name": called, "inputs": artifacts.input_of(run), "expected_output": output}])
    return case


def _names(name: str) -> Sequence[str]:
    return [name, *(f"{name[:190]} ({number})" for number in range(2, cases.MOST + 2))]


def _check_name(name: str) -> None:
    allowed = name.isascii() and name.replace("-", "").replace("_", "").isalnum() and name == name.lower()
    if not 1 <= len(name) <= 63 or not allowed:
        message = "A dataset's name has small letters, digits, - and _, at most 63 of them."
        raise Invalid(message, code="bad_dataset_name", where="/name")
