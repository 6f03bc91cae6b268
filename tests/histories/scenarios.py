"""What is recorded: templates of the gallery as they are, and pipelines drawn for a pattern that no template has.

A scenario says how its run is started, what bob answers, and what else happens to it while it runs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from approvals.models import Approval
from approvals.policy import Decision
from tests.engine.building import a_graph

Answer = Callable[[Approval, int], Decision]
WRITER = {"agent": "teller@1"}
MAIL = {"kind": "tool", "tool": "email.send@1"}


def approved(question: Approval, number: int) -> Decision:
    """Approve what is asked; answer the others in a plain way."""
    if question.kind == "answer":
        return Decision("answer", payload={"choice": "first"})
    if question.kind in ("failure", "outcome_unknown"):
        return Decision("skip", reason="It need not be.")
    return Decision("approve", payload_hash=question.payload_hash)


@dataclass(frozen=True)
class Scenario:
    """`drawing` and `nodes` draw a pipeline; without them it is the template of the scenario's name.

    With `answer` None nobody answers. The run is cancelled when the step at `cancel_at` runs; when it has ended, a fork
    from `fork_from` is recorded in its place. `latency` is the milliseconds that a model takes, and `child` another
    drawing, which this one starts.
    """

    drawing: str = ""
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = approved
    cancel_at: str = ""
    fork_from: str = ""
    latency: int = 20
    child: str = ""

    def document(self, name: str) -> dict[str, Any]:
        return _a_document(name, a_graph(self.drawing, **_told(self.nodes, self.drawing)))

    def child_document(self) -> dict[str, Any]:
        return _a_document("its-child", a_graph(self.child, **_told({}, self.child)))


def _a_document(name: str, graph: dict[str, Any]) -> dict[str, Any]:
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": name, "name": name}
    inputs = {"type": "object", "properties": {"topic": {"type": "string"}}}
    return {**head, "inputs": inputs, "budget": {"max_cost_usd": "1.00"}, "graph": graph}


def _told(nodes: Mapping[str, Mapping[str, Any]], drawing: str) -> dict[str, Mapping[str, Any]]:
    """Return the nodes with the agent that there is, in place of the one that drawings have."""
    plain = {"kind": "agent", "agent": "teller@1", "prompt": "Write about ${input.topic}."}
    names = ("a", "b", "c", "d", "e")
    return {**{name: plain for name in names if name in re.findall(r"\w+", drawing)}, **nodes}


def _graph_of(name: str, **node: Any) -> dict[str, Any]:
    return {"nodes": {name: node}, "edges": []}


def _retried_then_used(question: Approval, number: int) -> Decision:
    if question.kind == "failure" and number:
        return Decision("use", payload={"said": "by hand"}, reason="I know it.")
    return Decision("retry", reason="Once more.")


def _with_another_subject(question: Approval, number: int) -> Decision:
    args = {**question.payload["args"], "subject": "As edited"}
    return Decision("approve", payload={**question.payload, "args": args}, payload_hash=question.payload_hash)


_SAY = {"kind": "agent", "agent": "teller@1", "prompt": "Describe ${item}."}
_LETTER = {**MAIL, "args": {"to": "bo@example.com", "subject": "Hello", "body": "${steps.a.output}"}}

SCENARIOS: dict[str, Scenario] = {
    **{
        name: Scenario()
        for name in (
            *("company-analysis", "content-pipeline", "debate", "prospect-outreach", "research-lead", "review-loop"),
            *("support-desk", "swarm", "topic-research", "planned-work", "message-bus", "blackboard", "nested-leads"),
            *("vote", "portfolio-review"),
        )
    },
    "published": Scenario(
        "start >> a >> tell >> result; start >> hold; hold:event_news >> hear",
        {
            "tell": {"kind": "board", "op": "publish", "key": "news", "value": "${steps.a.output}"},
            "hold": {"kind": "wait", "event": {"name": "news", "topic": "news", "keep": "PT1H"}},
            "hear": {"kind": "output", "value": "${steps.hold.output.payload}"},
        },
    ),
    "spread": Scenario(
        "start >> all >> result",
        {
            "all": {
                "kind": "each",
                "over": ["tides", "winds", "stars"],
                "max_parallel": 2,
                "spread": True,
                "graph": _graph_of("say", **_SAY),
                "result": "${steps.say.output}",
            },
            "result": {"kind": "output", "value": "${steps.all.output}"},
        },
    ),
    "vote-of-three": Scenario(
        "start >> a, b, c >> join >> result",
        {"join": {"kind": "combine", "merge": "vote"}, "result": {"kind": "output", "value": "${steps.join.output}"}},
    ),
    "best-of-three": Scenario(
        "start >> a, b, c >> join >> result",
        {
            "join": {"kind": "combine", "merge": "best_of", "agent": "judge@1", "prompt": "The clearest."},
            "result": {"kind": "output", "value": "${steps.join.output}"},
        },
    ),
    "child-and-detached": Scenario(
        "start >> a >> inner >> b >> result; start >> aside >> c >> note",
        {
            "inner": {"kind": "pipeline", "pipeline": "its-child@1", "inputs": {"topic": "${input.topic}"}},
            "aside": {"kind": "pipeline", "pipeline": "its-child@1", "inputs": {"topic": "more"}, "detached": True},
            "note": {"kind": "output", "value": "started"},
        },
        child="start >> a >> b >> result",
    ),
    "exhausted": Scenario(
        "start >> again; again:done >> result; again:exhausted >> short",
        {
            "again": {
                "kind": "repeat",
                "until": "steps.say.output == 'never'",
                "max_rounds": 3,
                "graph": _graph_of("say", **{**_SAY, "prompt": "Draft ${round.n}."}),
                "result": "${steps.say.output}",
            },
            "short": {"kind": "output", "value": "${steps.again.output}"},
        },
    ),
    "failure-asked": Scenario(
        "start >> get >> a >> result",
        {
            "get": {
                "kind": "tool",
                "tool": "http.request@1",
                "args": {"method": "GET", "url": "http://127.0.0.1:9/nothing"},
                "on_error": {"then": "ask_human"},
            }
        },
        answer=_retried_then_used,
    ),
    "edited-and-approved": Scenario(
        "start >> a >> look; look:approved >> send >> result",
        {"look": {"kind": "human", "mode": "edit", "guards": "send"}, "send": _LETTER},
        answer=_with_another_subject,
    ),
    "cancelled": Scenario(
        "start >> a >> b >> c >> result; start >> ask >> d",
        answer=None,
        cancel_at="b",
        latency=600,
    ),
    "forked": Scenario(
        "start >> a, b >> join >> c >> send >> result",
        {"send": {**_LETTER, "args": {**_LETTER["args"], "body": "${steps.c.output}"}}},
        fork_from="c",
    ),
}
