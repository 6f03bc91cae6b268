"""Schedules in plain words, and the choices of a form that stand for five cron fields."""

import re
from collections.abc import Mapping
from datetime import datetime

from accounts.errors import Invalid

EVERY = (
    ("hour", "Every hour"),
    ("day", "Every day"),
    ("weekdays", "Monday to Friday"),
    ("week", "Every week"),
    ("month", "Every month"),
    ("cron", "By a cron text"),
)
WEEKDAYS = (
    *(("1", "Monday"), ("2", "Tuesday"), ("3", "Wednesday"), ("4", "Thursday")),
    *(("5", "Friday"), ("6", "Saturday"), ("0", "Sunday")),
)
FIRST: Mapping[str, str] = {"every": "day", "time": "09:00", "weekday": "1", "monthday": "1", "minute": "0", "cron": ""}
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_SIMPLE = re.compile(r"(\d{1,2}) (\*|\d{1,2}) (\*|\d{1,2}) \* (\*|1-5|[0-7])")


def cron_of(typed: Mapping[str, str]) -> str:
    """Return the cron text of what was chosen; raise Invalid `bad_cron` where it cannot be read."""
    every = typed.get("every", "")
    if every == "cron":
        return typed.get("cron", "").strip()
    if every == "hour":
        return f"{_number(typed, 'minute', 59)} * * * *"
    found = _TIME.fullmatch(typed.get("time", "").strip())
    if found is None:
        raise Invalid("Write a time of day such as 09:00.", code="bad_cron", where="/time")
    at = f"{int(found[2])} {int(found[1])}"
    days = {"day": "* * *", "weekdays": "* * 1-5"}
    if every == "week":
        return f"{at} * * {_number(typed, 'weekday', 6)}"
    if every == "month":
        return f"{at} {_number(typed, 'monthday', 31)} * *"
    if every not in days:
        raise Invalid("Choose how often.", code="bad_cron", where="/every")
    return f"{at} {days[every]}"


def typed_of(text: str) -> dict[str, str]:
    """Return the choices that make this cron text."""
    return {**FIRST, **(_choices(text) or {"every": "cron"}), "cron": text}


def words(text: str) -> str:
    """Return when a schedule is due, as a person would say it."""
    typed = _choices(text)
    if typed is None:
        return f"by the schedule {text}"
    match typed["every"]:
        case "hour":
            return f"every hour at minute {typed['minute']}"
        case "week":
            return f"every {dict(WEEKDAYS)[typed['weekday']]} at {typed['time']}"
        case "month":
            return f"on day {typed['monthday']} of every month at {typed['time']}"
        case "weekdays":
            return f"Monday to Friday at {typed['time']}"
        case _:
            return f"every day at {typed['time']}"


def moment(at: datetime) -> str:
    """Return a moment on the clocks of its own zone: Monday 30 November, 09:00."""
    return f"{at:%A} {at.day} {at:%B}, {at:%H:%M}"


def _choices(text: str) -> dict[str, str] | None:
    found = _SIMPLE.fullmatch(text)
    if found is None:
        return None
    minute, hour, day, weekday = found.groups()
    if hour == "*":
        return {"every": "hour", "minute": minute} if (day, weekday) == ("*", "*") else None
    time = {"time": f"{int(hour):02}:{int(minute):02}"}
    if day != "*":
        return {"every": "month", "monthday": day, **time} if weekday == "*" else None
    if weekday in ("*", "1-5"):
        return {"every": "day" if weekday == "*" else "weekdays", **time}
    return {"every": "week", "weekday": str(int(weekday) % 7), **time}


def _number(typed: Mapping[str, str], name: str, most: int) -> int:
    text = typed.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= most):
        raise Invalid(f"Write a number up to {most}.", code="bad_cron", where=f"/{name}")
    return int(text)
