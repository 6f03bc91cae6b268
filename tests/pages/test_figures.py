"""Figures as people read them, and forms from schemas: pure tables."""

import datetime as dt
from typing import Any

import pytest

from orchestrator_site import figures
from pipelines import schema_form
from pipelines.canvas import rounded
from runs.charts import stacked
from runs.stacks import Column, Series, Stack
from runs.words import AT_CAP, DEGRADED, DONE, FAILED, LEFT_OUT, NEEDS_YOU, WAITING, run_badge, step_badge


@pytest.mark.parametrize(
    ("micros", "exact", "glance"),
    [
        (0, "$0.00", "$0.00"),
        (1, "$0.000001", "$0.000001"),
        (412, "$0.000412", "$0.000412"),
        (31_234, "$0.031234", "$0.0312"),
        (1_160_000, "$1.16", "$1.16"),
        (5_686_459, "$5.686459", "$5.69"),
        (1_234_500_000, "$1,234.50", "$1,234.50"),
        (-9_400_000, "−$9.40", "−$9.40"),
        (None, "unknown price", "unknown price"),
    ],
)
def test_money_keeps_the_precision_it_has(micros: int | None, exact: str, glance: str) -> None:
    assert figures.money(micros) == exact
    assert figures.short_money(micros) == glance


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "<0.1 s"), (4.12, "4.1 s"), (38, "38 s"), (252, "4 m 12 s"), (7_500, "2 h 05 m"), (273_600, "3 d 04 h")],
)
def test_durations_say_two_units_at_most(seconds: float, said: str) -> None:
    assert figures.duration(seconds) == said


@pytest.mark.parametrize(
    ("days", "said"), [(0, "15:42"), (1, "Thu 15:42"), (6, "Sat 15:42"), (7, "13 Nov 15:42"), (400, "16 Oct 15:42")]
)
def test_a_moment_is_said_as_near_as_it_is(days: int, said: str) -> None:
    now = dt.datetime(2026, 11, 20, 15, 42, tzinfo=dt.UTC)
    assert figures.clock(now - dt.timedelta(days=days), now) == said


@pytest.mark.parametrize(
    ("state", "reason", "flags", "error", "badge"),
    [
        ("succeeded", None, [], None, DONE),
        ("succeeded", None, ["degraded", "cached"], None, DEGRADED),
        ("waiting", "approval", [], None, NEEDS_YOU),
        ("waiting", "timer", [], None, WAITING),
        ("failed", None, [], {"class": "tool_error"}, FAILED),
        ("failed", None, [], {"class": "budget"}, AT_CAP),
        ("failed", None, ["contained"], {"class": "timeout"}, LEFT_OUT),
    ],
)
def test_a_step_wears_one_badge(state: str, reason: str | None, flags: list[str], error: Any, badge: object) -> None:
    assert step_badge(state, reason, flags, error) == badge


def test_a_run_that_waits_for_a_person_says_so() -> None:
    assert run_badge("waiting", needs_person=True) == NEEDS_YOU
    assert run_badge("waiting") == WAITING
    assert run_badge("succeeded", needs_person=True) == DONE


SCHEMA = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "count": {"type": "integer"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "loud": {"type": "boolean"},
        "size": {"enum": ["S", "M"]},
        "extra": {"type": "object"},
        "body": {"type": "string", "maxLength": 5000, "default": "Hello"},
    },
}


def test_a_schema_becomes_inputs_in_the_authors_order() -> None:
    shown = schema_form.fields(SCHEMA)
    assert [field.name for field in shown[:2]] == ["name", "count"]
    kinds = {field.name: field.kind for field in shown}
    assert kinds == {
        "name": "text",
        "count": "number",
        "tags": "lines",
        "loud": "checkbox",
        "size": "select",
        "extra": "json",
        "body": "area",
    }
    assert next(field.text for field in shown if field.name == "body") == "Hello"


def test_a_posted_form_becomes_the_object() -> None:
    posted = {
        "field-name": "Ana",
        "field-count": "3",
        "field-tags": "a\r\n\r\nb ",
        "field-loud": "on",
        "field-size": "M",
        "field-extra": '{"a": 1}',
        "field-body": "",
    }
    found = schema_form.read(schema_form.fields(SCHEMA), posted)
    assert not found.errors
    assert found.value == {
        "name": "Ana",
        "count": 3,
        "tags": ["a", "b"],
        "loud": True,
        "size": "M",
        "extra": {"a": 1},
    }


def test_what_cannot_be_read_is_said_by_field() -> None:
    found = schema_form.read(schema_form.fields(SCHEMA), {"field-count": "three", "field-extra": "{"})
    assert set(found.errors) == {"count", "extra"}


def test_an_untouched_value_stays_exactly_as_it_was() -> None:
    values = {"amount": 1.10, "text": "a\nb", "more": {"x": [1, 2.0]}}
    shown = schema_form.fields({"properties": {"amount": {"type": "number"}}}, values)
    posted = {field.input_name: field.text.replace("\n", "\r\n") for field in shown}
    assert schema_form.read(shown, posted).value == values


def test_a_line_turns_with_round_corners() -> None:
    assert rounded([(10, 0), (10, 50)]) == "M10 0L10 50"
    assert rounded([(10, 0), (10, 40), (90, 40), (90, 80)]) == "M10 0L10 31Q10 40 19 40L81 40Q90 40 90 49L90 80"


def test_the_bars_of_a_day_add_up_to_its_height() -> None:
    first = dt.date(2026, 11, 1)
    series = [Series("a", "a", "c1", [30_000_000]), Series("b", "b", "c2", [10_000_000])]
    days = Stack("day", [Column(first, first)], series, series)
    chart = stacked(days, 50_000_000)
    heights = [float(rect.height) + 1 for rect in chart.rects]
    assert heights[0] == pytest.approx(heights[1] * 3, abs=0.2)
    assert chart.cap_y is not None
    assert stacked(days, 500_000_000).cap_y is None
