"""What a person should know before a draft is published: what blocks it, what it may spend, and what it may do."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from accounts.access import Actor
from pipelines import conditions
from pipelines.conditions import Candidate
from pipelines.graph import freeze, gates, validate
from pipelines.graph.caps import Raised
from pipelines.graph.lock import Library, resolve
from pipelines.graph.model import Document, Kind
from pipelines.graph.money import in_dollars
from pipelines.graph.parse import parse
from pipelines.graph.places import places
from pipelines.graph.problems import Problem, Refusal, has_errors
from pipelines.library.library import library_of
from pipelines.models import Budget, Pipeline

OK, WARN, BAD, NONE = "ok", "warn", "bad", "none"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist; `state` is ok, warn, bad, or none where there is nothing to check."""

    state: str
    words: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A draft as the validator read it; `document` is None for one that no longer parses."""

    document: Document | None
    problems: Sequence[Problem]
    guarded: int = 0

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity != "error"]


def reading(actor: Actor, pipeline: Pipeline) -> Reading:
    """Return what keeps a pipeline's draft from being published or deserves a look, and how many irreversible steps a
    person is asked about before; a pipeline that is kept from the actor is as if it were not there."""
    try:
        document = parse(pipeline.draft.document)
    except Refusal as refusal:
        return Reading(None, [Problem(refusal.code, "error", refusal.where or "", None, refusal.message)])
    library = library_of(actor, document)
    found = list(validate.problems(document, library))
    if not has_errors(found):
        lock = freeze.lock(document, library).as_json()
        found += conditions.unmet(Candidate(pipeline, freeze.content_hash(pipeline.draft.document), lock))
    unguarded = {problem.node for problem in found if problem.code == "unguarded_irreversible"}
    guarded = len(_irreversible(document, library) - unguarded)
    return Reading(document, found, guarded)


def checks(pipeline: Pipeline, found: Reading, raised: Sequence[Raised]) -> list[Check]:
    """Return the checklist of a draft that raises these caps of a run, in the order in which people should care."""
    if found.document is None:
        return [_errors(found)]
    raises = [Check(WARN, "Raises a cap of a run: that needs a reason", one.words) for one in raised]
    return [_errors(found), _approvals(found), _cap(pipeline, found.document), *raises, _prices(found)]


def _errors(found: Reading) -> Check:
    errors, warnings = len(found.errors), len(found.warnings)
    detail = _counted(warnings, "warning") if warnings else ""
    if errors:
        return Check(BAD, f"{_counted(errors, 'error')} to solve first", detail)
    return Check(OK, "No errors", detail)


def _approvals(found: Reading) -> Check:
    asked = sum(problem.code == "unguarded_irreversible" for problem in found.problems)
    if asked:
        every = f"{found.guarded} of {found.guarded + asked}"
        return Check(WARN, "Not everything irreversible has a Person step: the run stops and asks", every)
    if found.guarded:
        return Check(OK, "Every irreversible step has an approval", f"{found.guarded} of {found.guarded}")
    return Check(NONE, "Does nothing that cannot be undone")


def _cap(pipeline: Pipeline, document: Document) -> Check:
    cap = document.budget.max_cost_micros
    budgets = Budget.objects.filter(Q(pipeline=pipeline) | Q(pipeline=None, workspace=pipeline.workspace), hard=True)
    spans = [f"{in_dollars(one.max_cost_micros)} a {one.period}" for one in budgets.order_by("period", "pipeline")]
    detail = ", ".join([*([f"{in_dollars(cap)} a run"] if cap is not None else []), *dict.fromkeys(spans)])
    if cap is None:
        return Check(WARN, "No cap for a run: it may spend without end" if not spans else "No cap for a run", detail)
    return Check(OK, "Cap set", detail)


def _prices(found: Reading) -> Check:
    unknown = sum(problem.code == "unknown_price" for problem in found.problems)
    if unknown:
        state = BAD if any(one.code == "unknown_price" for one in found.errors) else WARN
        return Check(state, "Some models have no known price", _counted(unknown, "place"))
    return Check(OK, "Every model has a known price")


def _irreversible(document: Document, library: Library) -> set[str | None]:
    """Return the actions that cannot be undone, by place."""
    found: set[str | None] = set()
    for place in places(document):
        if place.node.kind is Kind.TOOL:
            exact = resolve(place.node.config["tool"], library.tools)
            if exact and gates.needs_approval(library.tools[exact], place.node.config["args"]):
                found.add(place.name)
    return found


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
