"""The engine between any two commits: a decision that was never written never happened, and the run ends the same."""

import copy
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.model import Document
from pipelines.graph.places import places
from runs.engine.decide import decide
from runs.engine.decision import Decision, StepRecord
from runs.engine.facts import Fact
from tests.engine.test_properties import FINAL, Scripted, a_case, final

DEATHS = 4  # one fewer than would give a step up as a dead letter


class Mortal(Scripted):
    """An executor that dies now and then: after deciding and before writing, or after writing and before acting."""

    def __init__(self, document: Document, seed: int, dice: random.Random) -> None:
        super().__init__(document, seed)
        self._dice = dice
        self.deaths = 0

    def tell(self, *facts: Fact) -> Decision:
        if not self.rows or self.deaths >= DEATHS or self._dice.random() > 0.25:
            return super().tell(*facts)
        self.deaths += 1
        if self._dice.random() < 0.5:
            committed = self.run.state
            decide(self.run, facts, self.now)
            self.run.state = committed
        else:
            super().tell(*facts)
            if self.run.state.is_terminal:
                return self.last
        return self.crash(crashed=True)

    def records(self) -> list[StepRecord]:
        """Return the rows as a database would: what is done to them afterwards does not reach it."""
        pristine = copy.deepcopy(self.rows)
        found = super().records()
        self.rows = pristine
        return found


def _is_settled_by_order_alone(document: Document) -> bool:
    """A For each that gives up leaves behind which items were under way: that is a race, its verdict is not."""
    return "each" not in {place.node.kind for place in places(document)}


def compared(player: Scripted) -> Any:
    """Return what must not depend on the order of events, nor on crashes."""
    rows = final(player)
    if not _is_settled_by_order_alone(player.document):
        rows = {path: row[:3] for path, row in rows.items() if "[" not in path and row[0] != "failed"}
    return rows, player.run.state, player.run.reason, player.run.output


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 1_000_000), deaths=st.integers(0, 1_000_000))
def test_a_run_whose_executor_dies_anywhere_comes_to_the_same_end(seed: int, deaths: int) -> None:
    document, dice = a_case(seed, races=False, stops=False), random.Random(deaths)
    steady = Scripted(document, seed).in_any_order(1)
    shaken = Mortal(document, seed, dice)
    shaken.play(dice.choice)
    assert compared(shaken) == compared(steady)
    ended = [event.path for event in shaken.events if event.type == "step_succeeded"]
    assert len(ended) == len(set(ended)), "a step succeeded twice"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000_000), deaths=st.integers(0, 1_000_000))
def test_with_races_and_stops_it_ends_all_the_same(seed: int, deaths: int) -> None:
    dice = random.Random(deaths)
    player = Mortal(a_case(seed, races=True, stops=seed % 2 == 0), seed, dice)
    player.play(dice.choice)
    assert player.run.state.is_terminal
    assert set(player.states().values()) <= FINAL
