"""What holds of a team whatever happens: failures, people, money, cancel, pause, a crash between any two decisions."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runs.engine import budget
from runs.engine.decision import Start
from runs.engine.facts import (
    CancelRequested,
    ErrorClass,
    PauseRequested,
    ResumeRequested,
    StepBlocked,
    StepError,
    StepFailed,
    StepSucceeded,
)
from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run
from tests.engine.teams import MEMBERS, MODES, a_team, chooses, said
from tests.engine.test_properties import assert_sound, final


def test_a_member_that_fails_fails_the_team_and_a_retry_runs_only_what_failed() -> None:
    script = {"speak_1": [Fails(), "Better."], "close": {"winner": "nobody", "verdict": "A draw."}}
    config = {"mode": "debate", "judge": "host", "rounds": 1, "members": ["ann", "ben"]}
    player = a_team(script, on_error={"then": "ask_human"}, **config)
    player.play(choose=lambda paths: paths[-1])
    assert player.state("chat") == "waiting"
    assert player.row("chat")["error"]["code"] == "turn_failed"
    player.crash(crashed=False)
    player.answer("retry")
    player.play()
    assert player.run.output == "A draw."
    assert player.paths_started() == ["chat~1.speak_1", "chat~1.speak_2", "chat~1.speak_1", "chat~2.close"]


def test_more_than_can_be_told_fails_the_team_by_name() -> None:
    player = a_team({"speak_1": "x" * 2_000_000}, stop={"max_turns": 2}).play()
    assert player.run.error["code"] == "prompt_too_large"


def test_retries_repairs_and_fallbacks_are_the_team_s() -> None:
    script = {"speak_1": [Fails("transient"), "There."]}
    player = a_team(script, stop={"max_turns": 1}, on_error={"retry": {"max_attempts": 2}}, timeout="PT7S").play()
    assert player.run.output == "There."
    assert player.started[0].timeout == 7
    other = {"retry": {"max_attempts": 1}, "fallback": [{"model": "demo/echo"}]}
    helped = a_team({"speak_1": [Fails("refused"), "Here."]}, stop={"max_turns": 1}, on_error=other).play()
    assert (helped.run.output, [start.model for start in helped.started]) == ("Here.", [None, "demo/echo"])
    once = a_team(script, stop={"max_turns": 1}, on_error={"retry": {"max_attempts": 1}}).play()
    assert once.run.error["code"] == "turn_failed"


def test_the_team_s_cap_covers_all_its_turns() -> None:
    player = a_team(budget={"max_llm_calls": 1})
    player.begin()
    assert budget.admit(player.run, "chat~1.speak_1", 10) is None
    budget.reserve(player.run, "chat~1.speak_1", 10)
    refusal = budget.admit(player.run, "chat~2.speak_2", 10)
    assert refusal is not None
    assert (refusal.cap, refusal.code) == ("chat", "step_cap")


def test_an_irreversible_call_in_a_turn_waits_for_its_approval() -> None:
    call = {"tool": "email.send@1", "args": {"to": "bo@example.com"}}

    def acts(start: Start) -> Any:
        if start.grants:
            return StepSucceeded(start.path, start.attempt, "Sent.")
        return StepBlocked(start.path, start.attempt, "approve", call, "Send it?", "It cannot be undone.")

    player = a_team({"speak_1": acts}, stop={"max_turns": 1}).play()
    assert player.state("chat~1.speak_1") == "waiting"
    player.crash(crashed=False)
    player.answer("approve", path="chat~1.speak_1")
    player.play()
    assert player.run.output == "Sent."


def test_a_paused_team_begins_no_turn_and_goes_on_after() -> None:
    player = a_team(stop={"max_turns": 2})
    player.begin()
    player.tell(PauseRequested("alice"))
    player.finish("chat~1.speak_1")
    assert not player.open
    player.crash(crashed=False)
    assert not player.open
    player.tell(ResumeRequested("alice"))
    assert list(player.open) == ["chat~2.speak_2"]


def test_a_pause_between_choice_and_speech_loses_neither() -> None:
    script = {"choose": chooses("cem")}
    player = a_team(script, mode="selector", agent="host", stop={"max_turns": 1})
    player.begin()
    player.tell(PauseRequested("alice"))
    player.finish("chat~1.choose")
    player.crash(crashed=False)
    assert not player.open
    player.tell(ResumeRequested("alice"))
    assert list(player.open) == ["chat~1.speak_3"]
    assert player.play().run.output == "cem in turn 1"


def test_a_team_at_its_cap_may_go_on_when_a_person_says_so() -> None:
    player = a_team(budget={"max_llm_calls": 1}, on_error={"then": "ask_human"}, stop={"max_turns": 1})
    player.begin()
    budget.reserve(player.run, "chat~1.speak_1", 10)
    refusal = budget.admit(player.run, "chat~1.speak_1", 10)
    assert refusal is not None
    player.tell(StepFailed("chat~1.speak_1", 1, StepError(ErrorClass.BUDGET, refusal.code, refusal.message)))
    assert (player.state("chat"), player.row("chat")["wait_reason"]) == ("waiting", "failure")
    player.open.clear()
    player.answer("retry")
    assert list(player.open) == ["chat~1.speak_1"]
    assert player.play().run.output == "ann in turn 1"


def test_a_cancelled_team_ends_with_its_turn() -> None:
    player = a_team()
    player.begin()
    running = player.open["chat~1.speak_1"]
    player.tell(CancelRequested("alice"))
    player.tell(player.outcome(running))
    assert player.run.state == "cancelled"
    assert player.state("chat") == "cancelled"


def test_teams_stand_in_rounds_of_items() -> None:
    team = {"kind": "team", "task": "Plan ${item}.", "members": MEMBERS, "stop": {"max_turns": 2}}
    tries = {"kind": "repeat", "until": "round.n == 2", "graph": a_graph("talk", talk=team)}
    each = {"kind": "each", "over": ["soup", "bread"], "graph": a_graph("tries", tries=tries)}
    script = {f"speak_{n}": said for n in (1, 2)}
    player = a_run(
        "start >> menu >> result", script, menu=each, result={"kind": "output", "value": "${steps.menu.output}"}
    )
    player.begin()
    player.finish("menu[0].tries#1.talk~1.speak_1")
    player.crash(crashed=False)
    player.play()
    assert player.run.output == ["ben in turn 2", "ben in turn 2"]
    assert "Plan bread." in next(start.input["prompt"] for start in player.started if "[1]" in start.path)


# whatever happens


def a_random_team(seed: int) -> Player:
    rng = random.Random(seed)
    mode = rng.choice(MODES)
    ends = {"judge": "host", "agreed_by": 2, "idle": 2, "says": "turn 4", "until": "turn.n == 5"}
    stop: dict[str, Any] = {name: value for name, value in ends.items() if rng.random() < 0.25}
    stop["max_turns"] = rng.randint(1, 6)
    config = {
        "mode": mode,
        "stop": stop,
        "agent": "host",
        "judge": "host",
        "rounds": rng.randint(1, 3),
        "no_repeat": rng.random() < 0.7,
        "history": rng.choice(("full", "last_n", "summary")),
        "last_n": rng.randint(1, 2),
        "max_stalls": rng.randint(1, 2),
        "max_resets": rng.randint(0, 2),
        "members": MEMBERS[: rng.randint(2, 3)],
    }
    script: dict[str, Any] = {}
    if rng.random() < 0.3:
        script[f"speak_{rng.randint(1, 2)}"] = lambda start: Fails("transient") if start.attempt == 1 else said(start)
    if rng.random() < 0.15:
        script["speak_2"] = Fails()
    return a_team({name: wrapped(what) for name, what in script.items()}, **config)


def wrapped(what: Any) -> Any:
    """Return an entry of a script that may come to a failure only when it is its turn."""
    return what if isinstance(what, Fails) else lambda start: _told(what(start), start)


def _told(answer: Any, start: Start) -> Any:
    if not isinstance(answer, Fails):
        return answer
    return StepFailed(start.path, start.attempt, answer.error, jitter=0.5)


seeds = st.integers(min_value=0, max_value=1_000_000)


@settings(max_examples=120, deadline=None)
@given(seed=seeds, order=st.integers(min_value=0, max_value=3))
def test_every_team_ends_and_no_attempt_is_made_twice(seed: int, order: int) -> None:
    player = a_random_team(seed).in_any_order(order)
    assert_sound(player)
    assert player.run.output == a_random_team(seed).play().run.output


@settings(max_examples=120, deadline=None)
@given(seed=seeds, every=st.integers(min_value=1, max_value=5))
def test_a_team_that_is_restored_between_any_two_decisions_ends_the_same(seed: int, every: int) -> None:
    steady, shaken = a_random_team(seed).play(), a_random_team(seed)
    turn = 0

    def maybe_crash(player: Player) -> None:
        nonlocal turn
        turn += 1
        if turn % every == 0 and not player.run.state.is_terminal:
            player.crash(crashed=False)

    shaken.play(each_time=maybe_crash)
    assert final(shaken) == final(steady)
    assert (shaken.run.state, shaken.run.output, shaken.run.error) == (
        steady.run.state,
        steady.run.output,
        steady.run.error,
    )
    assert [start.input for start in _firsts(shaken)] == [start.input for start in _firsts(steady)]


def _firsts(player: Player) -> list[Start]:
    return list({(start.path, start.attempt): start for start in player.started}.values())
