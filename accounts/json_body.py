"""JSON from outside: parsed within limits, and refused where PostgreSQL or a double could not keep it as it is."""

import json
import math
from collections.abc import Iterator
from typing import Any

from accounts.errors import Invalid, Refused

DEPTH = 66  # a document may nest 64 deep, inside the body's own object
_WHOLE = 2**1024  # no double reaches it
_DIGITS = 309
LONGEST_KEY = 200  # characters of a key that a pointer repeats

# The keys and indexes that lead to a value, the last one outermost. Pointers are only made to be shown: a key of a
# megabyte over a list of a million would make a million of them.
_Trail = tuple[Any, str | int] | None


class BadJson(Refused):
    code, status = "bad_json", 400


class _Repeated(dict[str, Any]):
    """An object that named a key twice, of which `json` would silently keep the last."""

    key = ""


def parse(raw: bytes) -> Any:
    """Return the value; raises BadJson, or Invalid with the JSON pointer of what cannot be kept.

    Refused are: text that is no UTF-8 or no JSON, NaN and Infinity, numbers beyond a double, NUL and lone surrogates
    in text, a key named twice, nesting beyond 64.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_int=_int, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep("") from None
    except UnicodeDecodeError as error:
        raise BadJson(f"The body is not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    check(value)
    return value


def check(value: Any) -> None:
    """Raise Invalid, with the JSON pointer, unless PostgreSQL's jsonb keeps this value and gives back the same."""
    stack: list[tuple[_Trail, int, Any]] = [(None, 1, value)]
    while stack:
        trail, depth, item = stack.pop()
        if isinstance(item, str):
            _check_text(trail, item)
        elif isinstance(item, int | float):
            _check_number(trail, item)
        elif isinstance(item, dict | list):
            if depth > DEPTH:
                raise _too_deep(_where(trail))
            stack.extend((inner, depth + 1, child) for inner, child in _children(trail, item))


def pointer(*parts: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of these keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _where(trail: _Trail) -> str:
    parts: list[str | int] = []
    while trail is not None:
        trail, part = trail
        parts.append(part[:LONGEST_KEY] if isinstance(part, str) else part)
    return pointer(*reversed(parts))


def _children(trail: _Trail, item: dict[str, Any] | list[Any]) -> Iterator[tuple[_Trail, Any]]:
    if isinstance(item, list):
        yield from (((trail, index), child) for index, child in enumerate(item))
        return
    if isinstance(item, _Repeated):
        raise Invalid(
            f"The key {item.key[:100]!r} is named twice in one object. Keep one of them.",
            code="duplicate_key",
            where=_where((trail, item.key)),
        )
    for key, child in item.items():
        _check_text(trail, key)
        yield (trail, key), child


def _check_number(trail: _Trail, number: int | float) -> None:
    fits = math.isfinite(number) if isinstance(number, float) else -_WHOLE < number < _WHOLE
    if not fits:
        raise Invalid("That number is too big: it exceeds a double.", code="number_out_of_range", where=_where(trail))


def _check_text(trail: _Trail, text: str) -> None:
    if "\0" in text:
        raise Invalid("Text cannot contain the character NUL. Remove it.", code="bad_text", where=_where(trail))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Invalid(
                f"Text cannot contain half a surrogate pair (character {error.start}). Remove it.",
                code="bad_text",
                where=_where(trail),
            ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = _Repeated(found)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            repeated.key = key.encode(errors="replace").decode()
        seen.add(key)
    return repeated


def _int(digits: str) -> int | float:
    # a longer number is out of range whatever it is, and Python takes quadratic time to read it
    return int(digits) if len(digits) <= _DIGITS + 1 else math.inf


def _no_constant(name: str) -> Any:
    raise BadJson(f"The body is not JSON: {name} is no JSON number.")


def _too_deep(where: str) -> Invalid:
    return Invalid("The body is nested deeper than 64 levels.", code="too_deep", where=where or None)
