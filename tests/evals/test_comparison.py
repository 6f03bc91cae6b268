"""The statistics of repeats and of two versions, against values worked out by hand and against their laws."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.comparison import (
    Case,
    Verdict,
    agreement,
    change,
    compare,
    in_both_orders,
    is_flaky,
    majority,
    mcnemar,
    mean,
    pass_at,
    preference,
    summary,
)
from evals.comparison.paired import bootstrap


def a_case(name: str, *scores: float) -> Case:
    return Case(name, scores, tuple(score >= 0.5 for score in scores))


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k_with_a_pass(passed: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(passed)))
    choices = list(combinations(passed, k))
    assert pass_at(k, len(passed), sum(passed)) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_more_than_there_are_tries_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@4"):
        pass_at(4, 3, 3)


@pytest.mark.parametrize(
    ("passed", "flaky"), [((), False), ((True, True), False), ((False, False), False), ((True, False), True)]
)
def test_flaky_is_what_passes_once_and_fails_another_time(passed: tuple[bool, ...], flaky: bool) -> None:
    assert is_flaky(passed) is flaky


def test_a_summary_counts_each_case_alike_and_leaves_out_what_could_not_be_scored() -> None:
    found = summary([a_case("a", 1, 1, 1), a_case("b", 1, 0), a_case("c", 0, 0, 0), a_case("lost")])
    assert (found.cases, found.mean, found.pass_rate) == (3, 0.5, 0.5)
    assert found.pass_at == pytest.approx((0.5, 2 / 3))
    assert found.flaky == ("b",)
    nothing = summary([a_case("lost")])
    assert (nothing.cases, nothing.mean, nothing.pass_rate, nothing.pass_at) == (0, None, None, ())


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (1, 8, 0.0390625), (3, 3, 1.0)]
)
def test_mcnemar_is_exact(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p)
    assert mcnemar(lost, gained) == pytest.approx(p)


def test_mcnemar_of_very_many_cases_is_a_number() -> None:
    assert 0 <= mcnemar(3_000, 2_000) < 1e-9


def test_a_clear_gain_is_better_and_a_clear_loss_worse() -> None:
    low = [a_case(f"c{n}", 0.2 + 0.01 * (n % 3)) for n in range(20)]
    high = [a_case(f"c{n}", 0.8 + 0.01 * (n % 5)) for n in range(20)]
    gain, loss = compare(low, high, seed=7), compare(high, low, seed=7)
    assert gain is not None
    assert loss is not None
    assert (gain.verdict, loss.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert gain.low <= gain.difference <= gain.high
    assert (gain.better, gain.same, gain.worse) == (20, 0, 0)
    assert (gain.gained, gain.lost, gain.p < 0.001) == (20, 0, True)
    assert loss.difference == pytest.approx(-gain.difference)


def test_noise_is_no_clear_difference_and_says_how_wide_it_is() -> None:
    a = [a_case(f"c{n}", (n * 7 % 10) / 10) for n in range(30)]
    b = [a_case(f"c{n}", (n * 3 % 10) / 10) for n in range(30)]
    found = compare(a, b, seed=1)
    assert found is not None
    assert found.verdict is Verdict.UNCLEAR
    assert 0 < found.width < 0.5


def test_a_few_cases_are_never_a_clear_difference() -> None:
    for count, verdict in ((5, Verdict.UNCLEAR), (6, Verdict.BETTER)):
        found = compare([a_case(f"c{n}", 0) for n in range(count)], [a_case(f"c{n}", 1) for n in range(count)], seed=1)
        assert found is not None
        assert found.verdict is verdict


def test_the_noise_of_the_last_digits_is_no_change() -> None:
    a = [a_case(f"c{n}", 0.1, 0.2, 0.3) for n in range(8)]
    b = [a_case(f"c{n}", 0.3, 0.2, 0.1) for n in range(8)]
    assert sum(a[0].scores) != sum(b[0].scores)
    found = compare(a, b, seed=1)
    assert found is not None
    assert (found.verdict, found.better, found.same, found.worse) == (Verdict.UNCLEAR, 0, 8, 0)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_a_mean_is_not_just_below_what_it_is() -> None:
    assert mean([0.7, 0.8, 0.9, 0.6, 0.7, 0.8, 0.9, 0.6, 0.8, 0.7]) == 0.75
    assert change(0.8, 0.7) == -0.1


def test_only_cases_that_both_have_are_compared() -> None:
    a = [a_case("one", 1), a_case("two", 1), a_case("lost")]
    b = [a_case("two", 0), a_case("lost", 1), a_case("new", 1)]
    found = compare(a, b, seed=1)
    assert found is not None
    assert (found.cases, found.differences) == (1, (("two", -1.0),))
    assert compare(a, [a_case("new", 1)], seed=1) is None


@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_interval_within_what_was_seen(differences: list[float], seed: int) -> None:
    low, high = bootstrap(differences, seed)
    assert (low, high) == bootstrap(differences, seed)
    assert min(differences) - 1e-9 <= low <= high <= max(differences) + 1e-9


# Judge and people


def test_cohens_kappa_is_that_of_the_known_table() -> None:
    """The table of 50 applications that both readers accept, one alone does, or neither: kappa is 0.4."""
    found = agreement([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15)
    assert (found.both_pass, found.judge_alone, found.people_alone, found.neither) == (20, 5, 10, 15)
    assert (found.answers, found.agreed, found.kappa) == (50, 0.7, 0.4)


@pytest.mark.parametrize(
    ("pairs", "agreed", "kappa"),
    [
        ([], None, None),
        ([(True, True)] * 9, 1.0, None),  # both always pass: chance would agree as well
        ([(True, True), (False, False)], 1.0, 1.0),
        ([(True, False), (False, True)], 0.0, -1.0),
        ([(True, True), (True, False)], 0.5, 0.0),
    ],
)
def test_kappa_is_left_open_where_chance_explains_everything(
    pairs: list[tuple[bool, bool]], agreed: float | None, kappa: float | None
) -> None:
    found = agreement(pairs)
    assert (found.agreed, found.kappa) == (agreed, kappa)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_kappa_is_the_same_whoever_is_called_the_judge_and_never_above_1(pairs: list[tuple[bool, bool]]) -> None:
    one, other = agreement(pairs), agreement((people, judge) for judge, people in pairs)
    assert one.kappa == other.kappa
    assert one.kappa is None or -1 <= one.kappa <= 1
    if one.kappa == 1:
        assert one.agreed == 1


@pytest.mark.parametrize(
    ("said", "most"), [([], None), ([True], True), ([True, False], None), ([True, False, False], False)]
)
def test_people_say_what_most_of_them_say(said: list[bool], most: bool | None) -> None:
    assert majority(said) is most


# Pairs


@pytest.mark.parametrize(
    ("forwards", "backwards", "outcome", "swayed"),
    [
        ("b", "b", 1, False),
        ("a", "a", -1, False),
        ("tie", "tie", 0, False),
        ("a", "b", 0, True),
        ("b", "a", 0, True),
        ("b", "tie", 0, False),
        ("tie", "a", 0, False),
    ],
)
def test_only_what_is_named_in_both_orders_wins(forwards: str, backwards: str, outcome: int, swayed: bool) -> None:
    assert in_both_orders(forwards, backwards) == (outcome, swayed)


def test_each_case_counts_once_for_whoever_won_more_of_its_pairs() -> None:
    found = preference({"a": [1, 1, -1], "b": [1, -1, 0], "c": [-1, 0, 0], "lost": []})
    assert found is not None
    assert (found.cases, found.won, found.tied, found.lost, found.p) == (3, 1, 1, 1, 1.0)
    assert found.verdict is Verdict.UNCLEAR
    assert preference({"lost": []}) is None


@pytest.mark.parametrize(
    ("won", "lost", "verdict"),
    [(6, 0, Verdict.BETTER), (5, 0, Verdict.UNCLEAR), (0, 6, Verdict.WORSE), (8, 1, Verdict.BETTER)],
)
def test_a_preference_is_clear_where_the_sign_test_says_so(won: int, lost: int, verdict: Verdict) -> None:
    pairs = {f"w{n}": [1] for n in range(won)} | {f"l{n}": [-1] for n in range(lost)}
    ties = {f"t{n}": [0] for n in range(30)}
    found = preference(pairs | ties)
    assert found is not None
    assert (found.verdict, found.p) == (verdict, mcnemar(won, lost))
