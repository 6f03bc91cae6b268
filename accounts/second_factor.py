"""The second factor: its keys under our own encryption, codes that count once and are throttled, acts written down."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from allauth.account.forms import ReauthenticateForm as PasswordAgain
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest

from accounts import assurance, attempts, audit, recovery_codes, secrets, sessions
from accounts.errors import TooMany
from accounts.models import User

PRIMARY = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
_CODES, _NEW_APP, PASSWORD_AGAIN = "second factor", "new app", "password again"
"""Stand for the address when guesses are counted, one for each secret: it does not matter from where they come."""
_REMEMBERED = 120  # seconds; a code holds for 30


class Adapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth carries no types
    """Seals what would sign in for a person, and keeps a factor that is asked for from being removed."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "That code does not fit.",
        "cannot_delete_authenticator": "A second factor is required here, and this is the last one.",
    }

    def encrypt(self, text: str) -> str:
        return secrets.seal(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.unseal(encrypted_text.encode())

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        others = Authenticator.objects.filter(user=authenticator.user, type__in=PRIMARY).exclude(pk=authenticator.pk)
        return bool(settings.SECOND_FACTOR != "required" or others.exists())

    def _get_site_name(self) -> str:
        return "Baton"


def rotate() -> int:
    """Encrypt every key of a second factor anew with the first key; return how many."""
    adapter, count = Adapter(), 0
    with transaction.atomic():
        for row in Authenticator.objects.select_for_update().exclude(type=Authenticator.Type.WEBAUTHN):
            for name in ("secret", *recovery_codes.SEALED):
                if name in row.data:
                    row.data[name] = adapter.encrypt(adapter.decrypt(row.data[name]))
                    count += 1
            row.save(update_fields=["data"])
    return count


class _Throttled(forms.Form):
    """A form with a secret to guess. Each try counts before it is looked at, whichever way the guesser came."""

    user: User
    counted_as: str

    def full_clean(self) -> None:
        if not self.is_bound or context.request.method != "POST":
            return super().full_clean()
        try:
            attempts.begin(self.user.email, self.counted_as)
        except TooMany as refused:
            self._errors = forms.utils.ErrorDict()
            self.cleaned_data: dict[str, Any] = {}
            self.add_error(None, forms.ValidationError(refused.message, code=refused.code))
            return None
        super().full_clean()
        if not self.errors:
            attempts.succeeded(self.user.email, self.counted_as)
        return None


class _OneTime(_Throttled):
    counted_as = _CODES
    authenticator: Authenticator
    _emit_authentication_failed: Callable[[Authenticator], None]  # of allauth's form, beside this one

    def clean_code(self) -> str:
        """Look at one code of a person after the other, so that two at the same moment do not both count."""
        with transaction.atomic():
            User.objects.select_for_update().get(pk=self.user.pk)
            try:
                return self._checked()
            except forms.ValidationError as error:
                wrong = error  # what was written about the failure is kept
        raise wrong

    def _checked(self) -> str:
        code: str = self.cleaned_data["code"]
        app = Authenticator.objects.filter(user=self.user, type=Authenticator.Type.TOTP).first()
        found = app if app and app.wrap().validate_code(code) else recovery_codes.use(self.user, code)
        if found is None:
            self._tell_failure()
            raise get_adapter().validation_error("incorrect_code")
        if found == app and not _use_up(app, code):
            raise forms.ValidationError("This code was used already. Wait for the next one.", code="used_code")
        found.user = self.user
        self.authenticator = found
        return code

    def _tell_failure(self) -> None:
        """Have a wrong code written down once, of the app where there is one."""
        typed = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
        kinds = {one.type: one for one in Authenticator.objects.filter(user=self.user, type__in=typed)}
        if tried := kinds.get(typed[0], kinds.get(typed[1])):
            self._emit_authentication_failed(tried)


class CodeForm(_OneTime, AuthenticateForm):  # type: ignore[misc]
    """The code of an app, or a recovery code, while signing in."""


class CodeAgainForm(_OneTime, ReauthenticateForm):  # type: ignore[misc]
    """The same before something that matters is changed."""


class NewAppForm(_Throttled, ActivateTOTPForm):  # type: ignore[misc]
    """The first code of a new app."""

    counted_as = _NEW_APP


class PasswordAgainForm(_Throttled, PasswordAgain):  # type: ignore[misc]
    """The password before something that matters is changed."""

    counted_as = PASSWORD_AGAIN


def _use_up(authenticator: Authenticator, code: str) -> bool:
    """Remember a code while it would hold; return whether it is its first use, however spelled, in any process."""
    mark, now = sha256(normalize_user_code(code).encode()).hexdigest()[:16], time.time()
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        used = {seen: at for seen, at in row.data.get("used", {}).items() if now - at < _REMEMBERED}
        is_first = mark not in used
        row.data["used"] = used | {mark: now}
        row.save(update_fields=["data"])
    authenticator.data = row.data
    return is_first


def is_set_up(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the person has an app or a passkey; recovery codes alone are none."""
    found: bool = Authenticator.objects.filter(user=user, type__in=PRIMARY).exists()
    return found


# What allauth tells of (AccountsConfig.ready)


def on_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.TOTP:
        _use_up(authenticator, request.POST.get("code", ""))
    _record(user, "second_factor_added", authenticator)
    if authenticator.type not in PRIMARY:
        return
    assurance.note(request.session)
    # whoever sets one up has shown it, and may see its recovery codes
    record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)
    if not Authenticator.objects.filter(user=user, type__in=PRIMARY).exclude(pk=authenticator.pk).exists():
        sessions.end_others(request, user)  # they were opened with less than is asked for from now on


def on_removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "second_factor_removed", authenticator)


def on_used(request: HttpRequest, user: User, authenticator: Authenticator, **how: Any) -> None:
    assurance.note(request.session)
    if how.get("reauthenticated"):
        sessions.renew(request)
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        _record(user, "recovery_code_used", authenticator)


def on_failed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "second_factor_failed", authenticator)


def _record(user: User, act: str, authenticator: Authenticator) -> None:
    audit.record_everywhere(user, act, data={"kind": str(authenticator.type)})
