"""Whatever the format allows fits the columns that it is written to: of every row of every commit."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.ids import new_id
from pipelines.graph.common import MODEL
from pipelines.graph.model import Document
from pipelines.graph.places import LONGEST_PATH
from runs.claims import Claimed
from runs.engine.decision import Decision
from runs.engine.facts import Fact
from runs.execution import spans
from runs.execution.context import CallIntent, CallOutcome
from runs.execution.owned import OwnedRun, Pinned
from runs.models import Run, Span
from tests.at_the_limits import CONTAINERS, LONGEST_TITLE, a_deep_graph, long, stretched
from tests.engine.building import a_document
from tests.engine.mixed import Mixed, mixed
from tests.engine.playing import Player
from tests.engine.test_properties import a_random_graph
from tests.widths import misfits

LONGEST_MODEL = long("connection/model", MODEL.max)
seeds = st.integers(min_value=0, max_value=1_000_000)


def an_owned_run(player: Player) -> OwnedRun:
    """Return the run as its owner has it that writes its rows."""
    row: dict[str, Any] = {str(field.column): field.get_default() for field in Run._meta.concrete_fields}
    ids = {name: new_id() for name in ("id", "workspace_id", "pipeline_id", "version_id")}
    row |= {**ids, "state": "queued", "number": 1, "input": player.input, "budget": {"alert_at": []}}
    pinned = Pinned(str(ids["version_id"]), player.document, player.lock, ())
    return OwnedRun(Claimed(row, False, [], [], []), pinned, "worker/1")


class Written(Player):
    """A run whose commits are looked at, with a call for each attempt; `found` are the values that do not fit."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.owned = an_owned_run(self)
        self.found: list[str] = []
        self.longest = 0

    def tell(self, *facts: Fact) -> Decision:
        decision = super().tell(*facts)
        self.owned.execution = self.run
        if commit := self.owned.commit(decision, [], self.now, release=False):
            self.found += misfits(commit)
            self.longest = max([self.longest, *(len(row["path"]) for row in commit.steps)])
        return decision

    def outcome(self, start: Any) -> Any:
        if hasattr(start, "attempt"):
            self._call(start)
        return super().outcome(start)

    def _call(self, start: Any) -> None:
        is_tool = start.node.kind == "tool"
        key = f"{self.owned.id}/{start.path}/1"
        name = start.node.config["tool"] if is_tool else LONGEST_MODEL
        kind = "tool" if is_tool else "model"
        intent = CallIntent(start.path, start.attempt, 1, kind, name, {}, "sha256:" + 64 * "0", idempotency_key=key)
        assert self.owned.reserve(intent, self.now) is None
        self.owned.settle(intent, CallOutcome({}, None, 10, 10, 10, {}, self.now, self.now), self.now)


class WrittenMixed(Mixed, Written):
    """A run of mixed kinds whose commits are looked at."""


def at_the_limits(seed: int) -> Document:
    rng = random.Random(seed)
    return a_document(stretched(mixed(a_random_graph(rng, races=True, stops=False), rng)), name="T" * LONGEST_TITLE)


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_every_row_of_every_commit_fits_its_columns(seed: int) -> None:
    player = WrittenMixed(at_the_limits(seed), seed)
    player.in_any_order(seed)
    assert player.run.state.is_terminal
    assert player.found == []


def test_a_pipeline_drawn_at_the_limits_fits_its_columns() -> None:
    player = WrittenMixed(a_document(a_deep_graph(), name="T" * LONGEST_TITLE), 0)
    player.play()
    assert player.found == []
    assert player.longest > 400


def test_a_run_that_the_deepest_step_starts_fits_its_columns() -> None:
    player = WrittenMixed(a_document(a_deep_graph(spread=True)), 0)
    player.play()
    assert player.run.child_count == 1
    assert player.found == []


@pytest.mark.parametrize(
    "name",
    [
        spans.workflow_name("T" * LONGEST_TITLE),
        spans.tool_name("knowledge.search@1", {"args": {"collection": "c" * 5_000}}),
        spans.chat_name(LONGEST_MODEL),
    ],
)
def test_a_spans_name_is_cut_where_it_is_too_long(name: str) -> None:
    assert len(name) <= (Span._meta.get_field("name").max_length or 0)


def test_no_path_is_longer_than_addresses_take() -> None:
    supervisors = 5
    nested = (len(CONTAINERS) + 1) * 63 + len(CONTAINERS) * len("[4999].")
    assert nested + supervisors * (63 + len(">20.")) <= LONGEST_PATH
