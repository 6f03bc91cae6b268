"""Passkeys as they are added and shown: with a name, and with a signature that counts here."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from allauth.mfa.webauthn.internal import auth
from django import forms

from accounts import strength


class NewPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # allauth carries no types
    """A passkey with its name."""

    name = forms.CharField(required=False, max_length=60)

    def clean(self) -> dict[str, Any]:
        """Look at the key first: allauth cleans a form that is refused once more to show it, when its challenge is
        used up."""
        if credential := self.cleaned_data.get("credential"):
            made = auth.parse_registration_response(credential).response.attestation_object.auth_data
            _check(made, "Use another device or security key, or an app.")
        cleaned: dict[str, Any] = super().clean()
        return cleaned


class _Shown:
    """A passkey of before may be one that counts no more."""

    def clean_credential(self) -> Authenticator:
        authenticator: Authenticator = super().clean_credential()  # type: ignore[misc]  # of allauth's form, beside
        _check(authenticator.wrap().authenticator_data, "Sign in another way, and replace it.")
        return authenticator


class PasskeyForm(_Shown, AuthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey as the second step."""


class PasskeyAloneForm(_Shown, LoginWebAuthnForm):  # type: ignore[misc]
    """A passkey in place of the password."""


class PasskeyAgainForm(_Shown, ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey before something that matters is changed."""


def _check(made: Any, instead: str) -> None:
    if made.credential_data is None:
        raise forms.ValidationError("The browser made no passkey. Try again.", "none")
    if why := strength.of_passkey(made.credential_data.public_key):
        raise forms.ValidationError(f"This passkey is too weak for this installation: it {why}. {instead}", "weak")
