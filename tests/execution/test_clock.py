"""A worker's idea of the database's time: never ahead of it, never going back, and right again when it is set anew."""

from datetime import UTC, datetime, timedelta

import pytest

from runs.execution import clock
from runs.execution.clock import DatabaseClock, Reading

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The monotonic second it is."""
    second = {"now": 0.0}
    monkeypatch.setattr(clock.time, "monotonic", lambda: second["now"])
    return second


def answered(read: DatabaseClock, at: dict[str, float], asked: float, wait: float, there: float) -> None:
    """Let the database answer a question: `there` of the `wait` seconds had gone when it looked at its clock."""
    at["now"] = asked + wait
    read.learn(Reading(NOON + timedelta(seconds=asked + there), asked, asked + wait))


def late(read: DatabaseClock, at: dict[str, float]) -> float:
    """Return how many seconds it tells less than the database's time."""
    return (NOON + timedelta(seconds=at["now"]) - read.now()).total_seconds()


@pytest.mark.parametrize("there", [0.0, 0.1, 0.4])
def test_it_is_never_ahead_of_the_database(at: dict[str, float], there: float) -> None:
    read = DatabaseClock()
    answered(read, at, 10, 0.4, there)
    assert 0 <= late(read, at) <= 0.4


def test_a_slow_answer_makes_nothing_worse_and_turns_nothing_back(at: dict[str, float]) -> None:
    read = DatabaseClock()
    answered(read, at, 10, 0.002, 0.001)
    before = read.now()
    answered(read, at, 12, 3.0, 0.0)
    assert late(read, at) < 0.003
    assert read.now() > before


def test_a_database_whose_clock_is_set_anew_is_followed(at: dict[str, float]) -> None:
    read = DatabaseClock()
    answered(read, at, 10, 0.002, 0.001)
    at["now"] = 12.002
    read.learn(Reading(NOON - timedelta(hours=1), 12.0, 12.002))
    assert read.now() == NOON - timedelta(hours=1)
