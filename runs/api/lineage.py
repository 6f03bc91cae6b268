"""Where an output came from, for programs."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from accounts.access import Capability, actor_of, get, require
from runs.api.shapes import time
from runs.family import parent_json
from runs.lineage import Origin, lineage
from runs.models import Run

router = Router(tags=["runs"])


@router.get("/runs/{run_id}/lineage", response=Any, summary="What a step's output came from, nearest first")
def read(request: HttpRequest, run_id: str, path: str) -> Any:
    actor = actor_of(request)
    require(actor, Capability.READ)
    run = get(Run.objects.select_related("version"), actor, pk=run_id)
    found = lineage(actor, run, path)
    return {
        "parent": parent_json(run),
        "path": path,
        "items": [_origin(origin) for origin in found.origins],
        "next": None,
        "truncated": found.truncated,
    }


def _origin(origin: Origin) -> dict[str, Any]:
    step = origin.step
    return {
        "path": step.path,
        "node": step.node,
        "kind": step.kind,
        "title": step.title,
        "state": step.state,
        "flags": step.flags,
        "attempt": step.attempt,
        "reused_from": origin.reused_from,
        "reads": origin.reads,
        "after": origin.after,
        "agent": origin.agent,
        "models": origin.models,
        "tools": origin.tools,
        "runs": list(origin.runs),
        "decisions": [{**decision, "at": time(decision["at"])} for decision in origin.decisions],
    }
