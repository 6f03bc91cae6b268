"""A person's own page: how they sign in, and with what besides a password."""

from typing import Any
from uuid import UUID

from allauth.account.views import ReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import again, assurance, recovery_codes, second_factor, sessions
from accounts.errors import Conflict, NotFound
from accounts.models import User


@never_cache
@require_safe
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Show what signs this person in."""
    mine = list(Authenticator.objects.filter(user=request.user).order_by("created_at"))
    kinds = {one.type: one for one in mine}
    context = {
        "app": kinds.get(Authenticator.Type.TOTP),
        "passkeys": [one for one in mine if one.type == Authenticator.Type.WEBAUTHN],
        "codes_left": recovery_codes.left(_person(request)),
        "sessions": sessions.of(request, _person(request)),
        "is_missing": assurance.is_missing(request.session),
        "is_set_up": second_factor.is_set_up(request.user),
    }
    return render(request, "accounts/account.html", context)


@never_cache
@require_safe
@login_required
def codes(request: HttpRequest) -> HttpResponse:
    """Say how many recovery codes are left; what they are nobody can say any more."""
    return _codes(request)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@again.first()
def new_codes(request: HttpRequest) -> HttpResponse:
    """Make recovery codes instead of those of before. They stand in this answer alone."""
    if request.method != "POST":
        return _codes(request)
    if not second_factor.is_set_up(request.user):
        raise NotFound(_NO_FACTOR)
    return _shown(request, recovery_codes.make(_person(request)))


_NO_FACTOR = "Recovery codes stand in for an app or a passkey, and you have neither."


def _codes(request: HttpRequest) -> HttpResponse:
    if not second_factor.is_set_up(request.user):
        raise NotFound(_NO_FACTOR)
    left = recovery_codes.left(_person(request))
    return render(request, "accounts/recovery_codes.html", {"left": left, "most": recovery_codes.COUNT})


def _shown(request: HttpRequest, made: list[str]) -> HttpResponse:
    return render(request, "accounts/new_recovery_codes.html", {"codes": made})


def _with_first_codes(request: HttpRequest, onward: HttpResponse) -> HttpResponse:
    """Show the recovery codes that the first second factor brings, in the answer to it; else go on."""
    made = recovery_codes.make(_person(request), unless_there=True)
    return _shown(request, made) if made else onward


class _NewApp(ActivateTOTPView):  # type: ignore[misc]  # allauth carries no types
    def form_valid(self, form: Any) -> HttpResponse:
        return _with_first_codes(self.request, super().form_valid(form))


new_app = never_cache(_NewApp.as_view())


class _NewPasskey(AddWebAuthnView):  # type: ignore[misc]  # allauth carries no types
    def form_valid(self, form: Any) -> HttpResponse:
        return _with_first_codes(self.request, super().form_valid(form))


new_passkey = never_cache(_NewPasskey.as_view())


class _RemovePasskey(RemoveWebAuthnView):  # type: ignore[misc]  # allauth carries no types
    success_url = reverse_lazy("mfa_index")

    def form_valid(self, form: Any) -> HttpResponse:
        if not second_factor.Adapter().can_delete_authenticator(self.get_object()):
            raise Conflict(
                "A second factor is required here. Set up another way before you remove this one.", code="last_factor"
            )
        removed: HttpResponse = super().form_valid(form)
        return removed


remove_passkey = _RemovePasskey.as_view()


class _PasswordAgain(ReauthenticateView):  # type: ignore[misc]  # allauth carries no types
    def form_valid(self, form: Any) -> HttpResponse:
        sessions.renew(self.request)
        shown: HttpResponse = super().form_valid(form)
        return shown


password_again = _PasswordAgain.as_view()


@require_POST
@login_required
@again.first("mfa_index")
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    sessions.end_others(request, _person(request))
    messages.success(request, "You are signed out everywhere else.")
    return redirect("mfa_index")


@require_POST
@login_required
@again.first("mfa_index")
def end_session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    sessions.end(request, _person(request), session_id)
    return redirect("mfa_index")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - login_required
    return request.user
