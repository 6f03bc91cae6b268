"""R9: deadlines and delays: never early, soon after they are due, and once when no worker was there at the time."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import Approval, DecisionRecord
from pipelines.models import Pipeline
from runs.models import Event, Inbox, Run
from tests.conftest import wait_for
from tests.faults.figures.telling import percentile, tell
from tests.faults.stage import Stage, has_no_gap

RUNS = 20
DUE_SECONDS = 5
DELAY_SECONDS = 3.0
ROUNDED = 0.0005  # the log tells a delay in whole milliseconds, so by up to half of one too much
LIMITS = {"early": 0, "p99_late_s": 5, "twice_after_outage": 0, "late_after_return_s": 5}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def a_deadline(stage: Stage) -> Pipeline:
    """Publish a question nobody will answer, which takes its default."""
    ask: dict[str, Any] = {"kind": "human", "mode": "answer", "expires": f"PT{DUE_SECONDS}S", "on_expire": "default"}
    nodes = {
        "start": {"kind": "input"},
        "ask": {**ask, "default": "silence"},
        "end": {"kind": "output", "value": "${steps.ask.output}"},
    }
    return stage.pipeline("deadline", nodes, ["start>ask", "ask:approved>end"])


def a_delay(stage: Stage) -> Pipeline:
    """Publish an agent whose first attempt fails and whose second comes after a fixed delay."""
    retry = {"max_attempts": 2, "first_delay": f"PT{DELAY_SECONDS:g}S"}
    prompt = "[run=${input.run} step=a]"
    node = {"kind": "agent", "agent": stage.agent("flaky"), "prompt": prompt, "on_error": {"retry": retry}}
    nodes = {"start": {"kind": "input"}, "a": node, "end": {"kind": "output", "value": "${steps.a.output}"}}
    return stage.pipeline("delay", nodes, ["start>a", "a>end"])


def test_r9_timers_are_never_early_and_seldom_late(stage: Stage) -> None:
    worker = stage.worker("w1")

    def come_back() -> None:
        for another in [stage.hire(name) for name in ("w2", "w3")]:
            another.wait_until_ready()

    tell("R9", timed(stage, worker.kill, come_back), **LIMITS)


def timed(stage: Stage, die: Callable[[], None], come_back: Callable[[], None]) -> dict[str, Any]:
    """Let deadlines and delays fall due, with workers there and with all of them dead; return how late each was."""
    deadline, delay = a_deadline(stage), a_delay(stage)
    stage.models.ask("/admin/script", [{"kind": "500", "match": f"[run=d{k} ", "times": 1} for k in range(4)])
    runs = stage.start_all(deadline, [f"r{k}" for k in range(RUNS)])
    retried = stage.start_all(delay, [f"d{k}" for k in range(4)])
    for run in (*runs, *retried):
        stage.wait(run, seconds=60)
    late = [_lateness(run) for run in runs] + [_delay_lateness(run) for run in retried]
    return {
        "timers": len(late),
        "early": sum(seconds < 0 for seconds in late),
        "p50_late_s": percentile(late, 0.5),
        "p99_late_s": percentile(late, 0.99),
        **_an_outage(stage, deadline, die, come_back),
    }


def _an_outage(
    stage: Stage, deadline: Pipeline, die: Callable[[], None], come_back: Callable[[], None]
) -> dict[str, Any]:
    """Let deadlines pass while no worker is there; return how late and how often they count when some are back."""
    runs = stage.start_all(deadline, [f"o{k}" for k in range(RUNS)])
    wait_for(lambda: Approval.objects.filter(run__in=runs, state="open").count() == RUNS, 30, stage.logs)
    die()
    time.sleep(DUE_SECONDS + 1)
    come_back()
    back = time.monotonic()
    wait_for(lambda: not Approval.objects.filter(run__in=runs, state="open").exists(), 60, stage.logs)
    late = time.monotonic() - back
    for run in runs:
        assert stage.wait(run, seconds=60).output == "silence"
        assert has_no_gap(run)
    told = [Inbox.objects.filter(run=run, key__startswith="approval:").count() for run in runs]
    decided = Event.objects.filter(run__in=runs, type="approval_decided").count()
    assert not DecisionRecord.objects.filter(approval__run__in=runs).exists(), "nobody decided"
    twice = sum(count > 1 for count in told) + max(0, decided - RUNS)
    return {"outage_timers": RUNS, "twice_after_outage": twice, "late_after_return_s": round(late, 3)}


def _lateness(run: Run) -> float:
    approval = Approval.objects.get(run=run)
    assert approval.decided_at
    assert approval.expires_at
    return (approval.decided_at - approval.expires_at).total_seconds()


def _delay_lateness(run: Run) -> float:
    """Return the seconds after the retry was due, which is announced with the failure."""
    failed = Event.objects.get(run=run, type="step_retrying")
    again = Event.objects.filter(run=run, type="step_started", path="a", seq__gt=failed.seq).earliest("seq")
    return (again.at - failed.at).total_seconds() - (float(failed.payload["delay"]) - ROUNDED)
