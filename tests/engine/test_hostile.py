"""Whatever people and machines do to a run, it ends, holds nothing, and has not passed its caps."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.hostile import Harried, Tried, a_family, a_trying_case
from tests.engine.mixed import a_mixed_case
from tests.engine.test_properties import FINAL

seeds = st.integers(min_value=0, max_value=1_000_000)


@settings(max_examples=80, deadline=None)
@given(seed=seeds, races=st.booleans())
def test_a_run_that_is_stopped_paused_crashed_and_told_old_news_ends_all_the_same(seed: int, *, races: bool) -> None:
    document = a_mixed_case(seed, races=races, stops=seed % 2 == 0)
    player = Harried(document, seed, random.Random(seed)).harry()
    assert set(player.states().values()) <= FINAL
    assert not player.run.running
    assert not any(player.lines.values()), "a lock is held by nobody"
    player.assert_known()
    assert not player.asked()
    ended = [event.path for event in player.events if event.type == "step_succeeded"]
    assert len(ended) == len(set(ended)), "a step succeeded twice"


@settings(max_examples=120, deadline=None)
@given(seed=seeds, races=st.booleans())
def test_retries_in_any_order_with_calls_that_outlive_their_cancel_never_meet_their_own_past(
    seed: int, *, races: bool
) -> None:
    player = Tried(a_trying_case(seed, races=races), seed, random.Random(seed)).harry()
    assert set(player.states().values()) <= FINAL
    assert not player.run.running
    player.assert_known()
    assert not player.asked()
    requests = [event.payload["request"] for event in player.events if event.type == "approval_requested"]
    assert len(requests) == len(set(requests)), "a question was asked under the name of another"


@settings(max_examples=80, deadline=None)
@given(seed=seeds, crash_every=st.sampled_from((0, 0, 12, 30)))
def test_runs_that_started_each_other_end_within_their_cap_whatever_is_done_to_any(seed: int, crash_every: int) -> None:
    family = a_family(seed).harry(seed, crash_every)
    waiting = {
        run: {path: (row["state"], row["wait_reason"]) for path, row in one.rows.items() if row["state"] not in FINAL}
        for run, one in family.members.items()
        if not one.run.state.is_terminal
    }
    assert not waiting, "stuck"
    cap = family.root.budget.max_cost_micros
    assert cap is None or family.paid <= cap
    for one in family.members.values():
        spend = one.run.spend
        assert one.run.children or not (spend.held_cost or spend.held_tokens or spend.held_calls or spend.held_ms)
        assert not spend.reserved, "money is reserved for a call that nobody makes"
