"""Puts the person's workspace on the request, and turns what Baton refuses into a page."""

from collections.abc import Callable
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect, render

from accounts import again, content, second_line, sessions
from accounts.access import session_actor
from accounts.errors import Forbidden, Insecure, Invalid, NotFound, NotSignedIn, Refused, SecondFactorNeeded

API_APP = "ninja"
WITHOUT_SECOND_FACTOR = (
    "/account/",
    "/login/",
    "/logout/",
    "/theme/",
    "/invitations/",
    "/password/",
    "/csp-reports",
    "/healthz",
    "/readyz",
)
_TYPES = ["text/html", "application/json"]


class WorkspaceMiddleware:
    """Refuses NUL, which no row holds, and sets `request.actor`: the signed-in person in their workspace, or None.

    The API checks its bodies and names its actor itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.actor = None  # type: ignore[attr-defined]
        second_line.leave()  # not at the end: a sheet is read from its rows after that
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL has no text with NUL, so no row can be meant
            return refusal(request, Invalid("An address cannot contain the character NUL."))
        if request.method == "TRACE":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        in_clear = settings.SECURE_SSL_REDIRECT and not request.is_secure()
        if in_clear and request.path_info.startswith(settings.OF_PROGRAMS):
            return refusal(request, Insecure())
        answer = self.get_response(request)
        answer.headers.setdefault("Cache-Control", "no-store")  # no browser and no proxy keeps what one person saw
        return answer

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        if match and API_APP in match.app_names:
            return None  # its bodies are checked as they are read
        if any("\0" in value for values in request.POST.lists() for value in (values[0], *values[1])):
            return refusal(request, Invalid("Text cannot contain the character NUL. Remove it.", code="bad_text"))
        if not request.user.is_authenticated:
            return None
        sessions.touch(request)
        try:
            request.actor = session_actor(request, remember=True)  # type: ignore[attr-defined]
        except SecondFactorNeeded as refused:
            return None if request.path_info.startswith(WITHOUT_SECOND_FACTOR) else refusal(request, refused)
        except NotFound as refused:
            return refusal(request, refused) if request.GET.get("workspace") else None
        second_line.enter(request.actor.workspace.pk)  # type: ignore[attr-defined]
        try:
            content.admit(request.actor, match.route if match else "")  # type: ignore[attr-defined]
        except Forbidden as refused:
            return refusal(request, refused)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if isinstance(exception, ReauthenticationRequired) and request.user.is_authenticated:
            return again.lead(request)  # before AccountMiddleware hears of it
        return refusal(request, exception) if isinstance(exception, Refused) else None


def is_program(request: HttpRequest) -> bool:
    """Tell whether JSON is what an answer should be."""
    asks = request.path_info.startswith("/api/") or request.get_preferred_type(_TYPES) == "application/json"
    return asks and not getattr(request, "htmx", False)


def refusal(request: HttpRequest, refused: Refused) -> HttpResponseBase:
    """Return the refusal as JSON to a program, as a fragment to htmx, as a page (or the sign-in page) to a person."""
    htmx = bool(getattr(request, "htmx", False))
    if is_program(request):
        return JsonResponse(refused.answer(), status=refused.status, headers=refused.headers)
    if isinstance(refused, NotSignedIn):
        if htmx:
            return HttpResponse(status=refused.status, headers={"HX-Redirect": "/login/"})
        return redirect_to_login(request.get_full_path())
    if isinstance(refused, SecondFactorNeeded):
        return HttpResponse(status=403, headers={"HX-Redirect": "/account/"}) if htmx else redirect("mfa_index")
    context = {"code": refused.code, "message": refused.message, "status": refused.status}
    page = render(request, "_error.html" if htmx else "error.html", context, status=refused.status)
    for name, value in refused.headers.items():
        page[name] = value
    return page
