"""Whether a session has the second factor that an operator asks for: signed in with one, or through the provider."""

from typing import Any

from django.conf import settings

KEY = "second_factor"


def is_missing(session: Any) -> bool:
    """Tell whether this session, or its data, may not be worked with before a second factor was set up or shown."""
    return settings.SECOND_FACTOR == "required" and not is_noted(session)


def is_noted(session: Any) -> bool:
    """Tell whether a second factor was shown in this session, or its data."""
    return bool(session.get(KEY))


def note(session: Any) -> None:
    """Remember that a second factor was shown in this session."""
    session[KEY] = True
