"""Child runs as rows: born once in their parent's commit, told and reported once, added up where they are read."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from pipelines.graph.model import Budget
from runs import children, claims, family, store
from runs.children import Above
from runs.engine.budget import Spend
from runs.engine.decision import ChildStart, Tell
from runs.engine.facts import CancelRequested, ChildEnded, PauseRequested, ResumeRequested, from_json
from runs.engine.origin import Ancestor, Origin, child_id
from runs.models import Call, Event, Inbox, Run, RunCounter
from tests.people import a_workspace
from tests.runs.builders import AT, a_commit, a_connection, a_run

pytestmark = pytest.mark.django_db(transaction=True)


def a_start(parent: Run, path: str = "call", number: int = 1) -> ChildStart:
    origin = Origin("", (Ancestor("parent", "sha256:0"),), 4, {"input.topic": "model"})
    child = child_id(str(parent.pk), path, number)
    return ChildStart(child, path, number, "", "", {"topic": "bees"}, Budget(max_cost_micros=70), origin)


def births(parent: Run, *starts: ChildStart) -> list[Any]:
    row = Run.objects.filter(pk=parent.pk).values().get()
    RunCounter.objects.get_or_create(workspace_id=parent.workspace_id, defaults={"last": 10})
    return list(children.births(Above(row, str(parent.version_id), ("editor-1",)), starts, AT))


async def commit(parent: Run, revision: int, rows: list[Any]) -> dict[str, bool]:
    async with await a_connection() as connection:
        return await store.write(connection, [a_commit(parent, owner="w/1", epoch=1, revision=revision, rows=rows)])


async def test_a_child_is_born_with_its_first_event_and_the_fact_that_starts_it() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1, tags=["blue"], rehearsal=True)
    rows = await sync_to_async(births)(parent, a_start(parent))
    assert await commit(parent, 1, rows)
    child = await Run.objects.aget(parent=parent)
    assert str(child.pk) == child_id(str(parent.pk), "call", 1)
    assert (child.state, child.input, child.tags, child.rehearsal) == ("queued", {"topic": "bees"}, ["blue"], True)
    assert (child.number, child.version_id, child.seq) == (11, parent.version_id, 1)
    assert child.budget["max_cost_micros"] == 70
    assert child.origin["editors"] == ["editor-1"]
    assert Origin.from_json("x", child.origin).max_depth == 4
    created = await Event.objects.aget(run=child)
    assert (created.type, created.payload["parent_number"]) == ("run_created", parent.number)
    assert (await Inbox.objects.aget(run=child)).fact == {"fact": "run_requested"}


async def test_a_child_that_is_there_already_is_not_born_again() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1)
    rows = await sync_to_async(births)(parent, a_start(parent))
    await commit(parent, 1, rows)
    await commit(parent, 2, rows)
    assert await Run.objects.filter(parent=parent).acount() == 1
    assert (await RunCounter.objects.aget(workspace_id=parent.workspace_id)).last == 11
    assert await Inbox.objects.filter(run__parent=parent).acount() == 1


async def test_a_former_owner_bears_nothing() -> None:
    parent = await sync_to_async(a_run)(owner="w/2", epoch=2)
    rows = await sync_to_async(births)(parent, a_start(parent))
    assert await commit(parent, 1, rows) == {}
    assert not await Run.objects.filter(parent=parent).aexists()


async def test_parents_of_two_workspaces_bear_at_the_same_time_without_waiting_for_each_other() -> None:
    places = [await sync_to_async(a_workspace)(slug) for slug in ("acme", "globex")]
    runs = [await sync_to_async(a_run)(place, owner="w/1", epoch=1) for place in places for _ in range(2)]
    commits = []
    for run in runs:
        rows = await sync_to_async(births)(run, a_start(run, number=1), a_start(run, number=2))
        commits.append(a_commit(run, owner="w/1", epoch=1, rows=rows))

    async def write(order: list[store.Commit]) -> None:
        async with await a_connection() as connection:
            await store.write(connection, order)

    await asyncio.wait_for(asyncio.gather(write(commits[0::2]), write(commits[3:0:-2])), 20)
    for place in places:
        born = Run.objects.filter(workspace=place, parent__isnull=False)
        assert sorted([n async for n in born.values_list("number", flat=True)]) == [11, 12, 13, 14]


async def test_what_is_told_twice_is_heard_once() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1)
    start = a_start(parent)
    await commit(parent, 1, await sync_to_async(births)(parent, start))
    tells = [Tell(start.id, PauseRequested("bob")), Tell(start.id, CancelRequested("bob"))]
    rows: list[Any] = children.told(str(parent.pk), tells, 7)
    await commit(parent, 2, [*rows, *rows])
    keys = [key async for key in Inbox.objects.filter(run=start.id).order_by("id").values_list("key", flat=True)]
    assert keys == ["start", f"pause_requested:{parent.pk}:7:0", "cancel"]


async def test_a_child_tells_its_parent_how_it_ended() -> None:
    from runs.engine.state import Execution
    from tests.engine.building import a_document, a_graph, a_lock

    parent = await sync_to_async(a_run)()
    child = await sync_to_async(a_run)(
        parent.workspace, owner="w/1", epoch=1, parent=parent, parent_path="call", parent_count=3
    )
    document = a_document(a_graph("start >> result"))
    execution = Execution.begin(document, a_lock(document), {}, Budget())
    execution.spend = Spend(cost=5, unconfirmed=2, reserved=1, child_cost=10, calls=3)
    row = await Run.objects.filter(pk=child.pk).values().aget()
    await commit(child, 1, list(children.ended(row, execution)))
    mail = await Inbox.objects.aget(run=parent)
    fact = from_json(mail.fact)
    assert isinstance(fact, ChildEnded)
    assert (fact.path, fact.child, fact.spent["cost"], fact.spent["paid"]) == ("call", 3, 18, 15)
    row = await Run.objects.filter(pk=parent.pk).values().aget()
    assert children.ended(row, execution) == [], "nobody waits for a run that a person started"


async def test_a_run_that_is_buried_tells_those_above_and_below() -> None:
    parent = await sync_to_async(a_run)()
    place = parent.workspace
    dead = await sync_to_async(a_run)(
        place,
        owner="w/1",
        epoch=9,
        parent=parent,
        parent_path="call",
        parent_count=1,
        cost_micros=30,
        reserved_micros=4,
        input_tokens=20,
        output_tokens=5,
    )
    for n, state in enumerate(("started", "lost", "failed")):
        await Call.objects.acreate(
            run=dead, key=f"a@1/{n}", path="a", attempt=1, n=n, kind="model", name="stub/m", state=state,
            request_hash="", idempotency_key="", reserved_tokens=1_000, started_at=AT,
        )  # fmt: skip
    below = [
        await sync_to_async(a_run)(
            place, parent=dead, parent_path=f"s{n}", parent_count=1, cost_micros=100, state=state, origin=origin
        )
        for n, (state, origin) in enumerate([("running", {}), ("succeeded", {}), ("running", {"detached": True})])
    ]
    async with await a_connection() as connection:
        told = await claims.bury(connection, str(dead.pk), "w/1", 9)
        assert await claims.bury(connection, str(dead.pk), "somebody", 9) == []
    assert sorted(told) == sorted([str(parent.pk), str(below[0].pk)])
    fact = from_json((await Inbox.objects.aget(run=parent)).fact)
    assert isinstance(fact, ChildEnded)
    assert (fact.state, fact.error["code"]) == ("failed", "dead_letter")
    assert (fact.spent["cost"], fact.spent["paid"], fact.spent["tokens"]) == (334, 330, 2025)
    assert isinstance(from_json((await Inbox.objects.aget(run=below[0])).fact), CancelRequested)


def test_what_runs_come_to_is_added_up_over_all_below_them() -> None:
    top = a_run(cost_micros=1, children=2, llm_calls=1)
    place = top.workspace
    middle = a_run(place, parent=top, parent_path="a", parent_count=1, cost_micros=10, children=1, unpriced_calls=1)
    a_run(place, parent=middle, parent_path="b", parent_count=1, cost_micros=100, reserved_micros=7)
    other = a_run(place, cost_micros=1_000)
    family.add_up([top, middle, other])
    assert [run.total_micros for run in (top, middle, other)] == [111, 110, 1_000]
    assert top.totals is not None
    assert (top.totals.reserved_micros, top.totals.unpriced_calls, top.totals.llm_calls) == (7, 1, 1)


def test_a_run_without_children_needs_no_query(django_assert_num_queries: Any) -> None:
    run = a_run(cost_micros=3)
    with django_assert_num_queries(0):
        family.add_up([run])
    assert run.total_micros == 3


async def test_each_child_has_a_board_of_its_own_unless_it_shares_its_parent_s() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1)
    first, second, third = (a_start(parent, number=number) for number in (1, 2, 3))
    shared = replace(third, origin=replace(third.origin, shares_board=True))
    await commit(parent, 1, await sync_to_async(births)(parent, first, second, shared))
    boards = {str(child.pk): str(child.board_id) async for child in Run.objects.filter(parent=parent)}
    assert boards == {first.id: first.id, second.id: second.id, third.id: str(parent.board_id)}


def test_a_pause_a_resume_and_a_pause_of_one_decision_all_arrive() -> None:
    facts = [PauseRequested("carol"), ResumeRequested("carol"), PauseRequested("carol")]
    tells = [Tell("child", fact) for fact in facts]
    keys = [row.row["key"] for row in children.told("parent", tells, 3)]
    assert len(set(keys)) == 3
    assert keys == [row.row["key"] for row in children.told("parent", tells, 3)], "a repeated commit leaves each once"
