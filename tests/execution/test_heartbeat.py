"""What a worker's heartbeat says of the database."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from runs import claims
from runs.execution import background, heartbeat
from runs.execution.heartbeat import PATIENCE, SLOW, Heartbeat
from tests.conftest import free_port

pytestmark = pytest.mark.django_db(transaction=True)


class Clocks:
    """Stands for the module `time`: both clocks go on as the test says."""

    def __init__(self) -> None:
        self.now = self.slept = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.slept


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(heartbeat, "time", clocks)
    return clocks


@pytest.fixture
def beating(clocks: Clocks) -> Iterator[Heartbeat]:
    beating = Heartbeat(background.conninfo(), "w/1", 30)
    assert beating.is_back
    assert beating._renew()
    assert beating.is_back
    yield beating
    if beating._connection:
        beating._connection.close()


def is_patient_and_then_back(beating: Heartbeat, clocks: Clocks) -> bool:
    was_patient = not beating.is_back
    clocks.now += PATIENCE + 0.1
    return was_patient and beating.is_back


def test_a_worker_that_could_not_renew_takes_no_other_ones_run_until_the_others_had_their_time(
    beating: Heartbeat, clocks: Clocks
) -> None:
    there = beating._conninfo
    assert beating._connection
    beating._connection.close()
    beating._conninfo = make_conninfo(there, host="127.0.0.1", port=free_port())
    for _ in range(2):
        assert not beating._renew(), "as long as it is away, however long that is"
        clocks.now += 60
        assert not beating.is_back
    beating._conninfo = there
    assert beating._renew()
    assert is_patient_and_then_back(beating, clocks), "counted from when it was there again"


def test_a_database_that_stood_still_counts_as_one_that_was_away(
    beating: Heartbeat, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stands_still(connection: psycopg.Connection[object], owner: str, lease: int) -> int:
        clocks.now += SLOW + 40
        assert not beating.is_back, "while it waits for an answer"
        return 0

    monkeypatch.setattr(claims, "renew", stands_still)
    assert beating._renew()
    assert is_patient_and_then_back(beating, clocks)


def test_a_machine_that_slept_lets_the_others_renew_first(beating: Heartbeat, clocks: Clocks) -> None:
    clocks.slept += 3600
    assert not beating.is_back
    assert beating._renew()
    assert is_patient_and_then_back(beating, clocks)


def test_who_came_while_the_database_was_away_is_patient_too(clocks: Clocks) -> None:
    beating = Heartbeat(background.conninfo(), "w/1", 30, is_late=True)
    assert not beating.is_back
    assert beating._renew()
    assert is_patient_and_then_back(beating, clocks)
