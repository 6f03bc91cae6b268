"""Large values leave their rows in the fenced commit and come back whole; nobody can forge a reference to one."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import QuerySet

from pipelines.graph.canonical import canonical_json, digest
from runs import artifacts, claims, store, talks
from runs.claims import Claim, Claimed
from runs.models import Artifact, Call, Run, Step
from tests.runs.builders import AT, a_commit, a_connection, a_run

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "é" * artifacts.INLINE


def a_step(run: Run, **fields: Any) -> dict[str, Any]:
    base = {"run_id": str(run.pk), "path": "write", "node": "write", "kind": "agent", "title": "", "state": "succeeded"}
    return {**base, "attempt": 1, "cost_micros": 0, "unpriced_calls": 0, "position": 1, "flags": [], **fields}


def a_call(run: Run, **fields: Any) -> dict[str, Any]:
    base = {"run_id": str(run.pk), "key": "write@1/1", "path": "write", "attempt": 1, "n": 1, "kind": "model"}
    more = {"name": "demo/echo", "state": "started", "request_hash": "", "effect": "none", "delivery": "idempotent"}
    held = {"reserved_micros": 0, "reserved_tokens": 0}
    return {**base, **more, **held, "idempotency_key": "k", "started_at": AT, **fields}


async def write(run: Run, revision: int = 1, owner: str = "w1", **rows: Any) -> None:
    async with await a_connection() as connection:
        await store.write(connection, [a_commit(run, owner=owner, epoch=1, revision=revision, **rows)])


async def claimed(run: Run) -> Claimed:
    await Run.objects.filter(pk=run.pk).aupdate(owner=None)
    async with await a_connection() as connection:
        found = await claims.claim(connection, Claim(str(run.pk), "w2", 30, alone=True))
    assert found
    return found


async def an_owned_run() -> Run:
    return await sync_to_async(a_run)(owner="w1", epoch=1)


def kept(run: Run) -> "QuerySet[Artifact]":
    return Artifact.objects.filter(run=run)


async def test_a_large_output_leaves_its_row_and_the_next_owner_has_it_whole() -> None:
    run = await an_owned_run()
    value = {"text": LONG, "list": [1, 2.5, 1e17]}
    await write(run, steps=[a_step(run, output=value, input={"prompt": "short"})])

    step = await Step.objects.aget(run=run)
    artifact = await kept(run).aget()
    assert (step.output, step.input) == (None, {"prompt": "short"})
    assert step.large == {"output": {"hash": digest(value), "size": artifact.size, "lengths": {"list": 3}}}
    assert (artifact.hash, artifact.size) == (digest(artifact.value), len(canonical_json(value)))
    [restored] = (await claimed(run)).steps
    assert (restored["output"], restored["input"]) == (value, {"prompt": "short"})
    assert "large" not in restored


async def test_a_value_of_exactly_the_limit_stands_in_its_row() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, output="x" * (artifacts.INLINE - 2))])
    assert not await kept(run).aexists()
    await write(run, 2, steps=[a_step(run, output="x" * (artifacts.INLINE - 1))])
    assert await kept(run).acount() == 1


async def test_many_small_values_in_one_commit_stand_in_their_rows() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, path=f"write[{n}]", output="x" * 10_000) for n in range(60)])
    assert not await kept(run).aexists()
    assert await Step.objects.filter(run=run, output__isnull=False, large__isnull=True).acount() == 60


async def test_equal_values_are_kept_once_and_a_row_written_again_sends_none_twice() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, path="a", output=LONG), a_step(run, path="b", input=LONG)])
    before = await kept(run).aget()
    await write(run, 2, steps=[a_step(run, path="a", output=LONG)])
    assert (await kept(run).aget()).pk == before.pk


async def test_a_former_owner_keeps_no_value() -> None:
    run = await an_owned_run()
    await write(run, owner="w9", steps=[a_step(run, output=LONG)])
    assert not await Artifact.objects.aexists()


async def test_what_no_database_takes_is_made_fit_before_it_is_kept() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, input={"prompt": LONG + "\x00\ud800"})])
    artifact = await kept(run).aget()
    assert artifact.value["prompt"][-2:] == "�?"
    assert artifact.hash == digest(artifact.value)


async def test_a_call_keeps_its_request_when_its_large_response_comes() -> None:
    run = await an_owned_run()
    await write(run, calls=[a_call(run, request={"prompt": LONG})])
    await write(run, 2, calls=[a_call(run, state="finished", response={"text": LONG + "!"})])
    call = await Call.objects.aget(run=run)
    assert (call.request, call.response, set(call.large)) == (None, None, {"request", "response"})
    [restored] = (await claimed(run)).calls
    assert (restored["request"], restored["response"]) == ({"prompt": LONG}, {"text": LONG + "!"})


async def test_an_output_that_looks_like_a_reference_is_only_an_output() -> None:
    run = await an_owned_run()
    other = await sync_to_async(a_run)(run.workspace, owner="w1", epoch=1)
    await write(other, steps=[a_step(other, output=LONG)])
    forged = {"large": {"output": {"hash": digest(LONG), "size": 1, "run": str(other.pk)}}, "hash": digest(LONG)}
    await write(run, steps=[a_step(run, output=forged)])
    [restored] = (await claimed(run)).steps
    assert restored["output"] == forged


async def test_an_agent_hears_earlier_turns_that_were_too_large_for_their_rows() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, input={"prompt": LONG}, output={"answer": LONG})])
    async with await a_connection() as connection:
        [turn] = await talks.heard(connection, str(run.pk), {"write": "user"})
    assert turn.prompt == "é" * talks.MOST_CHARACTERS
    assert turn.answer.startswith('{"answer": "éé')


async def test_an_artifact_goes_with_its_run() -> None:
    run = await an_owned_run()
    await write(run, steps=[a_step(run, output=LONG)])
    await Run.objects.filter(pk=run.pk).adelete()
    assert not await Artifact.objects.aexists()
