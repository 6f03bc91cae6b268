"""Cancel, pause, step through, recover."""

import pytest

from runs.engine.facts import (
    CancelForced,
    CancelRequested,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunRequested,
    StepSucceeded,
    Tick,
)
from tests.engine.playing import Fails, a_run


def test_a_run_starts_once() -> None:
    player = a_run("start >> a >> result")
    assert player.begin().starts
    again = player.tell(RunRequested())
    assert not again.events
    assert not again.changed


def test_cancel_ends_what_waits_and_stops_what_runs() -> None:
    player = a_run("start >> a, b >> c >> result; start >> approve >> send", {"b": Fails("transient")})
    player.begin()
    player.finish("b")
    decision = player.tell(CancelRequested("alice", "Wrong customer"))
    assert decision.cancels == ["a"]
    assert not decision.starts
    assert player.run.state == "cancelling"
    assert player.state("b") == player.state("c") == player.state("approve") == "cancelled"
    assert player.state("a") == "running"
    assert not player.tell(CancelRequested("alice")).events
    player.tell(StepSucceeded("a", 1, "too late"))
    assert player.run.state == "cancelled"
    assert (player.state("a"), player.row("a")["output"]) == ("cancelled", "too late")
    assert player.events[-1].type == "run_finished"


@pytest.mark.parametrize("fact", [CancelForced(), Recovered(crashed=True)])
def test_what_does_not_stop_is_given_up(fact: CancelForced | Recovered) -> None:
    player = a_run("start >> a >> result")
    player.begin()
    player.tell(CancelRequested())
    player.tell(fact)
    assert player.run.state == player.state("a") == "cancelled"


def test_a_force_without_a_cancel_does_nothing() -> None:
    player = a_run("start >> a >> result")
    player.begin()
    assert not player.tell(CancelForced()).events


def test_a_queued_run_is_cancelled_before_it_began() -> None:
    player = a_run("start >> a >> result")
    player.tell(CancelRequested())
    assert player.run.state == "cancelled"
    assert not player.rows
    assert not player.tell(RunRequested()).starts


def test_a_paused_run_finishes_what_runs_and_starts_nothing() -> None:
    player = a_run("start >> a >> b >> result")
    player.begin()
    player.tell(PauseRequested("alice"))
    assert player.run.state == "paused"
    player.finish("a")
    assert player.state("b") == "ready"
    assert player.last.idle
    player.crash()
    assert player.run.state == "paused"
    assert not player.open
    assert player.tell(ResumeRequested("alice")).starts
    assert player.play().run.state == "succeeded"


def test_a_paused_run_takes_answers_and_waits_with_them() -> None:
    player = a_run("start >> approve >> send >> result").play()
    player.tell(PauseRequested())
    player.answer("approve")
    assert player.state("approve") == "succeeded"
    assert not player.started
    player.tell(ResumeRequested())
    assert player.paths_started() == ["send"]


def test_a_retry_that_falls_due_in_a_pause_waits_for_its_end() -> None:
    player = a_run("start >> a >> result", {"a": [Fails("transient"), "fine"]})
    player.begin()
    player.finish("a")
    player.tell(PauseRequested())
    assert not player.wait(60).starts
    assert player.state("a") == "ready"
    assert player.tell(ResumeRequested()).starts[0].attempt == 2


def test_a_run_steps_through_where_the_document_says() -> None:
    player = a_run("start >> a >> b >> result", document={"pause_before": ["b", "result"]})
    player.begin()
    player.finish("a")
    assert player.run.state == "paused"
    assert player.events[-2].payload == {"before": "b"}
    player.crash()
    assert player.tell(ResumeRequested()).starts[0].path == "b"
    player.finish("b")
    assert player.run.state == "paused"
    player.tell(ResumeRequested())
    assert player.run.state == "succeeded"


def test_pause_and_resume_of_what_is_not_so_do_nothing() -> None:
    player = a_run("start >> a >> result")
    assert not player.tell(PauseRequested()).events
    player.begin()
    assert not player.tell(ResumeRequested()).events
    player.play()
    assert not player.tell(PauseRequested(), ResumeRequested(), CancelRequested()).events


def test_a_recovered_run_starts_the_same_attempts_again() -> None:
    player = a_run("start >> a, b >> join >> result", {"a": ["x"]}, a={"prompt": "For ${input.n}."}, input={"n": 1})
    player.begin()
    before = [(start.path, start.attempt, start.input, start.trust) for start in player.started]
    decision = player.crash()
    assert [(start.path, start.attempt, start.input, start.trust) for start in decision.starts] == before
    assert not [event for event in decision.events if event.type == "step_started"]
    assert player.play().run.state == "succeeded"


def test_a_run_waits_only_when_nothing_else_goes_on() -> None:
    player = a_run("start >> a >> result; start >> approve >> send")
    player.begin()
    assert player.run.state == "running"
    player.finish("a")
    assert player.run.state == "waiting"
    assert player.events[-1].payload == {"reasons": ["approval"]}
    player.answer("approve")
    assert player.run.state == "running"
    assert "run_resumed" in player.types()


def test_nothing_is_logged_for_looking_at_the_clock() -> None:
    player = a_run("start >> approve >> send >> result").play()
    for _ in range(3):
        decision = player.tell(Tick())
        assert not decision.events
        assert not decision.changed
