"""The sign-in throttle: ten failures per email and address in fifteen minutes, counted in the database."""

from datetime import timedelta

from django.utils import timezone

from accounts.errors import Refused
from accounts.models import LoginAttempt

MOST = 10
WINDOW = timedelta(minutes=15)


class TooManyAttempts(Refused):
    code, status = "too_many_attempts", 429


def begin(email: str, address: str) -> None:
    """Count one attempt before the password is looked at; raises TooManyAttempts, and then it is not counted.

    Counting first keeps a burst of parallel guesses from all passing the check together.
    """
    since = timezone.now() - WINDOW
    LoginAttempt.objects.filter(at__lt=since).delete()
    mine = LoginAttempt.objects.create(email=email, address=address)
    if LoginAttempt.objects.filter(email=email, address=address, at__gte=since).count() > MOST:
        mine.delete()
        minutes = int(WINDOW.total_seconds()) // 60
        raise TooManyAttempts(f"Too many failed sign-ins. Wait {minutes} minutes, then try again.")


def succeeded(email: str, address: str) -> None:
    """Forget the failures of this email and address."""
    LoginAttempt.objects.filter(email=email, address=address).delete()
