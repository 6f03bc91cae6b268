"""A connection's limits hold over everybody who asks, in the order of asking."""

import asyncio
import math
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection as django_connection

from pipelines.models import Connection
from runs import limits
from runs.limits import Use, Wanted, seconds_to_wait
from runs.models import ConnectionUse
from tests.people import a_workspace
from tests.runs.builders import a_connection

RUN = "01890000-0000-7000-8000-00000000000"


def a_use(**fields: Any) -> Use:
    given: dict[str, Any] = {"max_concurrent": None, "rpm": None, "tpm": None, "open": 0, "requests": 0, "tokens": 0}
    return Use(**{**given, "behind": False, "leaves_in": 12.0, **fields})


@pytest.mark.parametrize(
    ("use", "wait"),
    [
        (a_use(), None),
        (a_use(max_concurrent=2, open=1), None),
        (a_use(max_concurrent=2, open=2), math.inf),
        (a_use(max_concurrent=2, open=1, behind=True), math.inf),
        (a_use(rpm=3, requests=2), None),
        (a_use(rpm=3, requests=3), 12.0),
        (a_use(tpm=100, tokens=60), None),
        (a_use(tpm=100, tokens=61), 12.0),
        (a_use(tpm=30, tokens=0), None),
        (a_use(tpm=30, tokens=1), 12.0),
        (a_use(max_concurrent=9, rpm=9, tpm=999, open=1, requests=1, tokens=1), None),
    ],
)
def test_a_call_for_forty_tokens_waits_for_what_it_must(use: Use, wait: float | None) -> None:
    assert seconds_to_wait(use, 40) == wait


def of(row: Connection, n: int, tokens: int = 10) -> Wanted:
    return Wanted(str(row.pk), f"{RUN}{n}", "a@1/1", "w/1", tokens)


@sync_to_async
def a_limited(**fields: Any) -> Connection:
    return Connection.objects.create(workspace=a_workspace("acme"), name="local", kind="openai", **fields)


async def admit(*wanted: Wanted) -> list[float | None]:
    async with await a_connection() as connection:
        return [await limits.admit(connection, one, 30) for one in wanted]


@sync_to_async
def later(seconds: int) -> None:
    """Let time pass by moving what was written back in it."""
    with django_connection.cursor() as cursor:
        cursor.execute(
            "update runs_connectionuse set asked_at = asked_at - make_interval(secs => %s), "
            "taken_at = taken_at - make_interval(secs => %s), until = until - make_interval(secs => %s)",
            [seconds] * 3,
        )


@pytest.mark.django_db(transaction=True)
class TestInTheDatabase:
    async def test_a_crowd_gets_in_as_far_as_there_is_room(self) -> None:
        row = await a_limited(max_concurrent=3)
        answers = await asyncio.gather(*(admit(of(row, n)) for n in range(8)))
        assert sum(answer == [None] for answer in answers) == 3

    async def test_who_asked_first_is_next(self) -> None:
        row = await a_limited(max_concurrent=1)
        assert await admit(of(row, 1), of(row, 2), of(row, 3)) == [None, math.inf, math.inf]
        async with await a_connection() as connection:
            await limits.give_back(connection, f"{RUN}1", "a@1/1", 5)
        assert await admit(of(row, 3), of(row, 2)) == [math.inf, None]

    async def test_a_place_is_lost_by_who_does_not_come_back(self) -> None:
        row = await a_limited(max_concurrent=1)
        await admit(of(row, 1), of(row, 2))
        await later(limits.PLACE_SECONDS + 1)
        async with await a_connection() as connection:
            await limits.give_back(connection, f"{RUN}1", "a@1/1", 5)
        assert await admit(of(row, 3)) == [None]

    async def test_a_dead_owners_turn_ends_with_its_lease_and_a_live_ones_is_renewed(self) -> None:
        row = await a_limited(max_concurrent=1)
        await admit(of(row, 1))
        await later(20)
        async with await a_connection() as connection:
            await limits.renew(connection, "w/1", 30)
        await later(20)
        assert await admit(of(row, 2)) == [math.inf]
        await later(20)
        assert await admit(of(row, 2)) == [None]

    async def test_a_minute_counts_what_began_in_it_whether_it_ended_or_not(self) -> None:
        row = await a_limited(rpm=2)
        await admit(of(row, 1), of(row, 2))
        async with await a_connection() as connection:
            await limits.give_back(connection, f"{RUN}1", "a@1/1", 5)
        (wait,) = await admit(of(row, 3))
        assert wait == pytest.approx(60, abs=2)
        await later(61)
        assert await admit(of(row, 3)) == [None]

    async def test_an_answered_call_counts_the_tokens_it_used(self) -> None:
        row = await a_limited(tpm=100)
        assert await admit(of(row, 1, 80)) == [None]
        assert await admit(of(row, 2, 80)) != [None]
        async with await a_connection() as connection:
            await limits.give_back(connection, f"{RUN}1", "a@1/1", 15)
        assert await admit(of(row, 2, 80)) == [None]

    async def test_a_call_that_was_not_made_counts_for_nothing(self) -> None:
        row = await a_limited(rpm=1)
        await admit(of(row, 1))
        async with await a_connection() as connection:
            await limits.forget(connection, f"{RUN}1", "a@1/1")
        assert await admit(of(row, 2)) == [None]

    async def test_lifted_limits_let_everybody_through(self) -> None:
        row = await a_limited(max_concurrent=1)
        await admit(of(row, 1))
        async with await a_connection() as connection:
            assert await limits.limited(connection) == {(str(row.workspace_id), "local"): str(row.pk)}
            await Connection.objects.aupdate(max_concurrent=None)
            assert await limits.limited(connection) == {}
        assert await admit(of(row, 2)) == [None]

    async def test_the_sweep_takes_what_counts_for_nothing(self) -> None:
        row = await a_limited(max_concurrent=1, rpm=5)
        await admit(of(row, 1), of(row, 2))
        await sync_to_async(limits.sweep)()
        assert await ConnectionUse.objects.acount() == 2
        await later(100)
        await sync_to_async(limits.sweep)()
        assert await ConnectionUse.objects.acount() == 0
