"""What must hold for every graph holds for every kind: each order ends the same, wherever the executor dies."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.places import places
from tests.engine.mixed import KINDS, Mixed, a_mixed_case
from tests.engine.test_crashes import Mortal, compared
from tests.engine.test_properties import FINAL, assert_sound

seeds = st.integers(min_value=0, max_value=1_000_000)


class MortalMixed(Mortal, Mixed):
    """A run of mixed kinds whose executor dies now and then."""


@settings(max_examples=120, deadline=None)
@given(seed=seeds)
def test_the_end_of_a_mixed_run_does_not_depend_on_order(seed: int) -> None:
    ends = []
    for order in range(3):
        player = Mixed(a_mixed_case(seed, races=False, stops=False), seed).in_any_order(order)
        assert_sound(player)
        ends.append(compared(player))
    assert all(end == ends[0] for end in ends)


@settings(max_examples=120, deadline=None)
@given(seed=seeds, deaths=seeds)
def test_a_mixed_run_whose_executor_dies_anywhere_comes_to_the_same_end(seed: int, deaths: int) -> None:
    document, dice = a_mixed_case(seed, races=False, stops=False), random.Random(deaths)
    steady = Mixed(document, seed).in_any_order(1)
    shaken = MortalMixed(document, seed, dice)
    shaken.play(dice.choice)
    assert compared(shaken) == compared(steady)
    ended = [event.path for event in shaken.events if event.type == "step_succeeded"]
    assert len(ended) == len(set(ended)), "a step succeeded twice"


@settings(max_examples=60, deadline=None)
@given(seed=seeds, deaths=seeds)
def test_with_races_and_stops_a_mixed_run_ends_all_the_same(seed: int, deaths: int) -> None:
    dice = random.Random(deaths)
    player = MortalMixed(a_mixed_case(seed, races=True, stops=seed % 2 == 0), seed, dice)
    player.play(dice.choice)
    assert player.run.state.is_terminal
    assert set(player.states().values()) <= FINAL
    assert not any(player.lines.values()), "a lock is held by nobody"


def test_the_graphs_have_every_kind_and_every_kind_gets_to_run() -> None:
    drawn, ended = Counter[str](), Counter[str]()
    for seed in range(60):
        player = Mixed(a_mixed_case(seed, races=False, stops=False), seed).play()
        drawn.update(place.node.kind for place in places(player.document))
        ended.update(row["kind"] for row in player.rows.values() if row["state"] == "succeeded")
    for kind in KINDS:
        assert drawn[kind] > 5, kind
        assert ended[kind] > 2, kind
