"""Each scorer: what passes, what fails, and what is an error because nothing can be said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import scorers
from evals.scorers import NOTHING, Score, Subject, Trajectory, Unscored, assertions, rubric, texts
from evals.scorers.values import StepSeen
from pipelines.graph.problems import Refusal

FAILS, PASSES = False, True
ERROR = None


def outcome(assertion: dict[str, Any], output: Any = None, **about: Any) -> bool | None:
    """Return whether an answer passes, None where it cannot be scored."""
    found = verdict(assertion, output, **about)
    if isinstance(found, Unscored):
        assert found.reason
        return ERROR
    assert 0 <= found.score <= 1
    assert found.reason
    return found.passed


def verdict(assertion: dict[str, Any], output: Any = None, **about: Any) -> Score | Unscored:
    return scorers.score(assertions.read_one(assertion), Subject(output, **about))


@pytest.mark.parametrize(
    ("assertion", "output", "expected", "result"),
    [
        ({"type": "equals"}, "yes", "yes", PASSES),
        ({"type": "equals"}, "Yes", "yes", FAILS),
        ({"type": "equals", "ignore_case": True}, "Yes", "yes", PASSES),
        ({"type": "equals"}, {"a": [1, 2.0]}, {"a": [1.0, 2]}, PASSES),
        ({"type": "equals"}, {"a": True}, {"a": 1}, FAILS),
        ({"type": "equals"}, 0, False, FAILS),
        ({"type": "equals"}, None, None, PASSES),
        ({"type": "equals", "value": None}, None, NOTHING, PASSES),
        ({"type": "equals"}, "yes", NOTHING, ERROR),
        ({"type": "contains", "value": ["refund", "30 days"]}, "A refund within 30 days.", NOTHING, PASSES),
        ({"type": "contains", "value": ["refund", "60 days"]}, "A refund within 30 days.", NOTHING, FAILS),
        ({"type": "contains", "value": ["refund", "60 days"], "match": "any"}, "A refund.", NOTHING, PASSES),
        ({"type": "contains", "value": "sorry", "match": "none"}, "Sorry, no.", NOTHING, PASSES),
        ({"type": "contains", "value": "sorry", "match": "none", "ignore_case": True}, "Sorry, no.", NOTHING, FAILS),
        ({"type": "contains", "value": '"sku": "A1"'}, {"sku": "A1"}, NOTHING, PASSES),
        ({"type": "contains"}, "yes, of course", "yes", PASSES),
        ({"type": "contains"}, "yes", "", ERROR),
        ({"type": "contains"}, "yes", NOTHING, ERROR),
        ({"type": "regex", "pattern": "^[A-Z]{2}[0-9]+$"}, "AB12", NOTHING, PASSES),
        ({"type": "regex", "pattern": "^[A-Z]{2}[0-9]+$"}, "AB12x", NOTHING, FAILS),
        ({"type": "regex", "pattern": "secret", "absent": True}, "nothing here", NOTHING, PASSES),
        ({"type": "json_field", "pointer": "/a/1", "value": 2}, {"a": [1, 2]}, NOTHING, PASSES),
        ({"type": "json_field", "pointer": "/a/2", "value": 2}, {"a": [1, 2]}, NOTHING, FAILS),
        ({"type": "json_field", "pointer": "/a/-1", "value": 2}, {"a": [1, 2]}, NOTHING, FAILS),
        ({"type": "json_field", "pointer": "/a~1b", "value": 2}, {"a/b": 2}, NOTHING, PASSES),
        ({"type": "json_field", "pointer": "", "value": 2}, 2, NOTHING, PASSES),
        ({"type": "json_field", "pointer": "/total"}, {"total": 3, "x": 1}, {"total": 3}, PASSES),
        ({"type": "json_field", "pointer": "/total"}, {"total": 3}, {"sum": 3}, ERROR),
        ({"type": "json_field", "pointer": "/total"}, {"total": 3}, NOTHING, ERROR),
        ({"type": "schema", "schema": {"type": "object", "required": ["a"]}}, {"a": 1}, NOTHING, PASSES),
        ({"type": "schema", "schema": {"type": "object", "required": ["a"]}}, {"b": 1}, NOTHING, FAILS),
        ({"type": "schema", "schema": {"type": "object"}}, "text", NOTHING, FAILS),
    ],
)
def test_what_an_output_says(assertion: dict[str, Any], output: Any, expected: Any, result: bool | None) -> None:
    assert outcome(assertion, output, expected=expected) is result


@pytest.mark.parametrize(
    ("assertion", "about", "result", "score"),
    [
        ({"type": "cost", "max_usd": "0.01"}, {"cost_micros": 10_000}, PASSES, 1.0),
        ({"type": "cost", "max_usd": "0.01"}, {"cost_micros": 40_000}, FAILS, 0.25),
        ({"type": "cost", "max_usd": "0"}, {"cost_micros": 0}, PASSES, 1.0),
        ({"type": "cost", "max_usd": "0"}, {"cost_micros": 1}, FAILS, 0.0),
        ({"type": "cost", "max_usd": "0.01"}, {"cost_micros": None}, ERROR, None),
        ({"type": "latency", "max_seconds": 2}, {"seconds": 1.5}, PASSES, 1.0),
        ({"type": "latency", "max_seconds": 2}, {"seconds": 8.0}, FAILS, 0.25),
        ({"type": "latency", "max_seconds": 2}, {}, ERROR, None),
    ],
)
def test_what_an_answer_cost_and_took(
    assertion: dict[str, Any], about: dict[str, Any], result: bool | None, score: float | None
) -> None:
    found = verdict(assertion, **about)
    assert outcome(assertion, **about) is result
    assert score is None or (isinstance(found, Score) and found.score == pytest.approx(score))


WAY = Trajectory(
    steps={
        "research": StepSeen("succeeded", "research", "tides"),
        "items": StepSeen("succeeded", "items", [], loops=3),
        "items[0].draft": StepSeen("succeeded", "draft", "one"),
        "items[1].draft": StepSeen("failed", "draft"),
        "apology": StepSeen("skipped", "apology"),
    },
    tools={"email.send@1": 2},
    questions=1,
)


@pytest.mark.parametrize(
    ("conditions", "score"),
    [
        ({"ran": ["research", "draft"]}, 1.0),
        ({"ran": ["research", "items[1].draft"]}, 0.5),
        ({"ran": ["nowhere"]}, 0.0),
        ({"skipped": ["apology", "nowhere"]}, 1.0),
        ({"skipped": ["research"]}, 0.0),
        ({"tools": {"email.send": {"min": 1, "max": 2}}}, 1.0),
        ({"tools": {"email.send@1": {"max": 1}}}, 0.0),
        ({"tools": {"crm.log": {"max": 0}}}, 1.0),
        ({"tools": {"crm.log": {"min": 1}}}, 0.0),
        ({"loops": {"items": {"max": 3}}}, 1.0),
        ({"loops": {"items": {"max": 2}}}, 0.0),
        ({"questions": {"min": 1, "max": 1}}, 1.0),
        ({"questions": {"max": 0}}, 0.0),
        ({"ran": ["research"], "skipped": ["apology"], "questions": {"max": 0}, "loops": {"items": {"min": 9}}}, 0.5),
    ],
)
def test_which_way_a_run_took(conditions: dict[str, Any], score: float) -> None:
    found = verdict({"type": "trajectory", **conditions}, trajectory=WAY)
    assert isinstance(found, Score)
    assert (found.score, found.passed) == (score, score == 1.0)


def test_a_trajectory_without_conditions_cannot_be_scored() -> None:
    assert outcome({"type": "trajectory"}, trajectory=WAY) is ERROR


def test_a_step_of_the_run_can_be_what_is_looked_at() -> None:
    assert outcome({"type": "equals", "value": "tides", "of": "research"}, "no", trajectory=WAY) is PASSES
    assert outcome({"type": "equals", "value": "tides", "of": "apology"}, "tides", trajectory=WAY) is FAILS
    assert outcome({"type": "equals", "value": "tides", "of": "nowhere"}, "tides", trajectory=WAY) is FAILS


def test_a_run_without_an_output_fails_what_looks_at_it_but_not_what_looks_at_the_run() -> None:
    broke = {"trajectory": WAY, "broke": "write was judged too low.", "cost_micros": 5}
    found = verdict({"type": "contains", "value": "none", "match": "none"}, **broke)
    assert isinstance(found, Score)
    assert (found.passed, found.reason) == (False, "There is no answer: write was judged too low.")
    assert outcome({"type": "equals", "value": "tides", "of": "research"}, **broke) is PASSES
    assert outcome({"type": "cost", "max_usd": "1"}, **broke) is PASSES


def test_similar_wording_is_about_words_and_not_about_their_case_or_order() -> None:
    assert texts.wording("The parcel is late.", "the  PARCEL is late.") == pytest.approx(1.0)
    assert texts.wording("late parcel", "parcel late") > 0.7
    assert texts.wording("The parcel is late.", "Bananas grow high up.") < 0.2
    assert outcome({"type": "similar_wording"}, "The parcel is very late.", expected="The parcel is late.") is PASSES
    assert outcome({"type": "similar_wording"}, "Bananas.", expected="The parcel is late.") is FAILS
    assert outcome({"type": "similar_wording"}, "Bananas.") is ERROR


@given(st.text(), st.text())
def test_wording_is_a_score_that_does_not_depend_on_the_side(one: str, other: str) -> None:
    found = texts.wording(one, other)
    assert 0 <= found <= 1
    assert found == pytest.approx(texts.wording(other, one))
    assert texts.wording(one, one) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ({"score": 0.7, "reason": "fine"}, PASSES),
        ({"score": 0.69, "reason": "thin"}, FAILS),
        ({"score": 1.5, "reason": "?"}, ERROR),
        ({"score": True, "reason": "?"}, ERROR),
        ({}, ERROR),
    ],
)
def test_a_judges_verdict_is_held_against_the_least_score(said: dict[str, Any], passed: bool | None) -> None:
    found = rubric.judged(assertions.read_one({"type": "rubric", "rubric": "Is it polite?"}), said, 120)
    assert found.cost_micros == 120
    assert (found.passed if isinstance(found, Score) else None) is passed


def test_a_judge_is_shown_the_answer_and_what_the_case_says_of_it() -> None:
    text = rubric.shown(Subject("Hello.", expected="Good day."), {"name": "Ida"}, ["She is a customer."])
    assert [part in text for part in ("Hello.", "Good day.", '"Ida"', "customer")] == [True] * 4
    assert "expected" not in rubric.shown(Subject("Hello."), {}, None)


@pytest.mark.parametrize(
    ("given", "where", "says"),
    [
        ({}, "/0/type", "no type"),
        ({"type": "similar"}, "/0/type", "similar_wording"),
        ({"type": "python", "value": "len(output) > 3"}, "/0/type", "code are not run"),
        ({"type": "equals", "vallue": 1}, "/0/vallue", "vallue"),
        ({"type": "regex", "pattern": "(?=x)"}, "/0/pattern", "RE2"),
        ({"type": "regex"}, "/0", "pattern"),
        ({"type": "schema", "schema": {"$ref": "http://example.com"}}, "/0/schema", ""),
        ({"type": "json_field", "pointer": "a/b"}, "/0/pointer", "begins with /"),
        ({"type": "cost", "max_usd": "lots"}, "/0/max_usd", "dollars"),
        ({"type": "contains", "value": []}, "/0/value", "1 to 20"),
        ("equals", "/0", "object"),
    ],
)
def test_an_assertion_that_cannot_be_read_is_refused_with_its_place(given: Any, where: str, says: str) -> None:
    with pytest.raises(Refusal) as refusal:
        assertions.read([given])
    assert refusal.value.where.startswith(where)
    assert says in refusal.value.message


def test_metrics_of_the_same_type_are_told_apart() -> None:
    found = assertions.read(
        [{"type": "contains", "value": "a"}, {"type": "contains", "value": "b"}, {"type": "equals", "name": "exact"}]
    )
    assert assertions.names_of(found) == ["contains", "contains 2", "exact"]
