"""Figures as people read them: money with the precision it has, durations, clock times, shares."""

import datetime as dt

from pipelines.graph.money import MICROS, in_dollars


def money(micros: int | None) -> str:
    """Return micro-dollars as "$1.16" or "$0.000412"; an unknown amount is said, never counted as $0."""
    return "unknown price" if micros is None else in_dollars(micros)


def short_money(micros: int | None) -> str:
    """Return an amount for a glance: cents from a dollar up, below it three digits; never 0 for something."""
    if micros is None:
        return "unknown price"
    if abs(micros) >= MICROS:
        return money(round(micros, -4))
    digits = max(len(str(abs(micros))) - 3, 0)
    return money(round(micros, -min(digits, 4)))


def duration(seconds: float | None, *, rough: bool = False) -> str:
    """Return seconds as "4.1 s", "4 m 12 s", "2 h 05 m" or "3 d 4 h"; `rough` drops tenths and the smaller unit."""
    if seconds is None:
        return ""
    if seconds < 0.05 and not rough:
        return "<0.1 s"
    if seconds < 10 and not rough:
        return f"{seconds:.1f} s"
    total = int(seconds)
    for size, name, below, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if total >= size:
            rest = total % size // below
            return f"{total // size} {name}" if rough else f"{total // size} {name} {rest:02d} {smaller}"
    return f"{total} s"


def count(number: int | None) -> str:
    """Return a whole number with thousands separated."""
    return "" if number is None else f"{number:,}"


def share(part: int, whole: int | None) -> float:
    """Return a part of a whole in percent; 0 where there is no whole."""
    return part * 100 / whole if whole else 0.0


def percent(part: int, whole: int | None) -> str:
    """Return "62%", or nothing where there is no whole."""
    return f"{share(part, whole):.0f}%" if whole else ""


def clock(local: dt.datetime, now: dt.datetime, style: str = "short") -> str:
    """Return a moment as "15:42" today, "Mon 09:00" within a week, else "12 Nov 09:00"; `exact` adds seconds."""
    time = local.strftime("%H:%M:%S" if style == "exact" else "%H:%M")
    days = abs((local.date() - now.date()).days)
    if days == 0 and style != "date":
        return time
    if style == "date":
        return local.strftime("%-d %b" if local.year == now.year else "%-d %b %Y")
    return f"{local.strftime('%a' if days < 7 else '%-d %b')} {time}"
