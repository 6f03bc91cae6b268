"""A person's own page: how they sign in, and with what besides a password."""

from typing import Any
from uuid import UUID

from allauth.account.views import ReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.views import RemoveWebAuthnView
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import again, assurance, second_factor, sessions
from accounts.errors import Conflict
from accounts.models import User


@never_cache
@require_safe
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Show what signs this person in."""
    mine = list(Authenticator.objects.filter(user=request.user).order_by("created_at"))
    kinds = {one.type: one for one in mine}
    codes = kinds.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "app": kinds.get(Authenticator.Type.TOTP),
        "passkeys": [one for one in mine if one.type == Authenticator.Type.WEBAUTHN],
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "sessions": sessions.of(request, _person(request)),
        "is_missing": assurance.is_missing(request.session),
        "is_set_up": second_factor.is_set_up(request.user),
    }
    return render(request, "accounts/account.html", context)


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
