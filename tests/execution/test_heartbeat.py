"""What a worker's heartbeat says of the database."""

import time
from types import SimpleNamespace

import pytest
from psycopg.conninfo import make_conninfo

from runs.execution import background, heartbeat
from runs.execution.heartbeat import PATIENCE, Heartbeat
from tests.conftest import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_that_could_not_renew_takes_no_other_ones_run_until_the_others_had_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = background.conninfo()
    away = make_conninfo(there, host="127.0.0.1", port=free_port())
    beating = Heartbeat(there, "w/1", 30)
    assert beating.is_back
    assert beating._renew()
    assert beating.is_back
    clock = time.monotonic()
    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: clock))
    beating._conninfo, beating._connection = away, None
    assert not beating._renew()
    clock += 60
    assert not beating._renew(), "as long as it is away, however long that is"
    assert not beating.is_back
    beating._conninfo = there
    assert beating._renew()
    assert not beating.is_back
    clock += PATIENCE + 0.1
    assert beating.is_back
