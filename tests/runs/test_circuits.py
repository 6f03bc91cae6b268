"""A circuit opens after five failures in a minute and is closed by the one call that may try."""

import asyncio
import datetime as dt

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.utils import timezone

from pipelines.models import Circuit
from runs import circuits
from runs.circuits import Subject, Verdict
from tests.people import a_workspace
from tests.runs.builders import a_connection

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def a_subject(name: str = "stub/m") -> Subject:
    return Subject(str(a_workspace("acme").pk), name)


async def fail(subject: Subject, times: int = 1) -> list[bool]:
    async with await a_connection() as connection:
        return [await circuits.count_failure(connection, subject) for _ in range(times)]


async def ask(subject: Subject, call: str = "r/a@1/1") -> Verdict:
    async with await a_connection() as connection:
        return await circuits.verdict(connection, subject, call, 60)


async def thirty_seconds_later() -> None:
    await Circuit.objects.aupdate(retry_at=F("retry_at") - dt.timedelta(seconds=30))


async def test_the_fifth_failure_opens_it() -> None:
    subject = await a_subject()
    assert await fail(subject, 4) == [False] * 4
    assert await ask(subject) == Verdict()
    assert await fail(subject) == [True]
    verdict = await ask(subject)
    assert verdict.wait == pytest.approx(30, abs=2)


async def test_failures_at_the_same_moment_all_count() -> None:
    subject = await a_subject()
    answers = await asyncio.gather(*(fail(subject) for _ in range(8)))
    assert sum(answer == [True] for answer in answers) == 4


async def test_failures_of_more_than_a_minute_ago_do_not_count() -> None:
    subject = await a_subject()
    await fail(subject, 4)
    await Circuit.objects.aupdate(failures=[timezone.now() - dt.timedelta(seconds=61)] * 4)
    assert await fail(subject, 4) == [False] * 4


async def test_one_of_many_may_try_and_its_answer_closes_it() -> None:
    subject = await a_subject()
    await fail(subject, 5)
    await thirty_seconds_later()
    verdicts = await asyncio.gather(*(ask(subject, f"r/a@1/{n}") for n in range(8)))
    assert sum(verdict.probe for verdict in verdicts) == 1
    assert {verdict.wait for verdict in verdicts if not verdict.probe} == {circuits.PROBE_AGAIN_SECONDS}
    tries = next(f"r/a@1/{n}" for n, verdict in enumerate(verdicts) if verdict.probe)
    async with await a_connection() as connection:
        await circuits.close(connection, subject, "r/somebody@1/1")
        assert await circuits.opened(connection) == {subject}
        await circuits.close(connection, subject, tries)
        assert await circuits.opened(connection) == set()
    assert await ask(subject) == Verdict()


async def test_a_try_that_fails_leaves_it_open() -> None:
    subject = await a_subject()
    await fail(subject, 5)
    opened_at = (await Circuit.objects.aget()).opened_at
    await thirty_seconds_later()
    await ask(subject)
    async with await a_connection() as connection:
        await circuits.reopen(connection, subject, "r/a@1/1")
    verdict = await ask(subject, "r/b@1/1")
    assert verdict.wait == pytest.approx(30, abs=2)
    assert (await Circuit.objects.aget()).opened_at == opened_at


async def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    subject = await a_subject()
    await fail(subject, 5)
    before = await Circuit.objects.aget()
    assert await fail(subject, 2) == [True, True]
    after = await Circuit.objects.aget()
    assert (after.opened_at, after.retry_at, after.failures) == (before.opened_at, before.retry_at, [])


@pytest.mark.parametrize("is_told", [True, False], ids=["given up", "dead"])
async def test_another_tries_where_the_first_did_not(is_told: bool) -> None:
    subject = await a_subject()
    await fail(subject, 5)
    await thirty_seconds_later()
    assert (await ask(subject, "r/a@1/1")).probe
    if is_told:
        async with await a_connection() as connection:
            await circuits.release(connection, subject, "r/a@1/1")
    else:
        await Circuit.objects.aupdate(probe_until=timezone.now())
    assert (await ask(subject, "r/b@1/1")).probe


async def test_each_workspace_and_each_name_has_its_own() -> None:
    subject = await a_subject()
    other = Subject(str((await sync_to_async(a_workspace)("globex")).pk), subject.name)
    await fail(subject, 5)
    assert await ask(other) == Verdict()
    assert await ask(Subject(subject.workspace_id, "stub/other")) == Verdict()


async def test_the_sweep_forgets_what_has_not_failed_for_a_minute() -> None:
    subject = await a_subject()
    await fail(subject, 5)
    await fail(Subject(subject.workspace_id, "stub/other"))
    await Circuit.objects.filter(subject="stub/other").aupdate(failures=[timezone.now() - dt.timedelta(seconds=61)])
    await sync_to_async(circuits.sweep)()
    assert [row.subject async for row in Circuit.objects.all()] == [subject.name]
