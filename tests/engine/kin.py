"""A run and the runs that its steps start, each played as a worker would own it, with money and crashes."""

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.graph.freeze import lock as freeze
from pipelines.graph.lock import Lock, PipelineSpec
from pipelines.graph.model import Document, Kind
from runs.engine import allotting, budget, doubts
from runs.engine.board import Board, Change
from runs.engine.decision import Decision, Start
from runs.engine.facts import (
    BoardSeen,
    ChildEnded,
    ErrorClass,
    Fact,
    MoreWanted,
    RunRequested,
    StepError,
    StepFailed,
    StepSucceeded,
    Tick,
    from_json,
    to_json,
)
from runs.engine.status import RunState
from tests.engine.building import LIBRARY, TOOLS
from tests.engine.playing import Player

PRICE = 100


def a_spec(document: Document, number: int = 1) -> PipelineSpec:
    """Return a document as a published version whose row has the id `v:slug@number`."""
    exact = f"{document.id}@{number}"
    about = document.description
    return PipelineSpec(exact, f"p:{document.id}", f"v:{exact}", document.name, about, document.inputs, document.budget)


class Member(Player):
    """One run of a family. Each attempt of an agent costs PRICE, reserved before and settled after."""

    def __init__(self, family: "Family", document: Document, input: Any, **more: Any) -> None:
        super().__init__(document, family.script, input, **more)
        self.family = family
        self.board_seen = 0
        if self.run.shares_board:
            family.begin_board(self)

    def tell(self, *facts: Fact) -> Decision:
        under_way = dict(self.open)
        decision = super().tell(*self._news_of_board(), *facts)
        for path in decision.cancels:
            if start := under_way.get(path):
                self._stop(start)
        for start in decision.starts:
            self._reserve(start)
        self.family.note(self, decision)
        return decision

    @property
    def is_due(self) -> bool:
        return self.last.wake_at is not None and self.run.state not in _STILL

    def wait_for_timer(self) -> Decision:
        self.now = max(self.now, self.last.wake_at or self.now)
        return self.tell(Tick())

    def finish(self, path: str) -> Decision:
        start = self.open.pop(path)
        if start.node.kind is Kind.BOARD:
            return self.tell(self.family.change_board(self, start))
        if start.agent is None:
            return self.tell(self.outcome(start))
        refused = self.family.refused.pop((self.origin.run, path), None)
        if refused:
            return self.tell(StepFailed(path, start.attempt, StepError(ErrorClass.BUDGET, refused, "No money.")))
        self._pay(path)
        return self.tell(self.outcome(start))

    def crash(self, *, crashed: bool = True) -> Decision:
        for start in self.open.values():
            refused = self.family.refused.pop((self.origin.run, start.path), None)
            if start.agent is not None and refused is None:
                budget.unconfirm(self.run, start.path, PRICE)
                self.step_spends.setdefault(start.path, budget.Spend()).add(budget.Spend(unconfirmed=PRICE, calls=1))
                self.family.paid += PRICE  # the provider may have charged for it
        self.board_seen = 0
        return super().crash(crashed=crashed)

    def _news_of_board(self) -> list[Fact]:
        """Return what stands on a shared board since this run last looked."""
        if not self.run.shares_board:
            return []
        changes = self.family.boards[self.family.board_of[self.origin.run]]
        news, self.board_seen = changes[self.board_seen :], len(changes)
        return [BoardSeen(tuple(tuple(change) for change in news))] if news else []

    def _stop(self, start: Start) -> None:
        """A call that is under way ends and is paid for, and then its step says that it stopped."""
        if start.agent is not None and self.family.refused.pop((self.origin.run, start.path), None) is None:
            self._pay(start.path)
        error = StepError(ErrorClass.INTERNAL, "cancelled", "The step was cancelled.")
        self.family.mail.append((self.origin.run, StepFailed(start.path, start.attempt, error)))

    def _pay(self, path: str) -> None:
        budget.settle(self.run, path, PRICE, budget.Usage(PRICE, 1, 1))
        spent = budget.Spend(PRICE, calls=1, input_tokens=1, output_tokens=1)
        self.step_spends.setdefault(path, budget.Spend()).add(spent)
        self.family.paid += PRICE

    def _reserve(self, start: Start) -> None:
        if start.agent is None:
            return
        refusal = budget.admit(self.run, start.path, PRICE)
        if refusal:
            self.family.refused[self.origin.run, start.path] = refusal.code
        else:
            budget.reserve(self.run, start.path, PRICE)


class Family:
    """`members` are the runs by id, the first is the one that a person started. `mail` waits to be delivered.

    `documents` are the pipelines that may be started, by slug; `script` is that of all players.
    """

    def __init__(
        self, root: Document, documents: Mapping[str, Document], script: Any = None, input: Any = None, **more: Any
    ) -> None:
        self.script = script or {}
        self.specs = {spec.id: spec for spec in map(a_spec, documents.values())}
        self.documents = {a_spec(one).version: one for one in documents.values()}
        self.members: dict[str, Member] = {}
        self.parents: dict[str, tuple[str, str, int]] = {}
        self.mail: list[tuple[str, Fact]] = []
        self.refused: dict[tuple[str, str], str] = {}
        self.paid = 0
        self.boards: defaultdict[str, list[Change]] = defaultdict(list)
        self.board_of = {"root": "root"}
        self.made: dict[tuple[str, str, int], Change] = {}
        self.root = self.members["root"] = Member(self, root, input or {}, lock=self.lock_of(root), **more)

    def lock_of(self, document: Document) -> Lock:
        lock = freeze(document, replace(LIBRARY, pipelines=self.specs))
        return replace(lock, tools={**TOOLS, **lock.tools}, pipelines={**self.specs, **lock.pipelines})

    def note(self, member: Member, decision: Decision) -> None:
        """Do what a worker's commit does for relatives: make children, leave facts, report an end."""
        run = member.origin.run
        for start in decision.children:
            self.board_of[start.id] = self.board_of[run] if start.origin.shares_board else start.id
            document = self.documents[start.version] if start.version else member.document
            origin = replace(start.origin, run=start.id)
            assert start.id not in self.members
            self.members[start.id] = Member(
                self, document, start.input, lock=self.lock_of(document), budget=start.budget, origin=origin
            )
            self.parents[start.id] = (run, start.path, start.number)
            self.mail.append((start.id, RunRequested()))
        self.mail += [(tell.child, from_json(to_json(tell.fact))) for tell in decision.tells]
        for ask in decision.asks:
            parent, path, number = self.parents[run]
            more = MoreWanted(path, number, ask.request, ask.what, ask.short)
            self.mail.append((parent, from_json(to_json(more))))
        if run in self.parents and any(event.type == "run_finished" for event in decision.events):
            parent, path, number = self.parents[run]
            one = member.run
            used = allotting.used_by(one.spend)
            end = ChildEnded(path, number, one.state, one.reason, one.output, doubts.error_of(one), used)
            self.mail.append((parent, from_json(to_json(end))))

    def begin_board(self, member: Member) -> None:
        """Put the first values of a run's document where nothing has ever stood."""
        changes = self.boards[self.board_of[member.origin.run]]
        known = {change.key for change in changes}
        changes += [Change(key, 1, "write", value) for key, value in member.document.board.items() if key not in known]

    def change_board(self, member: Member, start: Start) -> StepSucceeded | StepFailed:
        """Change a shared board as `runs.boards` does: once for each attempt of a step."""
        changes = self.boards[self.board_of[member.origin.run]]
        asked = (member.origin.run, start.path, start.attempt)
        if asked not in self.made:
            board = Board()
            board.see(changes)
            op = start.node.config["op"]
            found = board.change(start.input["key"], op, start.input["value"], start.input["if_version"])
            if isinstance(found, StepError):
                return StepFailed(start.path, start.attempt, found)
            changes.append(found)
            self.made[asked] = found
        made = self.made[asked]
        return StepSucceeded(
            start.path, start.attempt, made.value, {"key": made.key, "version": made.version, "op": made.op}
        )

    def children(self) -> list[Member]:
        return [member for run, member in self.members.items() if run in self.parents]

    def deliver(self) -> None:
        """Hand over the oldest letter; a second copy must change nothing."""
        run, fact = self.mail.pop(0)
        self.members[run].tell(fact)
        if isinstance(fact, ChildEnded | MoreWanted):
            self.members[run].tell(fact)

    def play(self, seed: int = 0, crash_every: int = 0) -> "Family":
        """Play everything to its end in an order that `seed` chooses; crash some run at one move in `crash_every`."""
        chance = random.Random(seed)
        if self.root.run.state is RunState.QUEUED:
            self.root.begin()
        for _ in range(10_000):
            moves = [("work", run, path) for run, one in self.members.items() for path in sorted(one.open)]
            if self.mail:
                moves.append(("mail", "", ""))
            if not moves:
                if not (late := [one for one in self.members.values() if one.is_due]):
                    return self
                late[0].wait_for_timer()
                continue
            if crash_every and chance.randrange(crash_every) == 0:
                live = [one for one in self.members.values() if one.run.state not in _STILL]
                if live:
                    chance.choice(live).crash()
                    continue
            what, run, path = chance.choice(moves)
            if what == "mail":
                self.deliver()
            else:
                self.members[run].finish(path)
        raise AssertionError("The family never ends.")


_STILL = (RunState.QUEUED, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
