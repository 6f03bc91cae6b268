"""The addresses these tests need: the accounts' own, the API, and pages and routes that go wrong on purpose."""

from typing import Any

from django.contrib.auth import get_user
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path
from ninja import Router, Status

from accounts import audit
from accounts.access import Capability, actor_of, require, signed_in
from accounts.api import router
from accounts.errors import Conflict, Forbidden
from accounts.schemas import Body
from orchestrator_site.api import build

probe = Router(tags=["probe"])


class Note(Body):
    text: str
    weight: int = 1
    labels: list[str] = []
    data: dict[str, Any] = {}


@probe.post("/notes", response={201: dict[str, Any]})
def note(request: HttpRequest, payload: Note) -> Any:
    """Write one audit entry, so that acting twice shows."""
    actor = actor_of(request)
    audit.record(actor.workspace, actor.user, "noted", payload.text[:200], payload.data)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::bigint", [str(payload.weight)])
    if payload.text == "refuse":
        raise Conflict("Refused after writing.")
    return Status(201, {"text": payload.text, "seq": audit.head(actor.workspace)[0]})


@probe.get("/fails/{how}")
def fails(request: HttpRequest, how: str) -> Any:
    if how == "404":
        raise Http404
    if how == "refused":
        raise Forbidden("Not today.", code="not_today", where="/a/b", problems=[1])
    raise RuntimeError("the password is hunter2")


@signed_in
def page(request: HttpRequest) -> HttpResponse:
    require(request.actor, Capability.EDIT)  # type: ignore[attr-defined]
    return HttpResponse(f"{get_user(request)} in {request.actor.workspace.slug}")  # type: ignore[attr-defined]


urlpatterns = [
    path("api/v1/", build([router, probe], namespace="probe").urls),
    path("", include("accounts.urls")),
    path("page/", page),
]
