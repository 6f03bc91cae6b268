"""docs/security.md answers every requirement of level 1 and 2, and names only tests and files that are there."""

import re
from collections import Counter
from functools import cache

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
LINE = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w./-]+\.(?:py|md|html|json|js|lock|yaml|toml|in|example)|\.dockerignore)((?:::\w+)*)`")
BELOW = re.compile(r"\*([^*]+)\* (?:above|below)")
MET_BY_WHAT_IS_NOT_THERE = {"3.4.2", "6.2.10", "6.4.2"}
STATES = {"met", "not met", "does not apply"}
# The levels of the requirements of each section of ASVS 5.0.0, in their order.
LEVELS = {
    "1.1": "22",
    "1.2": "1111122223",
    "1.3": "112222222223",
    "1.4": "222",
    "1.5": "123",
    "2.1": "122",
    "2.2": "112",
    "2.3": "12223",
    "2.4": "23",
    "3.1": "3",
    "3.2": "113",
    "3.3": "12223",
    "3.4": "11222233",
    "3.5": "11122333",
    "3.6": "3",
    "3.7": "22333",
    "4.1": "12233",
    "4.2": "23333",
    "4.3": "22",
    "4.4": "1222",
    "5.1": "2",
    "5.2": "112333",
    "5.3": "113",
    "5.4": "222",
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "11223333",
    "6.4": "112233",
    "6.5": "22222333",
    "6.6": "2223",
    "6.7": "33",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "223",
    "7.6": "22",
    "8.1": "1233",
    "8.2": "1123",
    "8.3": "133",
    "8.4": "23",
    "9.1": "111",
    "9.2": "1222",
    "10.1": "22",
    "10.2": "223",
    "10.3": "22223",
    "10.4": "1111122222233333",
    "10.5": "22222",
    "10.6": "22",
    "10.7": "222",
    "11.1": "2233",
    "11.2": "22233",
    "11.3": "11233",
    "11.4": "1222",
    "11.5": "23",
    "11.6": "23",
    "11.7": "33",
    "12.1": "12233",
    "12.2": "11",
    "12.3": "22223",
    "13.1": "2333",
    "13.2": "222223",
    "13.3": "2233",
    "13.4": "1222233",
    "14.1": "22",
    "14.2": "12223333",
    "14.3": "122",
    "15.1": "12233",
    "15.2": "12233",
    "15.3": "1222222",
    "15.4": "3333",
    "16.1": "2",
    "16.2": "22222",
    "16.3": "2222",
    "16.4": "222",
    "16.5": "2223",
    "17.1": "23",
    "17.2": "22223333",
    "17.3": "22",
}


@cache
def said(path: str) -> str:
    return (ROOT / path).read_text()


def wanted() -> list[tuple[str, str]]:
    numbered = [(f"{section}.{at}", level) for section, levels in LEVELS.items() for at, level in enumerate(levels, 1)]
    return [(number, level) for number, level in numbered if level in "12"]


def test_every_requirement_of_the_first_two_levels_has_one_line() -> None:
    assert len(wanted()) == 253
    lines = LINE.findall(PAGE)
    assert [(number, level) for number, level, *_ in lines] == wanted()
    assert {state for *_, state, _ in lines} <= STATES
    assert len(re.findall(r"^\| \d+\.\d+\.\d+ ", PAGE, re.MULTILINE)) == len(lines), "a line that cannot be read"


def test_every_test_and_file_that_is_named_is_there() -> None:
    named = set(NAMED.findall(PAGE))
    assert len(named) > 100
    missing = [
        f"{path}{names}"
        for path, names in named
        if not (ROOT / path).is_file() or not all(_defines(said(path), name) for name in names.split("::")[1:])
    ]
    assert missing == []


def _defines(source: str, name: str) -> bool:
    return re.search(rf"^\s*(?:async )?(?:def|class) {name}\b", source, re.MULTILINE) is not None


def test_what_is_met_is_shown_and_what_is_not_has_its_reason() -> None:
    for number, _, _, state, shown in LINE.findall(PAGE):
        assert len(shown.strip()) > 5, number
        if state == "met" and number not in MET_BY_WHAT_IS_NOT_THERE:
            assert NAMED.search(shown) or BELOW.search(shown), number
        for heading in BELOW.findall(shown):
            assert f"## {heading}\n" in PAGE, (number, heading)


def test_the_states_are_counted_as_the_page_says() -> None:
    counted = Counter(state for *_, state, _ in LINE.findall(PAGE))
    told = dict(re.findall(r"\*(met|does not apply|not met)\* (\d+)", PAGE))
    assert told == {state: str(number) for state, number in counted.items()}


@pytest.mark.parametrize(("named", "is_there"), [("test_x", True), ("A", True), ("test_", False), ("other", False)])
def test_a_name_is_found_only_where_it_is_defined(named: str, is_there: bool) -> None:
    assert _defines("# other\nclass A:\n    async def test_x(self): ...", named) is is_there
