"""Quorums, deputies and the rules of a workspace, as values: whatever is added, it only ever asks for more."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import policy, ruling
from approvals.needs import Need, Person, missing, seat
from approvals.ruling import Call, Level, Rule, applies

NOBODY: frozenset[str] = frozenset()
MANAGERS = Need(frozenset({"manager"}), NOBODY, 2, "Two managers")


def person(name: str, *roles: str, **changes: Any) -> Person:
    return Person(name, f"{name}@example.com", frozenset(roles), **changes)


def a_rule(**changes: Any) -> Rule:
    levels = (Level(frozenset({"manager"}), NOBODY),)
    return Rule(**{"id": "r", "name": "Large", "levels": levels, **changes})


def lacking(needs: list[Need], *approvers: Person, barred: frozenset[str] = NOBODY) -> int:
    return sum(lack for _, lack in missing(needs, approvers, barred))


def test_one_person_counts_once_however_many_roles_and_addresses_name_them() -> None:
    need = Need(frozenset({"reviewer", "manager"}), frozenset({"bob@example.com"}), 2)
    bob = person("bob", "reviewer", "manager", "admin")
    assert lacking([need], bob) == 1
    assert lacking([need], bob, bob) == 1
    assert lacking([need], bob, person("ben", "reviewer")) == 0


def test_one_person_may_meet_several_needs_and_everyone_only_theirs() -> None:
    own = Need(frozenset({"reviewer"}), NOBODY)
    assert lacking([own, MANAGERS], person("bob", "reviewer", "manager"), person("cat", "manager")) == 0
    assert lacking([own, MANAGERS], person("bob", "reviewer"), person("ben", "reviewer")) == 2
    assert lacking([own, MANAGERS], person("cat", "manager"), person("carol", "manager")) == 1


def test_a_deputy_takes_the_seat_of_the_absent_and_the_two_are_one() -> None:
    carol = person("carol", "manager")
    bob = person("bob", "reviewer", stands_for=(carol,))
    assert seat(MANAGERS, bob, NOBODY) == "carol"
    assert lacking([MANAGERS], bob) == 1
    assert lacking([MANAGERS], bob, carol) == 1
    assert lacking([MANAGERS], bob, person("cat", "reviewer", stands_for=(carol,))) == 1
    assert lacking([MANAGERS], bob, person("mia", "manager")) == 0


def test_a_deputy_gets_past_nobodys_bar() -> None:
    carol = person("carol", "manager")
    bob = person("bob", "reviewer", stands_for=(carol,))
    assert seat(MANAGERS, bob, frozenset({"carol"})) is None
    assert seat(MANAGERS, bob, frozenset({"bob"})) is None
    assert seat(MANAGERS, person("cat", "manager", stands_for=(carol,)), frozenset({"carol"})) == "cat"


def test_deputies_of_deputies_count_for_nothing() -> None:
    carol = person("carol", "manager")
    bob = person("bob", "reviewer", stands_for=(carol,))
    assert seat(MANAGERS, person("ann", "reviewer", stands_for=(bob,)), NOBODY) is None


def test_a_deputy_still_has_to_be_trusted_with_decisions() -> None:
    carol = person("carol", "manager")
    question = policy.Question("approve", frozenset({"manager"}), NOBODY, NOBODY)
    assert policy.may_answer(question, person("bob", "reviewer", stands_for=(carol,))) is None
    for roles in (["composer"], ["admin", "viewer", "auditor"]):
        refusal = policy.may_answer(question, person("eve", *roles, stands_for=(carol,)))
        assert refusal is not None
        assert refusal.code == "not_a_reviewer"
    budget = policy.Question("budget", frozenset({"manager"}), NOBODY, NOBODY)
    assert policy.may_answer(budget, person("bob", "reviewer", stands_for=(carol,))) is not None


REFUND = Call("refund@1", "irreversible", {"amount": 1_000, "lines": [{"sum": "12.50"}]})


@pytest.mark.parametrize(
    ("changes", "call", "expected"),
    [
        ({}, Call(), True),
        ({"tool": "refund"}, REFUND, True),
        ({"tool": "refund@1"}, REFUND, True),
        ({"tool": "refund@2"}, REFUND, False),
        ({"tool": "ref"}, REFUND, False),
        ({"tool": "refund"}, Call(), False),
        ({"effect": "irreversible"}, REFUND, True),
        ({"effect": "reversible"}, REFUND, True),
        ({"effect": "irreversible"}, Call("notes.append@1", "reversible"), False),
        ({"effect": "reversible"}, Call("notes.append@1", "reversible"), True),
        ({"effect": "reversible"}, Call("search@1", "none"), False),
        ({"effect": "irreversible"}, Call("new@1", "a word nobody knows"), True),
    ],
)
def test_a_rule_is_about_its_tools_and_effects(changes: dict[str, Any], call: Call, expected: bool) -> None:
    assert applies(a_rule(**changes), call) is expected


@pytest.mark.parametrize(
    ("pointer", "args", "reaches"),
    [
        ("/amount", {"amount": 999.99}, False),
        ("/amount", {"amount": 1000}, True),
        ("/amount", {"amount": "1000.00"}, True),
        ("/amount", {"amount": " 999 "}, False),
        ("/amount", {"amount": -1000}, True),
        ("/amount", {"amount": 10**50}, True),
        ("/lines/1/sum", {"lines": [{"sum": 1}, {"sum": 2000}]}, True),
        ("/lines/7/sum", {"lines": []}, False),
        ("/a~1b/c~0d", {"a/b": {"c~d": 1}}, False),
        ("/a~1b/c~0d", {"a/b": {"c~d": 5000}}, True),
        # No number can be made of these, so that nobody slips below a threshold by writing oddly.
        ("/amount", {"amount": "1,000"}, True),
        ("/amount", {"amount": "$5"}, True),
        ("/amount", {"amount": "NaN"}, True),
        ("/amount", {"amount": "-Infinity"}, True),
        ("/amount", {"amount": True}, True),
        ("/amount", {"amount": {"value": 5}}, True),
        ("/amount", {"amount": "9" * 5_000}, True),
        ("/amount", {}, False),
        ("/amount", {"amount": None}, False),
        ("/amount", None, False),
    ],
)
def test_an_amount_reaches_its_threshold_or_cannot_be_read(pointer: str, args: Any, reaches: bool) -> None:
    rule = a_rule(amount_at=pointer, amount_least=Decimal(1000))
    assert applies(rule, Call("refund@1", "irreversible", args)) is reaches


def test_a_rule_for_one_tool_counts_where_the_amount_is_missing() -> None:
    rule = a_rule(tool="refund", amount_at="/amount", amount_least=Decimal(1000))
    assert applies(rule, Call("refund@1", "irreversible", {}))
    assert applies(rule, Call("refund@1", "irreversible", None))


def test_each_level_asks_those_before_it_too() -> None:
    levels = (Level(frozenset({"reviewer"}), NOBODY, 60), Level(frozenset({"manager"}), frozenset({"d@example.com"})))
    first, then = ruling.need(a_rule(levels=levels), 0), ruling.need(a_rule(levels=levels), 1)
    assert (first.roles, then.roles) == ({"reviewer"}, {"reviewer", "manager"})
    assert (first.people, then.people) == (NOBODY, {"d@example.com"})


PEOPLE = st.lists(
    st.builds(
        person,
        st.sampled_from(["ann", "bob", "cat", "dan", "eve"]),
        *[st.sampled_from(["reviewer", "manager", "composer", "admin"])] * 2,
    ),
    max_size=5,
)
RULES = st.lists(
    st.builds(
        Rule,
        id=st.sampled_from(["a", "b", "c"]),
        name=st.just("Rule"),
        levels=st.tuples(
            st.builds(Level, st.sets(st.sampled_from(["reviewer", "manager"])).map(frozenset), st.just(NOBODY))
        ),
        least=st.integers(1, 3),
        amount_at=st.just("/amount"),
        amount_least=st.one_of(st.none(), st.integers(0, 2_000).map(Decimal)),
    ),
    max_size=3,
)


@given(approvers=PEOPLE, rules=RULES, least=st.integers(1, 3), amount=st.integers(0, 2_000))
def test_no_set_of_rules_lets_through_what_the_pipeline_would_not(
    approvers: list[Person], rules: list[Rule], least: int, amount: int
) -> None:
    def complete(asked: list[Rule]) -> bool:
        call = Call("refund@1", "irreversible", {"amount": amount})
        barred = frozenset({"eve"})
        question = policy.Question(
            "approve", frozenset({"reviewer"}), NOBODY, barred, min_approvals=least, rules=tuple(asked), call=call
        )
        return not policy.missing(question, approvers)

    if complete(rules):
        assert complete([])
        assert all(complete(rules[:n]) for n in range(len(rules)))
    if complete([]):
        assert len({one.id for one in approvers} - {"eve"}) >= least
