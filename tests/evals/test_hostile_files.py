"""Files of other tools that mean harm or are broken: each is read or refused by name, and none takes long."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import Invalid
from evals import cases, formats
from evals.formats.reading import MOST_CASES, MOST_PROBLEMS
from tests.evals.test_formats import GOLDENS, PROMPTFOO, PYDANTIC
from tests.people import a_team, bearer

FILES: dict[str, Any] = {"pydantic-evals": PYDANTIC, "promptfoo": PROMPTFOO, "deepeval": GOLDENS}
LISTS = {"pydantic-evals": "cases", "promptfoo": "tests", "deepeval": "goldens"}
ONE = {"name": "same", "description": "same", "inputs": "x", "input": "x", "vars": {"text": "x"}}


def nested(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"type": value}
    return value


HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**63, 2**1023, -(10**6000), 1e308, float("nan"), float("inf"),
    "", " ", "\0", "\ud800", "x" * 100_000, "(?=x)", "${input.text}", "file://x",
    [], [[]], [None], [1], ["x"], [{}], {}, {"": None},
    {"type": 1}, {"type": []}, {"type": "x"}, {"name": {}}, [{"name": 7}, "a", None], {"value": {}}, {"x": 1, "y": 2},
    nested("x", 60), nested("x", 250), nested("x", 5_000),
)  # fmt: skip


def places(value: Any, *trail: Any) -> Iterator[tuple[Any, ...]]:
    yield trail
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, *trail, key)


def put(data: Any, trail: tuple[Any, ...], value: Any) -> Any:
    if not trail:
        return value
    found = copy.deepcopy(data)
    within = found
    for part in trail[:-1]:
        within = within[part]
    within[trail[-1]] = value
    return found


def brought(name: str, data: Any) -> None:
    """Read a file as far as it goes, and write what came of it; nothing but the named errors may come out."""
    try:
        found = formats.read(name, data, "text")
        read = [cases.as_json(case) for case in cases.read(found.cases)]
    except (ValueError, Invalid):
        return
    for other in formats.FORMATS:
        formats.write(other, read, "text")


@pytest.mark.parametrize(
    ("name", "trail"), [(name, trail) for name, data in FILES.items() for trail in places(data)], ids=str
)
def test_whatever_stands_at_a_place_the_file_is_read_or_refused(name: str, trail: tuple[Any, ...]) -> None:
    for hostile in HOSTILE:
        brought(name, put(FILES[name], trail, hostile))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "value", "threshold", "assert", "vars", "name", "inputs", "input", "evaluators", "x"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(formats.FORMATS), st.lists(JSON, max_size=4), st.dictionaries(st.text(max_size=9), JSON))
def test_whatever_is_in_the_list_the_file_is_read_or_refused(
    name: str, items: list[Any], beside: dict[str, Any]
) -> None:
    brought(name, {**beside, LISTS[name]: [*items, *({**ONE, **one} for one in items if isinstance(one, dict))]})


@pytest.mark.parametrize("name", formats.FORMATS)
def test_more_cases_than_a_dataset_has_are_refused_before_one_is_read(name: str) -> None:
    class Unread(dict[str, Any]):
        def get(self, *_: object) -> Any:
            raise AssertionError("It was read.")

    with pytest.raises(ValueError, match=r"has 2,001 .* 2,000 cases at most"):
        formats.read(name, {LISTS[name]: [Unread(ONE)] * (MOST_CASES + 1)})


@pytest.mark.parametrize("name", formats.FORMATS)
def test_cases_of_one_name_are_told_apart(name: str) -> None:
    found = formats.read(name, [dict(ONE)] * MOST_CASES)
    names = [case["name"] for case in found.cases]
    assert (names[0], names[1], names[-1], len(set(names))) == ("same", "same (2)", "same (2000)", MOST_CASES)


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("pydantic-evals", {"evaluators": ["EqualsExpected"] * 51}),
        ("promptfoo", {"defaultTest": {"assert": [{"type": "equals", "value": "x"}] * 51}}),
    ],
)
def test_assertions_for_every_case_are_no_more_than_one_case_may_have(name: str, shared: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="more than 50 assertions"):
        formats.read(name, {**shared, LISTS[name]: [ONE]})


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("pydantic-evals", {"evaluators": [{"Equals": "x" * 10_000}]}),
        ("promptfoo", {"defaultTest": {"assert": [{"type": "equals", "value": "x" * 10_000}]}}),
        ("promptfoo", {"defaultTest": {"vars": {"text": "x" * 10_000}}}),
    ],
)
def test_what_all_cases_share_is_weighed_before_it_is_given_to_each(name: str, shared: dict[str, Any]) -> None:
    assert formats.read(name, {**shared, LISTS[name]: [ONE]})
    with pytest.raises(ValueError, match="more than 4 MB"):
        formats.read(name, {**shared, LISTS[name]: [ONE] * 500})


def test_what_was_left_out_is_named_up_to_a_limit() -> None:
    found = formats.read("deepeval", [{**ONE, **dict.fromkeys(map(str, range(5_000)), 1)}])
    assert len(found.problems) == MOST_PROBLEMS + 1
    assert "More was left out" in found.problems[-1].message


def test_what_an_assertion_shared_by_all_cases_lacks_is_named_once_and_where_it_stands() -> None:
    shared = {"defaultTest": {"assert": [{"type": "regex", "value": "(?=x)"}]}}
    found = formats.read("promptfoo", {**shared, "tests": [ONE] * 3})
    assert [problem.where for problem in found.problems if "regex" in problem.message] == ["/defaultTest/assert/0"]


@pytest.mark.django_db
@pytest.mark.parametrize("tools", [7, "crm.log", {"name": "crm.log"}, [7, None]])
def test_tools_that_are_no_list_are_named_over_the_api(tools: Any) -> None:
    team = a_team()
    body = {"name": "brought", "format": "deepeval", "data": [{"input": "x", "expected_tools": tools}]}
    alice = bearer(team.alice, team.workspace)

    answer = Client().post("/api/v1/dataset-files", body, "application/json", headers=alice)

    assert answer.status_code == 201
    assert answer.json()["problems"][0]["where"].startswith("/0/expected_tools")
