"""The pages that belong to no single app: home, and the small addresses of the shell."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from accounts.access import actor_of, signed_in
from orchestrator_site import places
from orchestrator_site.home import home as home_of
from orchestrator_site.shell import THEMES

YEAR = 31_536_000


@require_GET
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "site/home.html", {"home": home_of(actor_of(request))})


@require_GET
@signed_in
def counts(request: HttpRequest) -> HttpResponse:
    """The shell's counts and spend as fragments, fetched when the workspace's socket says that something changed."""
    return render(request, "components/_counts.html")


@require_GET
@signed_in
def jump_list(request: HttpRequest) -> HttpResponse:
    """What the palette can jump to."""
    return JsonResponse({"places": places.all_for(actor_of(request))})


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    back = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    response = HttpResponseRedirect(back if ours else "/")
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(settings.THEME_COOKIE, chosen, max_age=YEAR, secure=secure, samesite="Lax")
    else:
        response.delete_cookie(settings.THEME_COOKIE)
    return response


urlpatterns = [
    path("", home, name="home"),
    path("counts/", counts, name="counts"),
    path("places/", jump_list, name="places"),
    path("theme/", theme, name="theme"),
]
