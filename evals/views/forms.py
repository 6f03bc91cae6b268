"""Reads what people type into the forms of evaluations."""

from collections.abc import Mapping

from accounts.errors import Invalid


def whole(posted: Mapping[str, str], name: str) -> int | None:
    """Return a whole number, also one written as a version (v3); Invalid `invalid_evaluation`."""
    text = posted.get(name, "").strip().lower().removeprefix("v")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Invalid(f"{text[:20]} is no whole number.", code="invalid_evaluation", where=f"/{name}")
    return int(text)


def part(posted: Mapping[str, str], name: str) -> float | None:
    """Return a percentage as a part of 1; Invalid `invalid_evaluation`."""
    text = posted.get(name, "").strip().removesuffix("%").strip()
    if not text:
        return None
    try:
        return float(text) / 100
    except ValueError:
        raise Invalid(f"{text[:20]} is no percentage.", code="invalid_evaluation", where=f"/gate/{name}") from None


def fraction(posted: Mapping[str, str], name: str) -> float | None:
    """Return a number, written with a point or a comma; Invalid `invalid_rating`."""
    text = posted.get(name, "").strip().replace(",", ".")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise Invalid(f"{text[:20]} is no number.", code="invalid_rating", where=f"/{name}") from None
