"""What a call may cost and what it did cost, in whole micro-dollars."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.lock import Price
from runs.execution import pricing
from runs.execution.models.values import Usage

TOKENS = st.integers(0, 10_000_000)
PER_MILLION = st.integers(0, 500_000_000)


def test_a_call_rounds_up_once() -> None:
    price = Price(input=100_000, output=400_000)

    assert pricing.cost(price, Usage(1, 1)) == 1  # 0.1 + 0.4
    assert pricing.cost(price, Usage(10, 0)) == 1
    assert pricing.cost(price, Usage(11, 0)) == 2
    assert pricing.cost(price, Usage(0, 0)) == 0


def test_cached_input_has_its_own_price_where_one_is_known() -> None:
    usage = Usage(1_000_000, 0, cached=600_000)

    assert pricing.cost(Price(1_000_000, 0, cached_input=100_000), usage) == 460_000
    assert pricing.cost(Price(1_000_000, 0), usage) == 1_000_000


def test_what_nobody_knows_stays_unknown() -> None:
    assert pricing.cost(None, Usage(1, 1)) is None
    assert pricing.reservation(None, 1, 1) is None


def test_the_estimate_counts_bytes_not_characters() -> None:
    assert pricing.estimated_input("äöü") == 3  # six bytes and two quotation marks, three to a token


@given(TOKENS, TOKENS, PER_MILLION, PER_MILLION)
def test_a_call_within_its_estimate_never_costs_more_than_was_reserved(
    sent: int, most: int, given_price: int, returned_price: int
) -> None:
    price = Price(given_price, returned_price)
    reserved = pricing.reservation(price, sent, most)
    settled = pricing.cost(price, Usage(sent, most))

    assert reserved == settled


@given(TOKENS, TOKENS, TOKENS, PER_MILLION, PER_MILLION)
def test_no_cost_is_negative_and_cached_tokens_never_make_it_so(
    sent: int, written: int, cached: int, given_price: int, cached_price: int
) -> None:
    cost = pricing.cost(Price(given_price, 0, cached_input=cached_price), Usage(sent, written, cached))

    assert cost is not None
    assert cost >= 0
