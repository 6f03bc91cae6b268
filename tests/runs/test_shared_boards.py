"""A board that runs share, on real rows: one order of changes, each made once, none by a former owner."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Workspace
from runs import boards
from runs.boards import Made, Place, Wanted
from runs.engine.facts import ErrorClass, StepError
from runs.models import BoardEntry, Run
from tests.people import a_workspace
from tests.runs.builders import a_connection, a_run

pytestmark = pytest.mark.django_db(transaction=True)


def at_board(run: Run, board: Run | None = None, *, owner: str = "w/1", epoch: int = 1) -> Place:
    return Place(str((board or run).board_id), str(run.pk), owner, epoch)


def wish(request: str = "w@1", op: str = "write", value: Any = 1, expected: int | None = None) -> Wanted:
    return Wanted(request.partition("@")[0], request, op, "k", value, expected)


async def change(place: Place, wanted: Wanted) -> Made | StepError:
    async with await a_connection() as connection:
        return await boards.change(connection, place, wanted)


async def runs_at_one_board(count: int) -> tuple[list[Place], Run]:
    workspace: Workspace = await sync_to_async(a_workspace)("acme")
    runs = [await sync_to_async(a_run)(workspace, owner="w/1", epoch=1) for _ in range(count)]
    return [at_board(run, runs[0]) for run in runs], runs[0]


async def test_what_is_asked_for_again_is_there_already_and_made_once() -> None:
    (place, other), home = await runs_at_one_board(2)
    first = await change(place, wish(op="append", value="a"))
    await change(other, wish(op="append", value="b"))
    again = await change(place, wish(op="append", value="rendered anew", expected=7))
    assert isinstance(first, Made)
    assert again == first, "it says what was made, not what is asked for now"
    assert (first.change.version, first.size) == (1, 1)
    entries = [entry async for entry in BoardEntry.objects.filter(board_id=home.board_id).order_by("id")]
    assert [(entry.version, entry.value, str(entry.run_id)) for entry in entries] == [
        (1, "a", place.run),
        (2, "b", other.run),
    ]


async def test_of_many_that_write_at_one_version_at_once_one_does() -> None:
    places, home = await runs_at_one_board(8)
    found = await asyncio.gather(*(change(place, wish(expected=0)) for place in places))
    assert len([one for one in found if isinstance(one, Made)]) == 1
    lost = [one for one in found if isinstance(one, StepError)]
    assert {(one.cls, one.code) for one in lost} == {(ErrorClass.TRANSIENT, "board_conflict")}
    assert await BoardEntry.objects.filter(board_id=home.board_id).acount() == 1


async def test_appends_of_many_at_once_stand_in_one_row_of_versions() -> None:
    places, home = await runs_at_one_board(4)
    wanted = [(place, wish(f"w@{n}", "append", f"{index}/{n}")) for index, place in enumerate(places) for n in range(5)]
    await asyncio.gather(*(change(place, one) for place, one in wanted))
    async with await a_connection() as connection:
        seen = await boards.look(connection, str(home.board_id), 0)
    assert [entry[1] for entry in seen.changes] == list(range(1, 21))
    assert {entry[3] for entry in seen.changes} == {f"{index}/{n}" for index in range(4) for n in range(5)}


async def test_a_former_owner_changes_nothing() -> None:
    run = await sync_to_async(a_run)(owner="w/2", epoch=2)
    found = await change(at_board(run, owner="w/1", epoch=1), wish())
    assert isinstance(found, StepError)
    assert not await BoardEntry.objects.aexists()


async def test_whoever_looks_sees_each_change_once_and_of_the_past_what_counts() -> None:
    (place, other), home = await runs_at_one_board(2)
    for number, (op, value) in enumerate([("append", 1), ("write", [2]), ("append", 3)]):
        await change(place, wish(f"w@{number}", op, value))
    board = str(home.board_id)
    async with await a_connection() as connection:
        seen = await boards.look(connection, board, 0)
        assert [entry[1:] for entry in seen.changes] == [(2, "write", [2]), (3, "append", 3)]
        assert (await boards.look(connection, board, seen.upto)).changes == ()
        await change(other, wish(value="new"))
        later = await boards.look(connection, board, seen.upto)
    assert later.changes == (("k", 4, "write", "new"),)
    (entry,) = await sync_to_async(boards.read)(home, {})
    assert (entry.value, entry.version, str(entry.run), entry.path) == ("new", 4, other.run, "w")


async def test_first_values_are_put_down_once_and_never_over_what_stands() -> None:
    (place, other), home = await runs_at_one_board(2)
    async with await a_connection() as connection:
        await boards.begin(connection, place, {"k": "home's"})
        await boards.begin(connection, other, {"k": "child's", "own": [1]})
        await boards.begin(connection, other, {"k": "child's", "own": [1]})
    found = await sync_to_async(boards.read)(home, {"k": "home's"})
    assert [(entry.key, entry.value, entry.version, entry.path) for entry in found] == [
        ("k", "home's", 1, None),
        ("own", [1], 1, None),
    ]


@pytest.mark.parametrize("op", ["write", "append"])
async def test_a_full_board_refuses_a_new_key_and_a_large_value(op: str) -> None:
    (place,), home = await runs_at_one_board(1)
    rows = [
        BoardEntry(
            board_id=home.board_id,
            run=home,
            path="x",
            key=f"key{n}",
            version=1,
            op="write",
            value=n,
            at=home.created_at,
        )
        for n in range(1_000)
    ]
    await BoardEntry.objects.abulk_create(rows)
    found = await change(place, wish(op=op))
    assert isinstance(found, StepError)
    assert found.code == "board_full"
    large = await change(place, Wanted("w", "w@2", "write", "key1", "x" * 300_000))
    assert isinstance(large, StepError)
    assert large.code == "board_full"


def test_a_fork_takes_over_what_kept_steps_and_the_runs_below_them_wrote() -> None:
    home = a_run()
    place = home.workspace
    kept = a_run(place, parent=home, parent_path="kept", parent_count=1, board_id=home.board_id)
    below = a_run(place, parent=kept, parent_path="deep", parent_count=1, board_id=home.board_id)
    anew = a_run(place, parent=home, parent_path="anew", parent_count=1, board_id=home.board_id)
    for number, (run, path) in enumerate([(home, "one"), (home, "two"), (kept, "x"), (below, "two"), (anew, "x")]):
        BoardEntry.objects.create(
            board_id=home.board_id, run=run, path=path, key=f"{number}", version=1, op="write", at=home.created_at
        )
    fork = a_run(place)
    boards.copy(home, fork, ["one", "kept"])
    assert [entry.key for entry in boards.read(fork, {})] == ["0", "2", "3"]
    other = a_run(place)
    boards.copy(kept, other, [])
    assert [entry.key for entry in boards.read(other, {})] == ["0", "1", "4"], "what runs beside it wrote stands there"
