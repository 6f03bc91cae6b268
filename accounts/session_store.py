"""Where sessions rest: as Django keeps them, but one that nobody has signed in to yet ends within minutes.

Whoever asks for a passkey, is on the way to the provider or was told that something was wrong leaves a row before
anything is proven. Such a row goes with the next sweep after its end, as all do.
"""

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db

UNKNOWN_SECONDS = 900
"""Time enough to find one's passkey, to type a code, or to sign in at the provider, second factor and all."""


class SessionStore(db.SessionStore):
    def get_session_cookie_age(self) -> int:
        """Return for how many seconds the row and the cookie hold, unless a sign-in has set another end."""
        known: int = settings.SESSION_COOKIE_AGE
        return known if self.get(SESSION_KEY) else min(known, UNKNOWN_SECONDS)
