"""Where browsers report violations of the content policy, and the page that shows them."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from accounts import violations
from accounts.access import actor_of, signed_in
from accounts.clients import client_of
from accounts.errors import Refused
from accounts.reported import is_report


@csrf_exempt
@require_POST
def take(request: HttpRequest) -> HttpResponse:
    """Answer 204 to a browser, which sends no CSRF token: its type of content is one that no form and no foreign
    page can send."""
    actor = getattr(request, "actor", None)
    kind = request.headers.get("Content-Type", "")
    body = request.body if is_report(kind) else b""  # a form's was read as it came
    try:
        violations.take(kind, body, client_of(request), actor and actor.workspace)
    except Refused as refused:
        return JsonResponse(refused.answer(), status=refused.status, headers=refused.headers)
    return HttpResponse(status=204)


@never_cache
@require_GET
@signed_in
def page(request: HttpRequest) -> HttpResponse:
    """What browsers reported, the newest first."""
    context = {"found": violations.seen_by(actor_of(request)), "days": violations.KEPT.days}
    return render(request, "accounts/violations.html", context)
