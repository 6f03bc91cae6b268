import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.editor import conditions
from pipelines.editor.conditions import OPERATORS, WITHOUT_VALUE, Condition, Conditions
from pipelines.graph.expressions import evaluate

SIMPLE = [
    ("input.amount > 100", [Condition("input.amount", ">", "100")]),
    ("steps.a.output.kind == 'refund'", [Condition("steps.a.output.kind", "==", "refund")]),
    ("x.ok == true", [Condition("x.ok", "==", "true")]),
    ("x.text == '12'", [Condition("x.text", "==", "'12'")]),
    ("x.n >= -1.5", [Condition("x.n", ">=", "-1.5")]),
    ("input.message.matches('(?i)invoice|refund')", [Condition("input.message", "matches", "(?i)invoice|refund")]),
    ("!x.text.contains('it\\'s')", [Condition("x.text", "!contains", "it's")]),
    ("size(steps.a.output) > 200", [Condition("steps.a.output", "longer", "200")]),
    ("has(x.y)", [Condition("x.y", "has")]),
    ("!has(x.y)", [Condition("x.y", "!has")]),
    ("steps.review.output.good", [Condition("steps.review.output.good", "true")]),
    ("!x.done", [Condition("x.done", "false")]),
]


@pytest.mark.parametrize(("expression", "rows"), SIMPLE)
def test_a_plain_condition_is_a_row(expression: str, rows: list[Condition]) -> None:
    found = conditions.read(expression)
    assert found is not None
    assert list(found.rows) == rows
    assert conditions.read(conditions.write(found)) == found


def test_conditions_join_by_and_or_by_or() -> None:
    both = conditions.read("a.x > 1 && b.y == 'z' && c.d")
    either = conditions.read("a.x > 1 || has(b.y)")
    assert both is not None
    assert either is not None
    assert (both.every, len(both.rows)) == (True, 3)
    assert (either.every, len(either.rows)) == (False, 2)
    assert conditions.write(either) == "a.x > 1 || has(b.y)"


@pytest.mark.parametrize(
    "expression",
    [
        "a.x > b.y",
        "a.x + 1 > 2",
        "(a.x > 1 || b.y) && c.d",
        "[1, 2].exists(n, n > a.x)",
        "a.x >",
        "a ? b : c",
        "1 > a.x",
    ],
)
def test_what_rows_cannot_say_stays_an_expression(expression: str) -> None:
    assert conditions.read(expression) is None


def test_nothing_is_no_condition() -> None:
    assert conditions.read("  ") == Conditions()
    assert conditions.write(Conditions([Condition(), Condition("", "==", "5")])) == ""


def test_a_picked_value_may_come_as_a_template() -> None:
    assert conditions.write(Conditions([Condition("${input.x}", ">", "3")])) == "input.x > 3"


rows = st.builds(
    Condition,
    path=st.sampled_from(["input.x", "steps.a.output.b", "item"]),
    op=st.sampled_from([op for op, _ in OPERATORS if op != "longer"]),
    value=st.text(max_size=20),
)


@given(st.lists(rows, min_size=1, max_size=4), st.booleans())
def test_whatever_is_typed_into_rows_is_read_back_and_is_never_more_than_a_condition(
    typed: list[Condition], every: bool
) -> None:
    expression = conditions.write(Conditions(typed, every))
    found = conditions.read(expression)
    if found is None:
        return  # too long, or a character that no expression has: the publisher says so
    assert [(row.path, row.op) for row in found.rows] == [(row.path, row.op) for row in typed]
    assert conditions.write(found) == expression or conditions.read(conditions.write(found)) == found


@given(st.text(max_size=30))
def test_text_compares_as_it_was_typed(text: str) -> None:
    value = text.strip()
    expression = conditions.write(Conditions([Condition("input.x", "==", value)]))
    if value and not conditions._is_bare(value) and value[0] not in "'\"" and "\r" not in value and value.isprintable():
        assert evaluate(expression, {"input": {"x": value}}) is True


def test_operators_without_a_value_are_operators() -> None:
    assert {op for op, _ in OPERATORS} > WITHOUT_VALUE
