"""Where the palette can jump to."""

from django.urls import reverse

from accounts.access import Actor, scoped
from pipelines.models import Pipeline
from runs.models import Run

RUNS = 30
PAGES = ("home", "approvals", "runs", "pipelines", "costs")


def all_for(actor: Actor) -> list[dict[str, str]]:
    """Return {name, kind, url} of the pages, the pipelines and the newest runs of the actor's workspace."""
    pipelines = scoped(Pipeline, actor).filter(archived_at=None).order_by("name")
    runs = scoped(Run, actor).select_related("pipeline").only("number", "pipeline__name").order_by("-created_at")
    return [
        *(_place(view.capitalize(), "Page", reverse(view)) for view in PAGES),
        *(_place(one.name, "Pipeline", reverse("pipeline", args=[one.slug])) for one in pipelines),
        *(_place(f"{run.pipeline.name} #{run.number}", "Run", reverse("run", args=[run.pk])) for run in runs[:RUNS]),
    ]


def _place(name: str, kind: str, url: str) -> dict[str, str]:
    return {"name": name, "kind": kind, "url": url}
