"""Every template of the gallery as it comes: started through the API with its sample, to its end, with its trace."""

from collections import Counter
from typing import Any

import pytest

from pipelines import gallery
from runs.models import Run
from tests.faults.caller import Caller
from tests.faults.stage import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

EVENTS = {"follow-up": ("offers/A-1042", {"said": "Yes, with pleasure."})}
"""What happens outside while a template waits for it: topic and payload."""
LEFT_OUT = {
    "review-loop": {"held"},
    "support-desk": {"billing", "technical", "general"},
    "message-triage": {"order", "praise", "ask"},
    "follow-up": {"remind"},
    "document-questions": {"doubtful"},
    "research-lead": {"doubtful"},
    "vote": {"ask", "chosen"},
    "data-pipeline": {"held"},
}
"""The steps that a sample's way does not come by."""
RACES = {"second-opinions": "cancelled", "first-answer": "cancelled", "blackboard": "failed"}
"""Where one of several steps loses, whichever it is: how it ends."""


def test_every_template_runs_as_it_is_and_leaves_its_trace(stage: Stage, subtests: pytest.Subtests) -> None:
    stage.worker("w1")
    callers = {template.name: Caller(stage, template.name) for template in gallery.templates()}
    runs = {name: caller.started() for name, caller in callers.items()}
    for name, caller in callers.items():
        with subtests.test(name):
            if name in EVENTS:
                stage.wait(runs[name], "waiting")
                caller.sends(*EVENTS[name])
            run = caller.ended(caller.agreed(runs[name]))
            ends = _ends(name, caller.steps(run))
            left_out = {path for path, state in ends.items() if state == "skipped"}
            assert left_out == LEFT_OUT.get(name, set())
            others = Counter(state for state in ends.values() if state not in ("skipped", "succeeded"))
            assert others == Counter({RACES[name]: 1} if name in RACES else {})
            assert run.output
            _has_its_trace(caller, run, ends)


def _ends(name: str, steps: dict[str, Any]) -> dict[str, str]:
    """Return how each step of the template's own graph ended; all of them are there."""
    nodes = gallery.template(name).document["graph"]["nodes"]
    assert set(nodes) <= set(steps)
    return {path: steps[path]["state"] for path in nodes}


def _has_its_trace(caller: Caller, run: Run, ends: dict[str, str]) -> None:
    """Each agent that delivered has the calls of its model in the trace, and the calls cost what the run cost."""
    nodes = gallery.template(caller.name).document["graph"]["nodes"]
    spans = [span for span in caller.all_of(run, "spans") if span["model"]]
    asked = {span["path"] for span in spans}
    agents = {path for path, node in nodes.items() if node["kind"] == "agent" and ends[path] == "succeeded"}
    assert agents <= asked
    assert sum(round(float(span["cost_usd"]) * 1_000_000) for span in spans) == run.cost_micros


def test_a_refund_is_ordered_once_and_only_when_approved(stage: Stage) -> None:
    caller = Caller(stage, "support-desk")
    stage.worker("w1")
    asked = caller.question(run := caller.started())
    assert asked["payload"]["args"]["to"] == "payments@example.com"
    assert "charged twice" in asked["payload"]["args"]["body"]
    assert not stage.mails()
    caller.decide(asked, {"decision": "approve", "payload_hash": asked["payload_hash"]})
    run = caller.ended(run)
    assert len(stage.mails()) == 1
    assert run.output["handled_by"] == "refund"


def test_a_refund_that_is_refused_is_not_ordered_and_the_customer_is_answered(stage: Stage) -> None:
    caller = Caller(stage, "support-desk")
    stage.worker("w1")
    asked = caller.question(run := caller.started())
    caller.decide(asked, {"decision": "reject", "reason": "It was charged once."})
    run = caller.ended(run)
    assert not stage.mails()
    assert caller.steps(run)["refund"]["state"] == "skipped"
    assert run.output["reply"]


def test_where_the_router_is_not_sure_a_person_answers(stage: Stage) -> None:
    caller = Caller(stage, "message-triage")
    stage.worker("w1")
    asked = caller.question(run := caller.started(message="Hm."))
    assert (asked["kind"], asked["path"]) == ("answer", "ask")
    caller.decide(asked, {"decision": "answer", "payload": {"reply": "What do you mean?"}})
    run = caller.ended(run)
    assert run.output["about"] == "unsure"
    assert run.output["confidence"] < 0.6
    assert run.output["reply"] == {"reply": "What do you mean?"}


def test_two_of_three_opinions_are_heard_and_no_more(stage: Stage) -> None:
    caller = Caller(stage, "second-opinions")
    stage.worker("w1")
    run = caller.ended(caller.started())
    assert len(run.output["heard"]) == 2
    assert set(run.output["heard"]) <= {"finance", "technology", "market"}
