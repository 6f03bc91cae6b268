"""Where the palette can jump to."""

from django.urls import reverse

from accounts.access import Actor, scoped
from pipelines.models import Agent, Pipeline
from runs.models import Run

RUNS = 30
PAGES = (
    *("home", "approvals", "runs", "pipelines", "agents", "knowledge", "templates", "costs", "budgets", "alerts"),
    *("prices", "what-if", "notices", "approval-rules", "connections", "triggers", "away"),
)
WITH_CONTENT = frozenset({"agents", "knowledge", "templates", "triggers"})


def all_for(actor: Actor) -> list[dict[str, str]]:
    """Return {name, kind, url} of the pages, the pipelines, the agents and the newest runs of the actor's workspace.

    Who sees no content is led to none.
    """
    if not actor.sees_content:
        return [*_pages(frozenset(PAGES) - WITH_CONTENT), *_runs(actor)]
    pipelines = scoped(Pipeline, actor).filter(archived_at=None).order_by("name")
    agents = scoped(Agent, actor).order_by("name")
    return [
        *_pages(frozenset(PAGES)),
        *(_place(one.name, "Pipeline", reverse("pipeline", args=[one.slug])) for one in pipelines),
        *(_place(one.name, "Agent", reverse("agent", args=[one.slug])) for one in agents),
        *_runs(actor),
    ]


def _pages(views: frozenset[str]) -> list[dict[str, str]]:
    return [_place(view.capitalize().replace("-", " "), "Page", reverse(view)) for view in PAGES if view in views]


def _runs(actor: Actor) -> list[dict[str, str]]:
    found = scoped(Run, actor).select_related("pipeline").only("number", "pipeline__name").order_by("-created_at")
    named = ((f"{run.pipeline.name} #{run.number}", reverse("run", args=[run.pk])) for run in found[:RUNS])
    return [_place(name, "Run", address) for name, address in named]


def _place(name: str, kind: str, url: str) -> dict[str, str]:
    return {"name": name, "kind": kind, "url": url}
