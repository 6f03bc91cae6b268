"""Money comes in as decimal text and as nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.money import dollars, micros


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("5", 5_000_000),
        ("5.00", 5_000_000),
        ("0.000001", 1),
        ("0.0000010000", 1),
        ("-1.5", -1_500_000),
        ("999999999999.999999", 999_999_999_999_999_999),
        ("007.10", 7_100_000),
    ],
)
def test_a_decimal_text_is_an_amount(text: str, amount: int) -> None:
    assert micros(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", "$5", "5,00", ".5", "5.", "+5", "--5", " 5", "5\n", "5 ", "1_000", "٣", "５", "0x5", "5e0"),
        *("NaN", "sNaN", "Infinity", "-inf", "1e400", "1e999999", "1e999999999", "1e-999999999", "9" * 5_000),
        *("0.0000001", "0." + "0" * 5_000 + "1", "1000000000000"),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|decimal places"):
        micros(text)


@pytest.mark.parametrize("value", [None, True, 5, 0.5, [], ["0", [5], 0], {}, b"5"])
def test_no_other_type_is_an_amount(value: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        micros(value)  # type: ignore[arg-type]


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_what_is_written_is_read_back(amount: int) -> None:
    assert micros(str(dollars(amount))) == amount
