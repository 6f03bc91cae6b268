"""Where a person goes next: after a step of signing in, and after something was done in a workspace."""

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.access import Actor


def onward(request: HttpRequest) -> str:
    """Return where to go next: the asked page if it is one of ours, else home."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(asked, {request.get_host()}, require_https=request.is_secure())
    return asked if ours else settings.LOGIN_REDIRECT_URL


def back(actor: Actor, page: str, *names: str) -> HttpResponseRedirect:
    """Lead to a page of the workspace that was acted in, whichever another tab has chosen since."""
    return HttpResponseRedirect(f"{reverse(page, args=names)}?workspace={actor.workspace.slug}")
