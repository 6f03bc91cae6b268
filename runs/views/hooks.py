"""The address that programs outside call to start a run: signed instead of carrying a CSRF token."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.clients import client_of
from accounts.errors import Refused
from runs.api import shapes
from runs.triggers import hooks


@csrf_exempt
@require_POST
def hook(request: HttpRequest, slug: str) -> JsonResponse:
    """Answer 202 with the run that was started; a refusal in JSON, whatever the caller accepts."""
    try:
        return _taken(request, slug)
    except Refused as refused:
        return JsonResponse(refused.answer(), status=refused.status, headers=refused.headers)


def _taken(request: HttpRequest, slug: str) -> JsonResponse:
    sent = request.headers
    call = hooks.Call(
        slug=slug,
        body=request.body if request.content_type == "application/json" else b"",
        content_type=sent.get("Content-Type", ""),
        timestamp=sent.get("X-Baton-Timestamp", ""),
        nonce=sent.get("X-Baton-Nonce", ""),
        signature=sent.get("X-Baton-Signature", ""),
        client=client_of(request),
        workspace=request.GET.get("workspace", ""),
    )
    run = hooks.take(call)
    told = {name: shapes.run(run)[name] for name in ("id", "number", "url", "state")}
    return JsonResponse({"run": told["id"], **told}, status=202)
