"""The poll gives its jobs their turns: each every time, or only so often."""

import pytest

from runs import dispatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """An empty poll, and this process's clock, to be set."""
    monkeypatch.setattr(dispatch, "_POLLS", [])
    now = [100.0]
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now[0])
    return now


def turns(*jobs: object) -> list[bool]:
    due = list(dispatch.due_jobs())
    return [job in due for job in jobs]


def deadline() -> None: ...


def tidy() -> None: ...


def test_what_nobody_waits_for_has_its_turn_at_most_that_often(clock: list[float]) -> None:
    dispatch.on_poll(deadline)
    dispatch.on_poll(tidy, every=60)
    assert turns(deadline, tidy) == [True, True]
    clock[0] += 59.9
    assert turns(deadline, tidy) == [True, False]
    clock[0] += 0.1
    assert turns(deadline, tidy) == [True, True]


def test_a_job_that_was_not_reached_keeps_its_turn(clock: list[float]) -> None:
    dispatch.on_poll(deadline, every=60)
    dispatch.on_poll(tidy, every=60)
    assert next(dispatch.due_jobs()) == deadline
    assert turns(deadline, tidy) == [False, True]


def test_a_job_registered_twice_is_one(clock: list[float]) -> None:
    dispatch.on_poll(deadline)
    dispatch.on_poll(deadline)
    assert list(dispatch.due_jobs()) == [deadline]
