"""A fork of a finished run pays for what runs anew and for nothing else, and does nothing twice without a new yes."""

from typing import Any

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from runs.forks import Fork, fork
from runs.models import Run, Step
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def cost_of(run: Run, *paths: str) -> int:
    return sum(Step.objects.filter(run=run, path__in=paths).values_list("cost_micros", flat=True))


def asked_since(stage: Stage, before: dict[str, int]) -> dict[str, int]:
    return {step: count - before.get(step, 0) for step, count in stage.asked().items() if count > before.get(step, 0)}


def test_a_fork_from_the_fourth_of_five_steps_pays_for_two(stage: Stage) -> None:
    stage.worker("w1")
    first = stage.wait(stage.start(stage.chain(5, 0)))
    before = stage.asked()
    forked = stage.wait(fork(stage.composer, first, Fork("a4")))
    assert (forked.state, forked.output) == ("succeeded", first.output)
    assert asked_since(stage, before) == {"a4": 1, "a5": 1}
    assert forked.cost_micros == cost_of(first, "a4", "a5") > 0
    assert forked.saved_micros == cost_of(first, "a1", "a2", "a3") == first.cost_micros - forked.cost_micros
    assert books_balance(forked)
    assert has_no_gap(forked)
    reused = Step.objects.filter(run=forked, flags__contains=["reused"])
    assert {step.path: step.cost_micros for step in reused} == dict.fromkeys(["start", "a1", "a2", "a3"], 0)


def test_a_worker_killed_in_a_fork_loses_nothing_that_was_reused(stage: Stage) -> None:
    worker = stage.worker("w1")
    first = stage.wait(stage.start(stage.chain(4, 1500)), seconds=60)
    before = stage.asked()
    forked = fork(stage.composer, first, Fork("a3"))
    wait_for(lambda: stage.asked()["a3"] > before["a3"], 30, stage.logs)
    worker.kill()
    stage.worker("w2")
    forked = stage.wait(forked, seconds=60)
    assert forked.state == "succeeded"
    assert set(asked_since(stage, before)) == {"a3", "a4"}
    assert books_balance(forked)
    assert has_no_gap(forked)


def a_mailing(stage: Stage) -> Any:
    """Publish write >> mail >> log, where the mail cannot be taken back."""
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "agent", "agent": stage.agent("writes"), "prompt": "[run=${input.run} step=write]"},
        "mail": {
            "kind": "tool",
            "tool": "email.send@1",
            "args": {"to": "ann@example.com", "subject": "Hello", "body": "${steps.write.output}"},
        },
        "log": {"kind": "agent", "agent": stage.agent("logs"), "prompt": "[run=${input.run} step=log]"},
        "end": {"kind": "output", "value": "${steps.log.output}"},
    }
    return stage.pipeline("mailing", nodes, ["start>write", "write>mail", "mail>log", "log>end"])


def approve(stage: Stage, run: Run) -> None:
    question = Approval.objects.get(run=run, state="open")
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))


def test_no_mail_goes_out_again_without_a_new_approval(stage: Stage) -> None:
    stage.worker("w1")
    first = stage.start(a_mailing(stage))
    stage.wait(first, "waiting")
    approve(stage, first)
    first = stage.wait(first)
    assert len(stage.mails()) == 1

    after = stage.wait(fork(stage.composer, first, Fork("log")))
    assert after.state == "succeeded"
    assert len(stage.mails()) == 1, "what is not downstream is reused, never done again"
    assert not Approval.objects.filter(run=after).exists()

    again = fork(stage.composer, first, Fork("mail"))
    stage.wait(again, "waiting")
    assert len(stage.mails()) == 1
    approve(stage, again)
    again = stage.wait(again)
    assert again.state == "succeeded"
    assert len(stage.mails()) == 2


def test_what_a_person_wrote_is_what_is_asked_about_and_sent(stage: Stage) -> None:
    stage.worker("w1")
    first = stage.start(a_mailing(stage))
    stage.wait(first, "waiting")
    approve(stage, first)
    first = stage.wait(first)
    before = stage.asked()
    forked = fork(stage.composer, first, Fork(overrides={"write": "My own words."}))
    stage.wait(forked, "waiting")
    question = Approval.objects.get(run=forked, state="open")
    assert question.payload["args"]["body"] == "My own words."
    assert question.trust["/args/body"] == "user"
    approve(stage, forked)
    forked = stage.wait(forked)
    assert forked.state == "succeeded"
    assert asked_since(stage, before) == {"log": 1}
    assert Step.objects.get(run=forked, path="write").flags == ["edited"]
