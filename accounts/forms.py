"""The sign-in form."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.http import HttpRequest

from accounts import attempts, hashing
from accounts.access import may_come_in
from accounts.clients import client_of
from accounts.errors import TooMany
from accounts.models import User


class LoginForm(forms.Form):
    """Email and password. Once valid, `user` is who signs in; what is wrong is never said more closely."""

    email = forms.EmailField(
        max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        max_length=1024, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    refused: TooMany | None = None
    """Why nothing was looked at, where too much is asked."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: User | None = None

    def clean(self) -> dict[str, Any]:
        if self.errors:
            return self.cleaned_data
        try:
            with hashing.turn():
                self.user = self._who()
        except TooMany as refused:
            self.refused = refused
            raise forms.ValidationError(refused.message, code=refused.code) from None
        return self.cleaned_data

    def _who(self) -> User:
        """Return whose email and password these are; an unknown email costs a hash too, so that time tells nothing."""
        email = self.cleaned_data["email"].lower()
        tried = attempts.sign_in(email, client_of(self.request))
        user = authenticate(self.request, username=email, password=self.cleaned_data["password"])
        if not isinstance(user, User) or not may_come_in(user):
            attempts.failed(tried)
            raise forms.ValidationError("That email and password do not fit together.", code="bad_login")
        return user
