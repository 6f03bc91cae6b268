"""The fence: only the present owner writes, each decision once, and a group of decisions fails only in part."""

import asyncio
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async

from runs import claims, store
from runs.effects import Insert
from runs.execution.committer import Committer
from runs.models import Call, Event, LedgerEntry, Note, Run, Step
from runs.store import Fenced
from tests.runs.builders import AT, a_commit, a_connection, a_run, test_conninfo

pytestmark = pytest.mark.django_db(transaction=True)


def _step(run: Run, **fields: Any) -> dict[str, Any]:
    base = {"run_id": str(run.pk), "path": "write", "node": "write", "kind": "agent", "title": "", "state": "running"}
    numbers = {"attempt": 1, "cost_micros": 0, "unpriced_calls": 0, "position": 1, "flags": []}
    return {**base, **numbers, **fields}


async def _write(*commits: store.Commit) -> dict[str, bool]:
    async with await a_connection() as connection:
        return await store.write(connection, commits)


async def test_the_owner_writes_its_decision() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=3)
    held = await _write(a_commit(run, owner="w/1", epoch=3, steps=[_step(run, output={"text": "hi"})]))
    assert held == {str(run.pk): False}
    step = await Step.objects.aget(run=run)
    assert (step.path, step.output) == ("write", {"text": "hi"})
    assert [event.seq async for event in Event.objects.filter(run=run)] == [1]


@pytest.mark.parametrize(("owner", "epoch"), [("w/2", 3), ("w/1", 2), ("w/1", 4)])
async def test_a_former_owner_writes_nothing(owner: str, epoch: int) -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=3)
    rows = [Insert("runs_note", {"text": "never", "idempotency_key": "k", "book": "notes"})]
    assert await _write(a_commit(run, owner=owner, epoch=epoch, steps=[_step(run)], rows=rows)) == {}
    assert not await Event.objects.filter(run=run).aexists()
    assert not await Step.objects.filter(run=run).aexists()
    assert not await Note.objects.aexists()


async def test_the_same_commit_twice_is_written_once() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    commit = a_commit(run, owner="w/1", epoch=1)
    assert await _write(commit)
    assert await _write(commit) == {}
    assert await Event.objects.filter(run=run).acount() == 1
    async with await a_connection() as connection:
        assert await store.is_written(connection, commit)


async def test_a_lost_answer_is_told_from_a_lost_commit() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    async with await a_connection() as connection:
        assert not await store.is_written(connection, a_commit(run, owner="w/1", epoch=1))
        with pytest.raises(Fenced):
            await store.is_written(connection, a_commit(run, owner="w/9", epoch=1))


async def test_the_owner_hears_of_facts_that_wait() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    async with await a_connection() as connection:
        await connection.execute(
            "insert into runs_inbox (run_id, key, fact, created_at) values (%s, 'k', '{}', now())", (run.pk,)
        )
        inbox = await claims.read_inbox(connection, run.pk)
    assert await _write(a_commit(run, owner="w/1", epoch=1)) == {str(run.pk): True}
    taken = [row_id for row_id, _ in inbox]
    assert await _write(a_commit(run, owner="w/1", epoch=1, revision=2, taken=taken)) == {str(run.pk): False}


async def test_in_a_group_only_the_culprit_fails() -> None:
    good = await sync_to_async(a_run)(owner="w/1", epoch=1)
    bad = await sync_to_async(a_run)(good.workspace, owner="w/1", epoch=1)
    stolen = await sync_to_async(a_run)(good.workspace, owner="w/2", epoch=2)
    committer = Committer(test_conninfo(), connections=1)
    broken = a_commit(bad, owner="w/1", epoch=1)
    broken.events[0]["type"] = None
    results = await asyncio.gather(
        committer.commit(a_commit(good, owner="w/1", epoch=1)),
        committer.commit(broken),
        committer.commit(a_commit(stolen, owner="w/1", epoch=1)),
        return_exceptions=True,
    )
    await committer.close()
    assert results[0] is False
    assert isinstance(results[1], psycopg.errors.NotNullViolation)
    assert isinstance(results[2], Fenced)
    assert await Event.objects.acount() == 1


async def test_a_connection_cut_in_between_loses_no_decision() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    committer = Committer(test_conninfo(), connections=1)
    for revision in range(1, 6):
        await committer.commit(a_commit(run, owner="w/1", epoch=1, revision=revision))
        async with await a_connection() as other:
            await other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid() and query like '%fence%'"
            )
    await committer.close()
    assert [event.seq async for event in Event.objects.filter(run=run).order_by("seq")] == [1, 2, 3, 4, 5]


async def test_one_worker_claims_a_run_and_the_other_does_not() -> None:
    run = await sync_to_async(a_run)()

    async def one(owner: str) -> claims.Claimed | None:
        async with await a_connection() as connection:
            return await claims.claim(connection, claims.Claim(str(run.pk), owner, 30, alone=True))

    claimed = await asyncio.gather(*(one(f"w/{n}") for n in range(8)))
    assert sum(found is not None for found in claimed) == 1


async def test_an_expired_lease_is_taken_over_and_counted_as_a_crash() -> None:
    run = await sync_to_async(a_run)(owner="dead/1", epoch=4, lease_until=AT)
    async with await a_connection() as connection:
        assert (str(run.pk), 0) in await claims.claimable(connection, "w/1", 10)
        claimed = await claims.claim(connection, claims.Claim(str(run.pk), "w/1", 30, alone=True))
    assert claimed is not None
    assert claimed.crashed
    assert (claimed.run["epoch"], claimed.run["crashes"]) == (5, 1)


async def test_who_has_only_just_the_database_again_takes_no_other_workers_run_but_what_nobody_owns() -> None:
    owned = await sync_to_async(a_run)(owner="slow/1", epoch=4, lease_until=AT)
    free = await sync_to_async(a_run)(owned.workspace, wake_at=AT)
    async with await a_connection() as connection:
        assert await claims.claimable(connection, "w/1", 10, take_over=False) == [(str(free.pk), 0)]
        for run, taken in ((owned, False), (free, True)):
            wanted = claims.Claim(str(run.pk), "w/1", 30, alone=True, take_over=False)
            assert (await claims.claim(connection, wanted) is not None) is taken


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
async def test_a_run_that_ended_is_never_claimed(state: str) -> None:
    run = await sync_to_async(a_run)(owner="dead/1", epoch=4, lease_until=AT, state=state)
    async with await a_connection() as connection:
        assert await claims.claimable(connection, "w/1", 10) == []
        assert await claims.claim(connection, claims.Claim(str(run.pk), "w/1", 30, alone=True)) is None


async def test_a_run_that_killed_two_workers_is_claimed_only_by_a_worker_that_holds_no_other() -> None:
    run = await sync_to_async(a_run)(owner="dead/1", epoch=4, lease_until=AT, crashes=2)
    async with await a_connection() as connection:
        assert await claims.claim(connection, claims.Claim(str(run.pk), "w/1", 30, alone=False)) is None
        assert await claims.claim(connection, claims.Claim(str(run.pk), "w/1", 30, alone=True)) is not None


async def test_the_books_of_a_run_that_ended_while_a_call_was_open_are_closed() -> None:
    run = await sync_to_async(a_run)(owner="dead/1", epoch=4, lease_until=AT, state="failed", reserved_micros=700)
    open_call = {
        "run_id": run.pk, "key": "a@1/1", "path": "a", "attempt": 1, "n": 1, "kind": "model", "name": "stub/m",
        "state": "started", "request_hash": "", "idempotency_key": "k", "reserved_micros": 700, "started_at": AT,
    }  # fmt: skip
    await Call.objects.acreate(**open_call)
    async with await a_connection() as connection:
        await claims.settle_abandoned(connection)
        await claims.settle_abandoned(connection)
    run = await Run.objects.aget(pk=run.pk)
    assert (run.owner, run.reserved_micros, run.unconfirmed_micros) == (None, 0, 700)
    entries = [(entry.kind, entry.amount_micros) async for entry in LedgerEntry.objects.filter(run=run)]
    assert entries == [("unconfirmed", 700)]
    assert (await Call.objects.aget(run=run)).state == "lost"


def test_the_poll_looks_for_runs_in_every_open_state() -> None:
    from runs.models import OPEN_RUN_STATES

    written = claims._CLAIMABLE.partition("state in (")[2].partition(")")[0]
    assert {name.strip(" '") for name in written.split(",")} == set(OPEN_RUN_STATES)


async def test_what_cannot_be_written_fails_alone_and_the_committer_goes_on() -> None:
    good = await sync_to_async(a_run)(owner="w/1", epoch=1)
    bad = await sync_to_async(a_run)(good.workspace, owner="w/1", epoch=1)
    committer = Committer(test_conninfo(), connections=1)
    unwritable = a_commit(bad, owner="w/1", epoch=1)
    unwritable.run["seq"] = "not a number"
    results = await asyncio.gather(
        committer.commit(unwritable), committer.commit(a_commit(good, owner="w/1", epoch=1)), return_exceptions=True
    )
    assert isinstance(results[0], psycopg.Error)
    assert results[1] is False
    assert await asyncio.wait_for(committer.commit(a_commit(good, owner="w/1", epoch=1, revision=2)), 5) is False
    await committer.close()


async def test_a_statement_that_no_later_attempt_will_mend_is_not_tried_for_ever() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    committer = Committer(test_conninfo(), connections=1)
    too_long = a_commit(run, owner="w/1", epoch=1)
    too_long.rows = [Insert("approvals_approval", {"no_such_column" * 3: 1})]
    with pytest.raises(psycopg.Error):
        await asyncio.wait_for(committer.commit(too_long), 5)
    await committer.close()
    assert not store.is_transient(psycopg.errors.ProgramLimitExceeded("too large"))
    assert not store.is_transient(psycopg.errors.StatementTooComplex("too deep"))
    assert store.is_transient(psycopg.errors.DeadlockDetected("try again"))
    assert store.is_transient(psycopg.errors.AdminShutdown("later"))


@pytest.mark.parametrize(
    "odd", ["a\0b", "a\ud800b", float("inf"), 10**400, {"k\0": ["\0"]}, object()], ids=lambda odd: type(odd).__name__
)
async def test_an_event_is_written_whatever_its_payload_holds(odd: object) -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=1)
    commit = a_commit(run, owner="w/1", epoch=1)
    commit.events[0]["payload"] = {"said": odd, "plain": "\\u0000 as six letters"}
    assert await _write(commit) == {str(run.pk): False}
    event = await Event.objects.aget(run=run)
    assert event.payload["plain"] == "\\u0000 as six letters"


async def test_leases_are_renewed_without_waiting_for_a_decision_that_is_being_written() -> None:
    busy = await sync_to_async(a_run)(owner="w/1", epoch=1, lease_until=AT)
    idle = await sync_to_async(a_run)(busy.workspace, owner="w/1", epoch=1, lease_until=AT)
    async with await a_connection() as other, other.transaction():
        await other.execute("select from runs_run where id = %s for update", (busy.pk,))

        def renew() -> int:
            with psycopg.connect(test_conninfo(), autocommit=True) as connection:
                connection.execute("set lock_timeout = '2s'")
                return claims.renew(connection, "w/1", 30)

        assert await sync_to_async(renew)() == 1
    assert (await Run.objects.aget(pk=idle.pk)).lease_until > AT  # type: ignore[operator]


async def test_a_run_that_is_mine_without_my_knowing_can_be_given_up_once() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=3, state="running")
    async with await a_connection() as connection:
        assert await claims.owned(connection, "w/1") == [(str(run.pk), 3)]
        await claims.forsake(connection, str(run.pk), "w/1", 2)
        assert await claims.owned(connection, "w/1") == [(str(run.pk), 3)], "another epoch is another claim"
        await claims.forsake(connection, str(run.pk), "w/1", 3)
        assert await claims.owned(connection, "w/1") == []
        assert (str(run.pk), 0) in await claims.claimable(connection, "w/2", 10)


async def test_a_buried_run_leaves_its_books_and_its_questions_closed() -> None:
    run = await sync_to_async(a_run)(owner="w/1", epoch=9, state="running", reserved_micros=700, seq=0, crashes=8)
    open_call = {
        "run_id": run.pk, "key": "a@1/1", "path": "a", "attempt": 1, "n": 1, "kind": "model", "name": "stub/m",
        "state": "started", "request_hash": "", "idempotency_key": "k", "reserved_micros": 700, "started_at": AT,
    }  # fmt: skip
    await Call.objects.acreate(**open_call)
    await Step.objects.acreate(run_id=run.pk, path="a", node="a", kind="agent", state="running")
    async with await a_connection() as connection:
        await claims.bury(connection, str(run.pk), "w/1", 9)
        await claims.settle_abandoned(connection)
    run = await Run.objects.aget(pk=run.pk)
    assert (run.state, run.reason, run.owner) == ("failed", "dead_letter", None)
    assert (run.reserved_micros, run.unconfirmed_micros) == (0, 700)
    assert [e.amount_micros async for e in LedgerEntry.objects.filter(run=run, kind="unconfirmed")] == [700]
    assert (await Step.objects.aget(run=run)).state == "cancelled"
