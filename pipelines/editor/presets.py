"""What the palette offers: every kind of step, and ready-made patterns of several. Pure builders of raw steps.

A pattern is a fragment: steps under names of its own, which are made fresh when it is put into a draft.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.graph.model import Json

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a workspace has to build with: agents and tools, newest version of each, as references."""

    agents: Sequence[str] = ()
    tools: Sequence[str] = ()
    pipelines: Sequence[str] = ()

    @property
    def agent(self) -> str:
        return self.agents[0] if self.agents else "writer"


class Before(Protocol):
    """What leads to the new step."""

    @property
    def value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Fragment:
    """Steps to put into a draft; ways lead into `entry` and on from `exit` by `port`; "" where nothing may follow."""

    nodes: Mapping[str, Raw]
    entry: str
    exit: str
    port: str = "done"
    edges: Sequence[Mapping[str, Json]] = ()


Builder = Callable[[Offer, Before], Fragment]


@dataclass(frozen=True, slots=True)
class Preset:
    """One entry of the palette. `kind` is the kind whose tile it wears; `words` are found by search too."""

    name: str
    title: str
    about: str
    group: str
    kind: str
    make: Builder
    words: str = ""


def build(name: str, offer: Offer, before: Before) -> Fragment:
    """Return the fragment of a preset; KeyError when there is none of that name."""
    return PRESETS[name].make(offer, before)


def _single(name: str, node: Raw, port: str = "done") -> Fragment:
    return Fragment({name: node}, name, name, port)


def _prompt(task: str, before: Before) -> str:
    return f"{task}\n\n{before.value}" if before.value else task


def _bare(before: Before, otherwise: str) -> str:
    """Return the value that comes in as an expression."""
    return before.value.removeprefix("${").removesuffix("}") or otherwise


def _asks(offer: Offer, title: str, prompt: str, **fields: Json) -> Raw:
    return {"kind": "agent", "title": title, "agent": offer.agent, "prompt": prompt, **fields}


def _agent(offer: Offer, before: Before) -> Fragment:
    return _single("step", _asks(offer, "New step", _prompt("Say what is to be done.", before)))


def _tool(offer: Offer, before: Before) -> Fragment:
    tool = next((tool for tool in offer.tools if tool.startswith("notes.")), next(iter(offer.tools), "http.request"))
    args = {"text": before.value or "A note"} if tool.startswith("notes.") else {}
    return _single("action", {"kind": "tool", "title": "New action", "tool": tool, "args": args})


def _person(offer: Offer, before: Before) -> Fragment:
    node = {"kind": "human", "title": "Somebody approves", "mode": "approve", "show": before.value or "Is this right?"}
    return _single("approve", node, "approved")


def _check(offer: Offer, before: Before) -> Fragment:
    rules = [{"rule": "length", "min": 1, "message": "It is empty."}]
    node = {"kind": "check", "title": "Check it", "value": before.value or "a value", "rules": rules}
    return _single("check", node)


def _route(offer: Offer, before: Before) -> Fragment:
    value = _bare(before, "'text'")
    node = {
        "kind": "decide",
        "title": "Which way?",
        "routes": [{"port": "first", "when": f"size({value}) > 100"}],
        "otherwise": "other",
    }
    return _single("route", node, "first")


def _transform(offer: Offer, before: Before) -> Fragment:
    value = _bare(before, "'value'")
    return _single("transform", {"kind": "transform", "title": "Reshape", "set": {"value": value}})


def _result(offer: Offer, before: Before) -> Fragment:
    return _single("result", {"kind": "output", "title": "Result", "value": before.value or "done"}, "")


def _each(offer: Offer, before: Before) -> Fragment:
    work = _asks(offer, "Work on one item", "Work on this:\n\n${item}")
    graph = {"nodes": {"work": work}, "edges": []}
    node = {"kind": "each", "title": "For each item", "over": ["first item", "second item"], "graph": graph}
    return _single("each", node)


def _combine(offer: Offer, before: Before) -> Fragment:
    return _single("combine", {"kind": "combine", "title": "Combine", "merge": "object"})


def _team(offer: Offer, before: Before) -> Fragment:
    members = list(dict.fromkeys([*offer.agents[:2], offer.agent]))[:2]
    node = {
        "kind": "team",
        "title": "Talk it over",
        "task": _prompt("Talk this over and agree.", before),
        "members": members,
        "stop": {"max_turns": 6},
    }
    return _single("team", node)


def _supervisor(offer: Offer, before: Before) -> Fragment:
    workers = [{"agent": agent} for agent in (offer.agents[:3] or [offer.agent])]
    node = {
        "kind": "supervisor",
        "title": "Lead the work",
        "task": _prompt("Do this, giving parts of it to the workers.", before),
        "agent": offer.agent,
        "workers": workers,
    }
    return _single("lead", node)


def _pipeline(offer: Offer, before: Before) -> Fragment:
    reference = next(iter(offer.pipelines), "pipeline")
    return _single("call", {"kind": "pipeline", "title": "Run a pipeline", "pipeline": reference, "inputs": {}})


def _wait(offer: Offer, before: Before) -> Fragment:
    return _single("wait", {"kind": "wait", "title": "Wait", "for": "PT1H"}, "time")


def _board(offer: Offer, before: Before) -> Fragment:
    node = {"kind": "board", "title": "Write it down", "op": "write", "key": "notes", "value": before.value or "note"}
    return _single("note", node)


def _repeat(offer: Offer, before: Before) -> Fragment:
    work = _asks(offer, "Try it", _prompt("Do this better than in the round before.", before))
    node = {
        "kind": "repeat",
        "title": "Repeat until good",
        "until": "size(steps.work.output) > 200",
        "max_rounds": 3,
        "graph": {"nodes": {"work": work}, "edges": []},
    }
    return _single("repeat", node)


def _review_loop(offer: Offer, before: Before) -> Fragment:
    verdict = {
        "type": "object",
        "properties": {"good": {"type": "boolean"}, "findings": {"type": "string"}},
        "required": ["good", "findings"],
    }
    findings = "${round.previous.review.output.findings | default('none yet')}"
    nodes = {
        "write": _asks(offer, "Write a draft", _prompt(f"Write a draft. Mend what was found: {findings}", before)),
        "review": _asks(offer, "Review it", "Is this good?\n\n${steps.write.output}", output_schema=verdict),
    }
    node = {
        "kind": "repeat",
        "title": "Write and review",
        "until": "steps.review.output.good",
        "max_rounds": 3,
        "result": "${steps.write.output}",
        "graph": {"nodes": nodes, "edges": [{"from": "write", "to": "review"}]},
    }
    return _single("review_loop", node)


def _debate(offer: Offer, before: Before) -> Fragment:
    members = list(dict.fromkeys([*offer.agents[:2], offer.agent]))[:2]
    node = {
        "kind": "team",
        "mode": "debate",
        "title": "Debate",
        "task": _prompt("Argue for and against.", before),
        "members": members if len(members) > 1 else members * 2,
        "judge": offer.agent,
        "rounds": 2,
    }
    return _single("debate", node)


def _vote(offer: Offer, before: Before) -> Fragment:
    """Three are asked apart; what most of them say counts."""
    names = ("first", "second", "third")
    voters = {
        name: _asks(offer, f"{name.capitalize()} voice", _prompt("Answer in one word.", before)) for name in names
    }
    start = {"kind": "transform", "title": "Ask three", "set": {"asked": "true"}}
    combine = {"kind": "combine", "title": "What most say", "merge": "vote"}
    edges = [{"from": "ask", "to": name} for name in names] + [{"from": name, "to": "most"} for name in names]
    return Fragment({"ask": start, **voters, "most": combine}, "ask", "most", edges=edges)


def _fan_out(offer: Offer, before: Before) -> Fragment:
    """Two work side by side; a Combine goes on with whoever succeeded."""
    sides = {
        name: _asks(offer, f"{name.capitalize()} side", _prompt("Look at this.", before)) for name in ("one", "other")
    }
    start = {"kind": "transform", "title": "Side by side", "set": {"asked": "true"}}
    combine = {"kind": "combine", "title": "Bring together", "merge": "object", "min_ok": 1}
    edges = [{"from": "begin", "to": name} for name in sides] + [{"from": name, "to": "together"} for name in sides]
    return Fragment({"begin": start, **sides, "together": combine}, "begin", "together", edges=edges)


def _citations(offer: Offer, before: Before) -> Fragment:
    source = before.value or "The source."
    write = _asks(offer, "Write with quotes", _prompt("Sum this up; quote word for word in quotation marks.", before))
    rules = [{"rule": "unchanged_from", "source": source, "message": "A quote is not in the source."}]
    check = {
        "kind": "check",
        "title": "Quotes are true",
        "value": "${steps.quote.output}",
        "rules": rules,
        "mode": "warn",
    }
    edges = [{"from": "quote", "to": "citations"}]
    return Fragment({"quote": write, "citations": check}, "quote", "citations", edges=edges)


def _swarm(offer: Offer, before: Before) -> Fragment:
    fragment = _team(offer, before)
    node = {**fragment.nodes["team"], "mode": "handoff", "title": "Hand over to whoever knows"}
    return _single("swarm", node)


def _planner(offer: Offer, before: Before) -> Fragment:
    node = {**_supervisor(offer, before).nodes["lead"], "mode": "plan", "title": "Plan, then work", "review_plan": True}
    return _single("plan", node)


def _approval(offer: Offer, before: Before) -> Fragment:
    """A person approves exactly the call that the action then makes."""
    tool = next((tool for tool in offer.tools if tool.startswith("email.")), next(iter(offer.tools), "email.send"))
    args = {"to": "somebody@example.com", "subject": "Subject", "body": before.value or "Text"}
    nodes: dict[str, Raw] = {
        "ask": {"kind": "human", "mode": "approve", "title": "Approve the email", "guards": "send"},
        "send": {"kind": "tool", "title": "Send the email", "tool": tool, "args": args},
    }
    return Fragment(nodes, "ask", "send", edges=[{"from": "ask", "port": "approved", "to": "send"}])


_STEPS, _GROUPS, _READY = "Steps", "Loops and groups", "Ready-made patterns"
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("agent", "Agent", "Reads, writes, decides", _STEPS, "agent", _agent, "model llm ai write prompt"),
        Preset("tool", "Action", "Calls another system", _STEPS, "tool", _tool, "tool http email crm send api"),
        Preset("human", "Person", "Approve, edit or answer", _STEPS, "human", _person, "approval human review ask"),
        Preset("check", "Check", "Block or mask bad output", _STEPS, "check", _check, "guardrail validate rule pii"),
        Preset("decide", "Route", "One way or another", _STEPS, "decide", _route, "if switch branch condition router"),
        Preset("transform", "Transform", "Reshape values", _STEPS, "transform", _transform, "map set fields code"),
        Preset("output", "Result", "What the run gives back", _STEPS, "output", _result, "end finish return output"),
        Preset("each", "For each", "Once per item of a list", _GROUPS, "each", _each, "loop map iterate list batch"),
        Preset("combine", "Combine", "Wait for branches", _GROUPS, "combine", _combine, "join merge parallel wait"),
        Preset("repeat", "Repeat", "Again until it is good", _GROUPS, "repeat", _repeat, "loop until while retry"),
        Preset("team", "Team", "Agents talk in turns", _GROUPS, "team", _team, "group chat round robin selector"),
        Preset(
            "supervisor", "Supervisor", "A lead with workers", _GROUPS, "supervisor", _supervisor, "manager delegate"
        ),
        Preset(
            "pipeline", "Sub-pipeline", "Runs another pipeline", _GROUPS, "pipeline", _pipeline, "call child nested"
        ),
        Preset("wait", "Wait", "Time or an event", _GROUPS, "wait", _wait, "delay sleep schedule event timer"),
        Preset(
            "board", "Board", "Shared notes of the run", _GROUPS, "board", _board, "memory store blackboard publish"
        ),
        Preset(
            "approval", "Approved action", "Exactly what was approved", _READY, "human", _approval, "approval email"
        ),
        Preset("review_loop", "Review loop", "Write, review, mend", _READY, "repeat", _review_loop, "critic reflect"),
        Preset("debate", "Debate", "For, against, a judge", _READY, "team", _debate, "argue judge"),
        Preset("vote", "Vote", "Three voices, most count", _READY, "combine", _vote, "majority ensemble"),
        Preset("fan_out", "Side by side", "Parallel, then combine", _READY, "combine", _fan_out, "parallel fan out"),
        Preset("swarm", "Swarm", "Hand over to who knows", _READY, "team", _swarm, "handoff transfer"),
        Preset(
            "citations", "Citations", "Quotes must be true", _READY, "check", _citations, "quote source hallucination"
        ),
        Preset("planner", "Planner", "A plan a person reads", _READY, "supervisor", _planner, "plan review magentic"),
    )
}
