"""A worker whose machine's clock is an hour wrong: times are the database's, so nothing is early, late or stolen."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from approvals.models import Approval
from runs.models import Event
from tests.faults.stage import NOBODY_DIES, Stage, books_balance, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_with_a_wrong_clock_keeps_the_databases_time(stage: Stage, hours: int) -> None:
    stage.models.ask("/admin/script", [{"kind": "500", "match": "step=a1", "times": 1}])
    prompt = "[run=${input.run} step=%s]"
    ask = {"kind": "human", "mode": "answer", "expires": "PT20M", "on_expire": "default", "default": "silence"}
    flaky = {"kind": "agent", "agent": stage.agent("flaky"), "prompt": prompt % "a1"}
    nodes = {
        "start": {"kind": "input"},
        "a1": {**flaky, "on_error": {"retry": {"max_attempts": 2, "first_delay": "PT1S"}}},
        "a2": {"kind": "agent", "agent": stage.agent("slow", 1500), "prompt": prompt % "a2"},
        "ask": ask,
        "end": {"kind": "output", "value": "${steps.ask.output}"},
    }
    pipeline = stage.pipeline("clock", nodes, ["start>a1", "a1>a2", "a2>ask", "ask:approved>end"])
    stage.worker("wrong", oddity=f"clock{hours * 3600:+d}", **NOBODY_DIES)
    started = [stage.start(pipeline, f"r{k}") for k in range(4)]
    stage.wait_for_call("a2", "r0")
    # Another one, that would take over whatever looked abandoned to it.
    stage.worker("as-wrong", oddity=f"clock{-hours * 3600:+d}", **NOBODY_DIES)
    runs = [stage.wait(run, "waiting", seconds=60) for run in started]
    for run in runs:
        assert (run.epoch, run.crashes) == (1, 0), "nobody took a living worker's lease for over"
        assert has_no_gap(run)
        assert books_balance(run)
        times = list(Event.objects.filter(run=run).order_by("seq").values_list("at", flat=True))
        assert max(times) - min(times) < timedelta(minutes=10)
        assert abs(max(times) - timezone.now()) < timedelta(minutes=10)
    questions = Approval.objects.filter(run__in=runs)
    assert {question.state for question in questions} == {"open"}, "twenty minutes are not over"
    assert not questions.filter(expires_at__lt=Now() + timedelta(minutes=10)).exists()
    assert not questions.filter(expires_at__gt=Now() + timedelta(minutes=30)).exists()
