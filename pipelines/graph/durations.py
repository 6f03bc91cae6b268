"""ISO 8601 durations of days, hours, minutes and seconds (no months: their length is not fixed)."""

import re2

_PATTERN = re2.compile(r"^P(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?$")


def seconds(duration: str) -> float:
    """Return the length in seconds; raise ValueError when it is not such a duration."""
    match = _PATTERN.match(duration)
    if not match or not any(match.groups()):
        raise ValueError(f"{duration!r} is not a duration such as PT90S, PT2M, PT1H or P3D.")
    days, hours, minutes, secs = (int(part or 0) for part in match.groups())
    return float(days * 86_400 + hours * 3_600 + minutes * 60 + secs)
