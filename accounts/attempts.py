"""The sign-in throttle: ten failures per email and address in fifteen minutes, a hundred per address, then told.

They are counted in the database, for all servers together.
A failure is told to the audit log by a worker: were it written at once, the time of the answer would say whether the
email is somebody's.
"""

import logging
from datetime import timedelta
from typing import NoReturn

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.errors import TooMany
from accounts.models import LoginAttempt, User

log = logging.getLogger("baton.sign_in")

MOST = 10
MOST_OF_CLIENT = 100
"""Of all emails together: whoever tries a list of other people's emails and passwords tries each once."""
WINDOW = timedelta(minutes=15)
AT_ONCE = 500


def sign_in(email: str, address: str) -> LoginAttempt:
    """Count one attempt to sign in, of the email and of the client whatever emails it tries; as `begin`."""
    since = timezone.now() - WINDOW
    tried = LoginAttempt.objects.filter(address=address, at__gte=since, forgiven=False)
    if address and tried[:MOST_OF_CLIENT].count() >= MOST_OF_CLIENT:
        _refuse()
    return begin(email, address)


def begin(email: str, address: str) -> LoginAttempt:
    """Count one attempt before the password is looked at; raises TooMany, and then it is not counted.

    Counting first keeps a burst of parallel guesses from all passing the check together.
    """
    since = timezone.now() - WINDOW
    LoginAttempt.objects.filter(Q(failed=False) | Q(told=True), at__lt=since).delete()
    mine = LoginAttempt.objects.create(email=email, address=address)
    counted = LoginAttempt.objects.filter(email=email, address=address, at__gte=since, forgiven=False)
    if counted.count() > MOST:
        mine.delete()
        _refuse()
    return mine


def _refuse() -> NoReturn:
    seconds = int(WINDOW.total_seconds())
    raise TooMany(f"Too many failed sign-ins. Wait {seconds // 60} minutes, then try again.", seconds)


def failed(attempt: LoginAttempt) -> None:
    """Have an attempt told that was wrong; the same work whoever's the email is."""
    LoginAttempt.objects.filter(pk=attempt.pk).update(failed=True)


def succeeded(email: str, address: str) -> None:
    """Forgive the failures of this email and address, once the person is inside."""
    rows = LoginAttempt.objects.filter(email=email, address=address)
    rows.filter(failed=False).delete()
    rows.update(forgiven=True)


def tell() -> None:
    """Write what failed into the audit log of each workspace of its person, and the log; called by the workers' poll.

    Emails that nobody has stand nowhere: somebody may have typed a password in their place.
    """
    waiting = LoginAttempt.objects.filter(failed=True, told=False).order_by("pk")[:AT_ONCE]
    for email, address in set(waiting.values_list("email", "address")):
        with transaction.atomic():
            _tell(email, address)


def _tell(email: str, address: str) -> None:
    rows = LoginAttempt.objects.select_for_update(skip_locked=True).filter(failed=True, told=False)
    mine = list(rows.filter(email=email, address=address).values_list("pk", flat=True))
    if not mine:
        return  # another worker tells it
    LoginAttempt.objects.filter(pk__in=mine).update(told=True)
    user = User.objects.filter(email=email).first()
    if user:
        audit.record_everywhere(user, "sign_in_failed", data={"from": address, "times": len(mine)})
    whose = user.email if user else "an email that nobody has"
    log.warning("%d sign-ins failed with %s from %s", len(mine), whose, address or "somewhere")
