"""Raising the cap of a run by what is published: a permission with a reason, kept as every change of a budget is."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts import audit
from accounts.access import Actor, Capability, roles_for
from accounts.errors import Forbidden
from pipelines import budgets
from pipelines.graph import caps
from pipelines.graph.caps import Raised
from pipelines.graph.model import Json
from pipelines.models import BudgetChange, Pipeline

_COST = "max_cost_micros"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caps that somebody may raise, and why they do; none where nothing is raised."""

    found: list[Raised]
    reason: str


@dataclass(frozen=True, slots=True)
class Raises:
    """How something that is to be published raises caps of a run, whether its reader `may`, and whose roles may."""

    found: Sequence[Raised]
    may: bool
    who: Sequence[str]

    @property
    def words(self) -> str:
        """From what to what; "" where nothing is raised."""
        return caps.in_words(self.found)


def shown(actor: Actor, pipeline: Pipeline, *documents: Json) -> Raises:
    """Return what a page says of what these documents raise. Two queries; none without a document."""
    return Raises(raises(pipeline, *documents), actor.can(Capability.MANAGE), roles_for(Capability.MANAGE))


def raises(pipeline: Pipeline, *documents: Json) -> list[Raised]:
    """Return which caps of a run these documents raise over what new runs get now: nothing while nothing is published.

    Reads that anew: whoever holds the pipeline (`publish.held`) sees what changed while they waited for it. Two
    queries; none without a document.
    """
    if not documents:
        return []
    now = Pipeline.objects.select_related("published").only("published__number", "split").get(pk=pipeline.pk)
    before = list(_capped(pipeline, number__in=_running(now)).values())
    return [one for document in documents for one in caps.raised(before, document)]


def versions(pipeline: Pipeline) -> frozenset[int]:
    """Return the numbers of the versions that raise a cap of a run over what new runs get now. One query."""
    found = _capped(pipeline)
    before = [document for number, document in found.items() if number in _running(pipeline)]
    return frozenset(number for number, document in found.items() if caps.raised(before, document))


def _running(pipeline: Pipeline) -> set[int | None]:
    """Return the numbers of the versions that new runs get: those that share them, else the published one."""
    if pipeline.split:
        return {arm["version"] for arm in pipeline.split}
    return {pipeline.published.number if pipeline.published else None}


def _capped(pipeline: Pipeline, **which: set[int | None]) -> dict[int, Json]:
    """Return published versions by number, each with as much of its document as says its caps."""
    rows = pipeline.versions.filter(number__isnull=False, **which).values_list("number", "document__budget")
    return {number: {"budget": budget} for number, budget in rows if number is not None}


def allow(actor: Actor, pipeline: Pipeline, reason: str, *documents: Json) -> Allowed:
    """Return what these documents raise and why; raise Forbidden `may_not_raise_cap`, Invalid `reason_needed`.

    Whoever then gives new runs one of them holds the pipeline.
    """
    found = raises(pipeline, *documents)
    if found and not actor.can(Capability.MANAGE):
        raise Forbidden(
            f"This raises the cap of a run of {pipeline.name} {caps.in_words(found)}. That is for who may "
            f"{Capability.MANAGE}: {' or '.join(roles_for(Capability.MANAGE))}.",
            code="may_not_raise_cap",
            where="/budget",
        )
    return Allowed(found, budgets.checked_reason(reason, is_needed=bool(found)))


def record(actor: Actor, pipeline: Pipeline, allowed: Allowed, version: int | None = None, **more: Json) -> None:
    """Keep what was raised and why, beside the changes of budgets and in the audit log. Nothing where nothing was.

    `more` is what the audit log says besides.
    """
    if not allowed.found:
        return
    for one in allowed.found:
        if one.cap == _COST:
            act = BudgetChange.Act.REMOVED if one.now is None else BudgetChange.Act.RAISED
            now = None if one.now is None else int(one.now)
            budgets.keep(actor, f"pipeline {pipeline.slug}/run", act, int(one.was), now, allowed.reason)
    told = [{"cap": one.cap, "was": one.was, "now": one.now} for one in allowed.found]
    data = {"version": version, "caps": told, **more}  # the reason is content, and stays in the history of the budgets
    audit.record(actor.workspace, actor.user, "pipeline.cap_raised", pipeline.slug, data)
