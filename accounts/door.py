"""What allauth asks of us while somebody signs in: nobody signs up alone, and whoever is in is written down."""

import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.core import context
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse

from accounts import assurance, attempts, audit, second_factor, sessions
from accounts.access import may_come_in
from accounts.clients import client_of
from accounts.errors import Deactivated, Forbidden
from accounts.models import User

RECENT_SECONDS = 300


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth carries no types
    """Ends each way in alike: password, second factor, and whatever else leads through allauth's steps."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        raise Deactivated

    def login(self, request: HttpRequest, user: User) -> None:
        """Let in, after the last step, who has not been deactivated meanwhile either."""
        if not may_come_in(user):
            raise Deactivated
        super().login(request, user)

    def is_reauthentication_required(self, *, app: str, **more: Any) -> bool:
        """Ask again before a factor is changed, unless the person has only just come in, with their factor."""
        request = context.request
        records = get_authentication_records(request, request.user)
        has_factor = second_factor.is_set_up(request.user)
        if has_factor:  # a password typed again adds nothing to it
            records = [one for one in records if (one["method"], one.get("reauthenticated")) != ("password", True)]
        shown = not has_factor or assurance.is_noted(request.session)
        if shown and records and time.time() - records[-1]["at"] < RECENT_SECONDS:
            return False
        if has_factor:  # not only True: allauth would count a password that was typed before the factor came
            raise ReauthenticationRequired
        if not self.get_reauthentication_methods(request.user):
            raise Forbidden(
                "You signed in some time ago. Sign out, sign in again, then repeat this.", code="sign_in_again"
            )
        return True

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return how the person may show again who they are: with a second factor, by nothing less than that."""
        ways: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if second_factor.is_set_up(user):
            return [way for way in ways if way["id"] != "reauthenticate"]
        return ways

    def post_login(self, request: HttpRequest, user: User, **hooks: Any) -> HttpResponse:
        """Forget what failed before, write the audit entry of each workspace, and send the person on."""
        attempts.succeeded(user.email, client_of(request))
        ways = {one["method"] for one in get_authentication_records(request, user)}
        if ways & {"mfa", "socialaccount"}:
            assurance.note(request.session)
        sessions.opened(request, user)
        audit.record_everywhere(user, "signed_in", data={"ways": sorted(ways)})
        onward: HttpResponse = super().post_login(request, user, **hooks)
        return onward
