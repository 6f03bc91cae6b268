"""Sessions as rows: the newest turns of one name in one workspace, and no more than a session keeps."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Workspace
from runs import models, store, talks
from runs.execution import rows
from runs.models import Run, Turn
from runs.talks import Summary
from tests.people import a_workspace
from tests.runs.builders import AT, a_commit, a_connection, a_run

KEY = "sha256:maya"


def a_turn(run: Run, number: int, key: str = KEY, **fields: Any) -> Turn:
    given = {"prompt": f"ask {number}", "answer": f"answer {number}", "trust": "user", "created_at": timezone.now()}
    return Turn.objects.create(workspace=run.workspace, run=run, path=f"a[{number}]", key=key, **{**given, **fields})


async def said(workspace: Workspace, key: str = KEY) -> list[str]:
    async with await a_connection() as connection:
        return [turn.prompt for turn in await talks.said(connection, str(workspace.pk), key)]


@pytest.mark.django_db(transaction=True)
async def test_a_session_is_read_in_its_workspace_alone_and_in_order() -> None:
    from asgiref.sync import sync_to_async

    def stage() -> tuple[Run, Run]:
        here, there = a_run(a_workspace("acme")), a_run(a_workspace("globex"))
        for number in (1, 2, 3):
            a_turn(here, number)
        a_turn(here, 4, "sha256:max")
        a_turn(there, 5)
        return here, there

    here, there = await sync_to_async(stage)()

    assert await said(here.workspace) == ["ask 1", "ask 2", "ask 3"]
    assert await said(here.workspace, "sha256:max") == ["ask 4"]
    assert await said(there.workspace) == ["ask 5"]


@pytest.mark.django_db(transaction=True)
async def test_a_step_that_is_done_again_says_its_turn_anew_and_a_former_owner_says_nothing() -> None:
    from asgiref.sync import sync_to_async

    run = await sync_to_async(a_run)(owner="w1", epoch=1)
    row = {"run_id": str(run.pk), "workspace_id": str(run.workspace_id), "key": KEY, "path": "a", "prompt": "ask"}

    async def commit(revision: int, answer: str, owner: str = "w1") -> None:
        turn = {**row, "answer": answer, "trust": "user", "created_at": AT}
        async with await a_connection() as connection:
            await store.write(connection, [a_commit(run, owner=owner, epoch=1, revision=revision, turns=[turn])])

    await commit(1, "first")
    await commit(2, "second")
    await commit(3, "forged", owner="w2")

    assert await sync_to_async(lambda: list(Turn.objects.values_list("answer", flat=True)))() == ["second"]


@pytest.mark.django_db
def test_what_is_old_or_too_much_is_forgotten() -> None:
    run = a_run()
    for number in range(talks.MOST_TURNS + 5):
        a_turn(run, number)
    a_turn(run, 900, "sha256:old", created_at=timezone.now() - timedelta(days=talks.KEPT_DAYS, minutes=1))
    a_turn(run, 901, "sha256:young", created_at=timezone.now() - timedelta(days=talks.KEPT_DAYS - 1))

    talks.sweep()

    left = list(Turn.objects.filter(key=KEY).order_by("id").values_list("prompt", flat=True))
    assert left == [f"ask {number}" for number in range(5, talks.MOST_TURNS + 5)]
    assert list(Turn.objects.exclude(key=KEY).values_list("key", flat=True)) == ["sha256:young"]


@pytest.mark.django_db(transaction=True)
async def test_a_summary_is_kept_once_and_read_in_its_workspace_alone_newest_first() -> None:
    from asgiref.sync import sync_to_async

    run = await sync_to_async(a_run)(owner="w1", epoch=1)
    other = await sync_to_async(lambda: a_run(a_workspace("globex")))()
    one, two = Summary(("a", "b"), "of tea"), Summary(("a", "b", "c"), "of tea and cake")
    kept = [rows.summary_row(str(run.pk), str(run.workspace_id), KEY, summary, AT) for summary in (one, two, one)]

    async with await a_connection() as connection:
        await store.write(connection, [a_commit(run, owner="w1", epoch=1, rows=kept)])
        await store.write(connection, [a_commit(run, owner="w9", epoch=1, revision=2, rows=kept)])
        assert await talks.summaries(connection, str(run.workspace_id), KEY) == [two, one]
        assert await talks.summaries(connection, str(run.workspace_id), "sha256:max") == []
        assert await talks.summaries(connection, str(other.workspace_id), KEY) == []


@pytest.mark.django_db
def test_summaries_that_are_old_or_too_many_are_forgotten() -> None:
    run = a_run()
    for number in range(talks.MOST_SUMMARIES + 2):
        created = timezone.now() - timedelta(days=91 if number == 10 else 1)
        models.Summary.objects.create(
            workspace=run.workspace, run=run, key=KEY, hash=str(number), covers=[], text=f"{number}", created_at=created
        )

    talks.sweep()

    left = set(models.Summary.objects.values_list("text", flat=True))
    assert left == {str(number) for number in range(2, talks.MOST_SUMMARIES + 2)} - {"10"}


def test_a_turn_keeps_text_and_no_more_than_a_talk_needs() -> None:
    assert talks.kept({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert talks.kept("x" * 100_000) == "x" * (talks.MOST_CHARACTERS - 1) + "…"
