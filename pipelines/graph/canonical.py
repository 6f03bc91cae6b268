"""One byte form for each JSON value, so that equal payloads have equal digests.

Keys sorted by code point, no white space, UTF-8. Numbers are JSON numbers as Python's shortest round trip prints
them. The database keeps numbers as decimals and may give 1.0 or 1e17 back as an integer, so a float without fraction
is written as an integer where 64 bits hold it, and an integer beyond 64 bits as a float.
"""

import hashlib
import math
from typing import Any

import orjson

from pipelines.graph.model import Json

DEEPEST = 200  # levels; the encoder takes 254, and a value stands within a row


def canonical_json(value: Json) -> bytes:
    """Return the canonical bytes; raise TypeError for a value that JSON does not have."""
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def compact_json(value: Json) -> str:
    """Return a value from the database as JSON, with its keys as they come.

    The database gives 1e20 back as an integer, which the encoder refuses beyond 64 bits.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_plain(value)).decode()


def digest(value: Json) -> str:
    """Return "sha256:" and the hex SHA-256 of the canonical bytes."""
    return digest_of(canonical_json(value))


def digest_of(written: bytes) -> str:
    """Return the digest of a value whose canonical bytes are at hand."""
    return "sha256:" + hashlib.sha256(written).hexdigest()


def sanitise(value: Json) -> tuple[Json, bool]:
    """Return the value as PostgreSQL's jsonb can hold it, and whether anything had to change.

    NUL becomes U+FFFD, a lone surrogate becomes U+FFFD, and a number that is not finite becomes null; jsonb refuses
    the first two and Python reads back 1e400 as infinity. What lies deeper than can be written becomes null too.
    """
    try:
        if b"\\u0000" not in (encoded := orjson.dumps(value)) and _is_finite(value):
            del encoded
            return value, False
    except (TypeError, orjson.JSONEncodeError):
        pass
    return _clean(value), True


def _plain(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _is_finite(value: Json) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_finite(item) for item in value)
    return True


def _clean(value: Any, room: int = DEEPEST) -> Json:
    if not room:
        return None
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "�")
        case float():
            return value if math.isfinite(value) else None
        case bool() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else float(value) if abs(value) < 10**300 else None
        case dict():
            return {_clean(str(key)): _clean(item, room - 1) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, room - 1) for item in value]
        case _:
            return _clean(str(value))
