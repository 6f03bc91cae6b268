"""A new password by mail: asked for by anybody, answered alike, and sent by a worker to those who are known."""

from datetime import timedelta
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.utils import timezone

from accounts import attempts, audit, tokens
from accounts.access import may_come_in
from accounts.errors import Gone
from accounts.models import Letter, User

PAUSE = timedelta(minutes=2)
_PLACE = "password"
"""Stands for the email when requests of an address are counted: they are throttled whomever they name."""


def ask(email: str, address: str) -> None:
    """Have a link sent if the email is a member's. One and the same row is written, whoever that is."""
    attempts.begin(_PLACE, address)
    email = email.lower()
    with transaction.atomic():
        since = timezone.now() - PAUSE
        if not Letter.objects.filter(kind=Letter.Kind.PASSWORD, email=email, created_at__gt=since).exists():
            Letter.objects.create(kind=Letter.Kind.PASSWORD, email=email)


def receiver(email: str) -> User | None:
    """Return whom a link is for: not people of single sign-on alone, who have no password that could be lost."""
    user = User.objects.filter(email=email).first()
    if user is None or not may_come_in(user):
        return None
    only_there = not user.has_usable_password() and SocialAccount.objects.filter(user=user).exists()
    return None if only_there else user


def token_of(user: User) -> str:
    return default_token_generator.make_token(user)


def holder(user_id: UUID, token: str) -> User:
    """Return whose link this is; raises Gone for one that was used, ran out, or never was."""
    user = User.objects.filter(pk=user_id).first()
    if user is None or not may_come_in(user) or not default_token_generator.check_token(user, token):
        raise Gone("This link has ended. Ask for another on the sign-in page.", code="link_ended")
    return user


def change(user: User, password: str, act: str = "password_reset", *, tokens_too: bool = False) -> None:
    """Set the password. Every session of the person ends, and their API tokens if that is wished; no second factor."""
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        if tokens_too:
            tokens.revoke_everywhere(user)
        audit.record_everywhere(user, act)
