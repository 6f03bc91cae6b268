"""A worker that dies at chosen commits: the real actor, claims and store on real rows, with a scripted world outside.

What is outside answers by path alone, so that a run comes to the same end however often its owner dies; it counts what
reached it, and under which keys.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection, transaction

from accounts.access import Actor as Person
from accounts.ids import new_id
from approvals import services as desk
from approvals.models import Approval
from approvals.policy import Decision as Answer
from pipelines.graph.lock import Lock
from pipelines.graph.parse import parse
from pipelines.models import Pipeline, PipelineVersion
from runs import claims, dispatch, locks, store
from runs.cache import Kept
from runs.claims import Claim, Claimed
from runs.engine.decision import Decision
from runs.engine.facts import ErrorClass, Recovered, RunRequested
from runs.execution.actor import Actor
from runs.execution.admission import Admission
from runs.execution.context import ToolCall
from runs.execution.failures import Failure, transient
from runs.execution.models.values import ModelAnswer, ModelRequest, Usage
from runs.execution.owned import OwnedRun, Pinned
from runs.execution.slots import Slots
from runs.models import Event, Run
from runs.store import Commit, Fenced
from tests.engine.building import a_document, a_lock
from tests.runs.builders import a_connection
from tests.widths import misfits

ENDED = ("succeeded", "failed", "cancelled")
MOST_LIVES = 200
# For five seconds after the database has come up, nobody takes a lease for over.
_LEASES_MAY_RUN_OUT = (
    "select pg_sleep(greatest(0, 5.1 - extract(epoch from clock_timestamp() - pg_postmaster_start_time())))"
)


class Killed(BaseException):
    """The process is gone; nobody cleans up."""


@dataclass(frozen=True)
class Death:
    """The owner dies at its n-th commit (from 0), before or after the rows are written.

    `of_the_run` counts the commits of all owners before it too, so that no commit of a run that waits in between is
    beyond reach.
    """

    commit: int
    after: bool
    of_the_run: bool = False


# Outside


@dataclass
class World:
    """Models and tools. `sent` has the keys under which each path's calls arrived, `done` what effects happened.

    `luck` says which paths fail; with None none does.
    """

    luck: int | None
    sent: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    done: Counter[str] = field(default_factory=Counter)
    provider: str = "world"

    async def ask(self, request: ModelRequest, key: str, may_leave: asyncio.Event) -> ModelAnswer:
        await may_leave.wait()
        path = self._arrived(key)
        await self._take_time(path)
        draw = self._draw(path)
        if draw < 0.12:
            raise Failure(ErrorClass.REFUSED, "refused", f"{path} is refused.")
        if draw < 0.24:
            raise transient("rate_limited", f"{path} is overloaded.", 0.0)
        return ModelAnswer(f"wrote {path}", model=request.model, usage=Usage(10, 10))

    async def act(self, args: Mapping[str, Any], call: ToolCall) -> Any:
        path = self._arrived(call.idempotency_key)
        await self._take_time(path)
        if self._draw(path) < 0.15:
            raise Failure(ErrorClass.TOOL_ERROR, "broken", f"{path} is broken.")
        self.done[path] += 1
        await self._take_time(path)
        return self.result_of(path)

    def result_of(self, path: str) -> Any:
        return {"did": path}

    def _arrived(self, key: str) -> str:
        path = key.split("/", 1)[1].rsplit("/", 1)[0]
        self.sent[path][key] += 1
        return path

    def _draw(self, path: str) -> float:
        return 1.0 if self.luck is None else self._dice(path).random()

    def _dice(self, path: str) -> random.Random:
        return random.Random(f"{self.luck}/{path}")

    async def _take_time(self, path: str) -> None:
        for _ in range(self._dice(f"time/{path}").randrange(4)):
            await asyncio.sleep(0)


# Inside


class MortalHost:
    """What an actor needs of its worker, and the death of that worker at the commits in `deaths`, one per life."""

    def __init__(self, link: psycopg.AsyncConnection[Any], deaths: Iterable[Death]) -> None:
        self.slots = Slots(100)
        self.admission = Admission("mortal", self.ask, self._spawn)
        self.commits = 0
        self.died = 0
        self._link = link
        self._deaths = deque(deaths)
        self._in_this_life = 0
        self._unwritten: list[Commit] = []
        self._at_work = asyncio.Lock()

    async def be_born(self) -> None:
        self._in_this_life = 0
        await self._haunt()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def hold(self, wanted: object) -> Any:
        raise AssertionError("No budget covers these runs.")

    async def cached(self, workspace_id: str, key: str) -> Kept | None:
        return None

    async def commit(self, commit: Commit) -> bool:
        assert misfits(commit) == []
        death = self._deaths[0] if self._deaths else None
        dies = death is not None and death.commit <= (self.commits if death.of_the_run else self._in_this_life)
        if dies and death and not death.after:
            self._unwritten.append(commit)
            self._die()
        async with self._at_work:
            held = await store.write(self._link, [commit])
        if str(commit.run["id"]) not in held:
            raise Fenced
        self.commits += 1
        self._in_this_life += 1
        await self._haunt()
        if dies:
            self._die()
        return held[str(commit.run["id"])]

    async def read_inbox(self, run_id: str) -> list[tuple[int, object]]:
        async with self._at_work:
            return await claims.read_inbox(self._link, run_id)

    def committed(self, run: OwnedRun, decision: Decision) -> None:
        return

    async def _haunt(self) -> None:
        """Let former owners, who were not dead but asleep, write what they had decided: they must write nothing."""
        for commit in self._unwritten:
            async with self._at_work:
                held = await store.write(self._link, [commit])
            assert not held, "a former owner has written"

    def _die(self) -> None:
        self._deaths.popleft()
        self.died += 1
        raise Killed

    async def ask(self, question: Any) -> Any:
        async with self._at_work:
            return await question(self._link)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("No call here has a limit or a circuit.")


def a_pinned_run(workspace: Any, graph: Mapping[str, Any], **fields: Any) -> tuple[Run, Pinned]:
    """Insert a run of this graph as `start_run` does, with a version that no rule of publishing has seen."""
    document = a_document(graph)
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "test", "name": "Test"}
    raw = {**head, **fields, "graph": graph}
    lock = a_lock(document).as_json()
    with transaction.atomic():
        pipeline = Pipeline.objects.create(workspace=workspace, slug=f"p{new_id().hex[-12:]}", name="Pipeline")
        version = PipelineVersion.objects.create(pipeline=pipeline, number=1, hash="sha256:0", document=raw, lock=lock)
        number = Run.objects.filter(workspace=workspace).count() + 1
        run = Run.objects.create(
            workspace=workspace, pipeline=pipeline, version=version, number=number, budget={"alert_at": []}, seq=1
        )
        Event.objects.create(run=run, seq=1, type="run_created", at=run.created_at, payload={})
        dispatch.report(run.id, RunRequested(), key="start")
    return run, Pinned(str(version.pk), parse(raw), Lock.from_json(json.loads(json.dumps(lock))), ())


def live_through(run: Run, pinned: Pinned, world: World, bob: Person, deaths: Iterable[Death] = ()) -> MortalHost:
    """Carry a run to its end through these deaths; bob answers what is asked. Return the host with its counts."""
    return asyncio.run(_live_through(run, pinned, world, bob, deaths))


async def _live_through(run: Run, pinned: Pinned, world: World, bob: Person, deaths: Iterable[Death]) -> MortalHost:
    async with await a_connection() as link:
        await link.execute(_LEASES_MAY_RUN_OUT)
        host = MortalHost(link, deaths)
        for life in range(MOST_LIVES):
            locks.look()  # as every worker's poll does
            claimed = await _claimed(link, str(run.pk), f"mortal/{life}")
            if claimed is None:
                if await _state(link, run) in ENDED:
                    await claims.settle_abandoned(link)  # as every worker's poll does
                    return host
                _answer_everything(run, world, bob)
                continue
            await host.be_born()
            await _live_once(host, claimed, pinned, f"mortal/{life}")
    raise AssertionError(f"The run has not ended after {MOST_LIVES} lives.")


async def _live_once(host: MortalHost, claimed: Claimed, pinned: Pinned, owner: str) -> None:
    owned = OwnedRun(claimed, pinned, owner)
    actor = Actor(host, owned)
    if claimed.run["revision"]:
        owned.lose_started_calls(claimed.calls, host.now())
        actor.post(Recovered(claimed.crashed, claimed.run["crashes"]))
    actor.deliver(claimed.inbox)
    try:
        await actor.live()
    except Killed:
        return


async def _claimed(link: psycopg.AsyncConnection[Any], run_id: str, owner: str) -> Claimed | None:
    """Claim a run that has something to do; a dead owner's lease is over at once."""
    await link.execute("update runs_run set lease_until = now() - interval '1 second' where owner is not null")
    free = [one for one, _ in await claims.claimable(link, owner, 100)]
    return await claims.claim(link, Claim(run_id, owner, 30, True)) if run_id in free else None


async def _state(link: psycopg.AsyncConnection[Any], run: Run) -> str:
    cursor = await link.execute("select state from runs_run where id = %s", (run.pk,))
    row = await cursor.fetchone()
    assert row
    return str(row[0])


def _answer_everything(run: Run, world: World, bob: Person) -> None:
    """Approve what is asked; of a call whose outcome is unknown say what is true of it."""
    questions = list(Approval.objects.filter(run=run, state="open"))
    assert questions, f"The run waits for nobody: {Run.objects.get(pk=run.pk).state}"
    for question in questions:
        if question.kind == "answer":
            answer = Answer("answer", payload={"said": question.path})
        elif question.kind == "failure":
            answer = Answer("skip", reason="It need not be.")
        elif question.kind != "outcome_unknown":
            answer = Answer("approve", payload_hash=question.payload_hash)
        elif world.done[question.path]:
            answer = Answer("use", payload=world.result_of(question.path), reason="It happened.")
        else:
            answer = Answer("retry", reason="It never arrived.")
        desk.decide(bob, question.pk, answer)
    connection.close()
