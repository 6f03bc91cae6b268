"""A person's own new password, for whoever knows the one of before."""

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import attempts, passwords, second_factor, sessions
from accounts.arriving import NewPasswordForm
from accounts.errors import NotFound, TooMany
from accounts.models import User


class ChangePasswordForm(NewPasswordForm):
    """The password of before, which is counted as the one that confirms other changes, and a good new one."""

    current = forms.CharField(max_length=1024, strip=False)

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        try:
            attempts.begin(self._user.email, second_factor.PASSWORD_AGAIN)
        except TooMany as refused:
            raise forms.ValidationError(refused.message, code=refused.code) from None
        if not self._user.check_password(current):
            raise forms.ValidationError("That is not your password of now.", code="bad_login")
        attempts.succeeded(self._user.email, second_factor.PASSWORD_AGAIN)
        return current


@sensitive_post_parameters("current", "password")
@never_cache
@login_required
def change(request: HttpRequest) -> HttpResponse:
    """Change the password of whoever has one; who has a second factor has shown it lately."""
    asked = reauthentication_required(_change) if second_factor.is_set_up(request.user) else _change
    answer: HttpResponse = asked(request)
    return answer


def _change(request: HttpRequest) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - login_required
    if not user.has_usable_password():
        raise NotFound("You sign in without a password.")
    form = ChangePasswordForm(user, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/change_password.html", {"form": form})
    chosen = form.cleaned_data
    passwords.change(user, chosen["password"], "password_changed", tokens_too=chosen["tokens_too"])
    update_session_auth_hash(request, user)
    sessions.opened(request, user)
    messages.success(request, "Your password is changed, and you are signed out everywhere else.")
    return redirect("mfa_index")
