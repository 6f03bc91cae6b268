"""The pages for people who are not inside yet: an invitation's, and those for a new password."""

from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.password_validation import validate_password
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import invitations, passwords
from accounts.clients import client_of
from accounts.errors import Deactivated
from accounts.models import Invitation, User


class NewPasswordForm(forms.Form):
    """A password good enough for the person it is for."""

    name = forms.CharField(max_length=120, required=False)
    password = forms.CharField(max_length=1024, strip=False)
    tokens_too = forms.BooleanField(required=False)

    def __init__(self, user: User, *args: Any) -> None:
        super().__init__(*args)
        self._user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self._user)
        return password


class EmailForm(forms.Form):
    email = forms.EmailField(max_length=254)


@sensitive_post_parameters("password")
@never_cache
def invitation(request: HttpRequest, invitation_id: UUID, mark: str) -> HttpResponse:
    """Show an invitation, and take the person in who accepts it."""
    made = invitations.open_one(invitation_id, mark)
    known = User.objects.filter(email=made.email).first()
    if known and not known.is_active:
        raise Deactivated
    if known and (known.has_usable_password() or SocialAccount.objects.filter(user=known).exists()):
        return _for_known(request, made, known)
    form = NewPasswordForm(known or User(email=made.email), request.POST or None)
    if request.method != "POST" or not form.is_valid():
        context = {"made": made, "form": form, "sso": settings.OIDC_ISSUER and settings.OIDC_NAME}
        return render(request, "accounts/invitation.html", context)
    user = invitations.newcomer(made, form.cleaned_data["name"].strip(), form.cleaned_data["password"])
    invitations.accept(made, user)
    inside: HttpResponse = perform_password_login(request, {"email": user.email}, Login(user=user, email=user.email))
    return inside


def _for_known(request: HttpRequest, made: Invitation, known: User) -> HttpResponse:
    """Who has an account here already signs in with it first: the link alone opens nothing of theirs."""
    if request.method != "POST" or request.user != known:
        return render(request, "accounts/invitation.html", {"made": made, "known": known})
    invitations.accept(made, known)
    messages.success(request, f"You are a member of {made.workspace.name} now.")
    return redirect(f"/?workspace={made.workspace.slug}")


@never_cache
def forgot(request: HttpRequest) -> HttpResponse:
    """Take an email, and say the same whoever it is of."""
    form = EmailForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        passwords.ask(form.cleaned_data["email"], client_of(request))
        return render(request, "accounts/forgot.html", {"asked": form.cleaned_data["email"]})
    return render(request, "accounts/forgot.html", {"form": form})


@sensitive_post_parameters("password")
@never_cache
def new_password(request: HttpRequest, user_id: UUID, token: str) -> HttpResponse:
    """Set a new password for whoever has the link."""
    user = passwords.holder(user_id, token)
    form = NewPasswordForm(user, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/new_password.html", {"form": form, "user_email": user.email})
    passwords.change(user, form.cleaned_data["password"], tokens_too=form.cleaned_data["tokens_too"])
    messages.success(request, "Your password is changed. Sign in with it.")
    return redirect(settings.LOGIN_URL)
