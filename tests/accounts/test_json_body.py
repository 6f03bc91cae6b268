"""JSON from outside: what passes is what PostgreSQL and JavaScript would keep."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import json_body
from accounts.errors import Invalid, Refused

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=20,
)


def is_kept(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_kept, value))
    if isinstance(value, dict):
        return all(is_kept(key) and is_kept(child) for key, child in value.items())
    return True


@given(values)
def test_exactly_what_can_be_kept_passes(value: Any) -> None:
    raw = json.dumps(value).encode()
    if is_kept(value):
        assert json_body.parse(raw) == value
    else:
        with pytest.raises(Refused):
            json_body.parse(raw)


@given(st.binary())
def test_no_bytes_cause_anything_but_a_refusal(raw: bytes) -> None:
    with contextlib.suppress(Refused):
        json_body.parse(raw)


def test_the_pointer_is_escaped() -> None:
    with pytest.raises(Invalid) as refused:
        json_body.parse(b'{"a/b": [{"~": "\\u0000"}]}')
    assert refused.value.where == "/a~1b/0/~0"


@pytest.mark.parametrize(("depth", "passes"), [(64, True), (json_body.DEPTH, True), (json_body.DEPTH + 1, False)])
def test_nesting_ends_at_its_limit(depth: int, passes: bool) -> None:
    raw = b"[" * depth + b"]" * depth
    if passes:
        json_body.parse(raw)
    else:
        with pytest.raises(Invalid, match="64 levels"):
            json_body.parse(raw)
