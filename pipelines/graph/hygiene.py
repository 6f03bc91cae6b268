"""Bytes to clean JSON: what no part of the system can store or compare is refused here, with its place.

Duplicate keys, NUL, lone surrogates, numbers that are not finite or beyond 64 bits, and too much of anything.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown

MAX_BYTES = 2_000_000
MAX_IMPORT_BYTES = 5_000_000
MAX_DEPTH = 64
MAX_VALUES = 300_000
_LONGEST_INTEGER = 20

# A value on its way through the tree: itself, the key that led to it, and the entry it hangs on.
_Entry = tuple[Json, str | int, Any]


class _Repeated(dict[str, Json]):
    """An object that named one key twice; `repeated` says which."""

    repeated: str = ""


def load(raw: bytes | str, max_bytes: int = MAX_BYTES) -> Json:
    """Return the JSON value of a text; raise Refusal for one that is too large or not JSON.

    The value is not clean yet: give it to `check`, which knows the place of a repeated key or a broken text.
    """
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise Refusal("too_large", f"This document has {size:,} bytes; at most {max_bytes:,} are allowed.")
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise Refusal("not_json", f"This is not UTF-8 text: byte {error.start} is broken.") from None
    except json.JSONDecodeError as error:
        message = f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise Refusal("not_json", message) from None
    except RecursionError:
        raise Refusal("too_deep", f"This document nests deeper than {MAX_DEPTH} levels.") from None


def check(root: Json) -> None:
    """Refuse a value that is not clean JSON or not within the limits. Walks without recursion."""
    level: list[_Entry] = [(root, "", None)]
    depth = count = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            message = f"This document nests deeper than {MAX_DEPTH} levels."
            raise Refusal("too_deep", message, _where(level[0]))
        # Counted before they are unfolded, so that a million values cost no time.
        count += sum(len(entry[0]) for entry in level if isinstance(entry[0], dict | list))
        if count > MAX_VALUES:
            largest = max(level, key=lambda entry: len(entry[0]) if isinstance(entry[0], dict | list) else 0)
            raise Refusal("too_large", f"This document has more than {MAX_VALUES:,} values.", _where(largest))
        level = [child for entry in level for child in _children(entry)]


def _children(entry: _Entry) -> Iterator[_Entry]:
    value = entry[0]
    if isinstance(value, str):
        _check_text(value, entry)
    elif isinstance(value, dict):
        yield from _members(value, entry)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield item, index, entry
    elif value is not None:
        _check_number(value, entry)


def _members(value: dict[str, Json], entry: _Entry) -> Iterator[_Entry]:
    if isinstance(value, _Repeated):
        message = f"The key {shown(value.repeated)} stands twice in this object."
        raise Refusal("duplicate_key", message, _where((None, value.repeated, entry)))
    for key, item in value.items():
        if not isinstance(key, str):
            raise Refusal("not_json", f"Keys must be text, not {shown(key)}.", _where(entry))
        _check_text(key, entry)
        yield item, key, entry


def _check_text(text: str, entry: _Entry) -> None:
    if "\x00" in text:
        raise Refusal("bad_text", "This text holds a NUL character, which cannot be stored.", _where(entry))
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            message = "This text holds half of a character (a lone surrogate), which cannot be stored."
            raise Refusal("bad_text", message, _where(entry)) from None


def _check_number(value: Json, entry: _Entry) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refusal("bad_number", "This number is not finite or beyond what can be stored.", _where(entry))
    elif not isinstance(value, int):
        raise Refusal("not_json", f"This must be JSON, not {shown(value)}.", _where(entry))
    elif not -(2**63) <= value < 2**63:
        raise Refusal("bad_number", "This whole number does not fit 64 bits.", _where(entry))


def _where(entry: _Entry | None) -> str:
    parts: list[str | int] = []
    while entry is not None and entry[2] is not None:
        parts.append(entry[1])
        entry = entry[2]
    # A key with half a character in it must not make the answer itself unsendable.
    return pointer("", *reversed(parts)).encode("utf-8", "replace").decode("utf-8")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    marked = _Repeated(found)
    marked.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _integer(text: str) -> int | float:
    """Python refuses to read very long integers, and takes quadratic time for long ones: let the check refuse them."""
    return int(text) if len(text) <= _LONGEST_INTEGER else math.inf
