"""A run pays the prices that held when its first owner took it: not those of an older lock, nor those said later."""

import datetime as dt
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from pipelines.graph.lock import Lock, Price
from pipelines.graph.model import Document
from pipelines.models import PipelineVersion, PriceChange
from runs import claims
from runs.execution.owned import Pinned
from runs.models import Run
from tests.runs.builders import AT, a_connection, a_run

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def a_priced_run() -> Run:
    run = a_run()
    lock = Lock(prices={"local/m": Price(1, 2), "local/unknown": None})
    PipelineVersion.objects.bulk_create(
        [PipelineVersion(pipeline=run.pipeline, number=2, hash="sha256:1", document={}, lock=lock.as_json())]
    )
    Run.objects.filter(pk=run.pk).update(version=PipelineVersion.objects.get(pipeline=run.pipeline, number=2))
    run.refresh_from_db()
    return run


@sync_to_async
def say(run: Run, model: str, price: tuple[int, int] | None, **fields: Any) -> PriceChange:
    amounts = {"input": price[0], "output": price[1]} if price else {}
    given = {"workspace": run.workspace, "connection": "local", "model": model, "from_at": timezone.now(), **fields}
    given.setdefault("at", given["from_at"])
    return PriceChange.objects.create(**given, **amounts)


async def claimed(run: Run) -> dict[str, Any]:
    async with await a_connection() as connection:
        found = await claims.claim(connection, claims.Claim(str(run.pk), "w/9", 30, alone=True))
    assert found is not None
    prices: dict[str, Any] = found.run["prices"]
    return prices


async def test_a_run_whose_lock_nothing_has_changed_has_none_of_its_own() -> None:
    assert await claimed(await a_priced_run()) == {}


async def test_the_newest_word_on_each_model_of_the_lock_is_pinned_to_the_run() -> None:
    run = await a_priced_run()
    await say(run, "m", (3, 4), from_at=timezone.now() - dt.timedelta(hours=2))
    await say(run, "m", (5, 6), cached_input=1)
    await say(run, "unknown", (7, 8))
    await say(run, "of-another-pipeline", (9, 9))
    assert await claimed(run) == {
        "local/m": {"input": 5, "output": 6, "cached_input": 1},
        "local/unknown": {"input": 7, "output": 8, "cached_input": None},
    }


async def test_a_price_of_tomorrow_or_of_another_workspace_is_not_this_runs() -> None:
    run = await a_priced_run()
    tomorrow = timezone.now() + dt.timedelta(days=1)
    await say(run, "m", (3, 4), from_at=tomorrow, at=timezone.now())
    from tests.people import a_workspace

    elsewhere = await sync_to_async(a_workspace)("globex")
    await say(run, "m", (3, 4), workspace=elsewhere)
    assert await claimed(run) == {}


async def test_a_later_owner_finds_the_prices_of_the_first() -> None:
    run = await a_priced_run()
    await say(run, "m", (3, 4))
    first = await claimed(run)
    await say(run, "m", (50, 60))
    await Run.objects.filter(pk=run.pk).aupdate(owner="dead/1", lease_until=AT)
    assert await claimed(run) == first == {"local/m": {"input": 3, "output": 4, "cached_input": None}}


async def test_a_run_that_had_begun_before_runs_kept_prices_goes_on_with_those_of_its_lock() -> None:
    """What it has paid so far was the lock's price; a word of today must not divide its calls."""
    run = await a_priced_run()
    await say(run, "m", (3, 4))
    await Run.objects.filter(pk=run.pk).aupdate(revision=1)
    assert await claimed(run) == {}


async def test_a_word_that_was_taken_back_changes_only_older_locks() -> None:
    run = await a_priced_run()
    before = run.version.created_at - dt.timedelta(hours=1)
    await say(run, "m", (3, 4), own=False, from_at=before)
    assert await claimed(run) == {}
    other = await a_priced_run_of(run)
    await say(run, "m", None, own=False)
    assert await claimed(other) == {"local/m": None}


async def test_a_run_that_a_step_starts_pays_what_the_run_above_pays() -> None:
    """engine.md §4.8: edits never reach a running run, and its children are a part of it."""
    above = await a_priced_run()
    await say(above, "m", (3, 4))
    await claimed(above)
    await say(above, "m", (50, 60))
    await say(above, "unknown", (7, 8))
    child = await a_priced_run_of(above, parent=above, lock=Lock(prices={"local/m": Price(9, 9), "local/new": None}))
    await say(above, "new", (5, 5))
    assert await claimed(child) == {
        "local/m": {"input": 3, "output": 4, "cached_input": None},
        "local/new": {"input": 5, "output": 5, "cached_input": None},
    }
    below = await a_priced_run_of(child, parent=child)
    assert (await claimed(below))["local/m"]["input"] == 3
    assert (await claimed(await a_priced_run_of(child)))["local/m"]["input"] == 50


@sync_to_async
def a_priced_run_of(run: Run, parent: Run | None = None, lock: Lock | None = None) -> Run:
    """Return another run of the same pipeline, of a version of its own where it has a lock of its own."""
    version, number = run.version, Run.objects.count() + 50
    if lock:
        version = PipelineVersion(pipeline=run.pipeline, number=3, hash="sha256:1", document={}, lock=lock.as_json())
        PipelineVersion.objects.bulk_create([version])
    place = {"parent": parent, "parent_path": "call", "parent_count": 1} if parent else {}
    return Run.objects.create(workspace=run.workspace, pipeline=run.pipeline, version=version, number=number, **place)


def test_the_lock_of_a_run_has_its_own_prices_and_all_else_of_the_version() -> None:
    lock = Lock(prices={"local/m": Price(1, 2), "demo/echo": Price(3, 4), "local/n": Price(5, 6)})
    pinned = Pinned("v", Document.__new__(Document), lock, ())
    own = pinned.priced({"local/m": {"input": 7, "output": 8, "cached_input": None}, "local/n": None})
    assert own.lock.prices == {"local/m": Price(7, 8), "demo/echo": Price(3, 4), "local/n": None}
    assert pinned.lock.prices["local/m"] == Price(1, 2), "the version is shared by all runs of it"
    assert pinned.priced({}) is pinned
    assert pinned.priced(None) is pinned
