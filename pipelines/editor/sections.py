"""How the form of each kind of step is arranged: what comes first, what hides under a heading, names of fields."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.crew import CALLED_ON
from pipelines.graph.kinds import FIELDS
from pipelines.graph.model import Kind


@dataclass(frozen=True, slots=True)
class Plan:
    """One section: its title and the names of its fields. `open` ones need no press."""

    title: str
    names: Sequence[str]
    open: bool = False


FIRST: Mapping[Kind, Sequence[str]] = {
    Kind.INPUT: (),
    Kind.OUTPUT: ("value", "ends_run"),
    Kind.AGENT: ("agent", "prompt"),
    Kind.TOOL: ("tool", "args"),
    Kind.DECIDE: ("mode", "routes", "otherwise", "value", "agent", "model", "min_confidence"),
    Kind.EACH: ("over", "as", "max_parallel", "require", "on_item_error"),
    Kind.COMBINE: ("merge", "wait_for", "min_ok", "wait_timeout", "on_timeout", "agent", "prompt"),
    Kind.REPEAT: ("until", "max_rounds", "on_exhausted", "best_by"),
    Kind.TEAM: ("task", "mode", "members", "agent", "stop"),
    Kind.SUPERVISOR: ("task", "agent", "mode", "workers", "review_plan"),
    Kind.PIPELINE: ("pipeline", "inputs", "detached"),
    Kind.HUMAN: ("mode", "guards", "show", "roles", "people", "min_approvals", "expires", "on_expire"),
    Kind.WAIT: ("for", "until", "event", "timeout"),
    Kind.TRANSFORM: ("set",),
    Kind.CHECK: ("value", "rules", "mode"),
    Kind.BOARD: ("op", "key", "value"),
}
# What comes below the values to pick and the fields that come out, and needs no press either.
SECOND: Mapping[Kind, Sequence[str]] = {Kind.AGENT: ("model", "tools")}
ABOUT = ("help", "disabled")
FAILURE = ("on_error", "timeout", "total_timeout")
OUTPUT = ("checks",)
LIMITS = ("budget", "cache", "lock")
WAITING = ("wait_for", "on_failed_input")

LABELS: Mapping[str, str] = {
    "agent": "Who does it",
    "prompt": "What should it do?",
    "task": "What is the task?",
    "model": "Model, instead of the agent's own",
    "tools": "What it may use",
    "tool": "What is done",
    "args": "With what",
    "value": "Value",
    "over": "The list",
    "as": "One item is called",
    "max_parallel": "At the same time",
    "require": "How many must succeed",
    "on_item_error": "An item that fails",
    "until": "Until",
    "max_rounds": "At most so many rounds",
    "on_exhausted": "When no round was good",
    "members": "Who takes part",
    "workers": "Who works for it",
    "routes": "Ways",
    "otherwise": "Otherwise",
    "when": "When",
    "port": "Name of the way",
    "merge": "What comes out",
    "wait_for": "Goes on with",
    "min_ok": "At least so many branches",
    "wait_timeout": "Longest wait",
    "on_timeout": "After that",
    "cancel_rest": "Stop the branches that lost",
    "guards": "The action that is approved",
    "roles": "Who may answer",
    "people": "Or these people (email)",
    "min_approvals": "How many must agree",
    "not_starter": "Not whoever started the run",
    "show": "What the reviewer sees",
    "expires": "Answer within",
    "on_expire": "Without an answer",
    "set": "Fields",
    "rules": "Rules",
    "rule": "Rule",
    "mode": "How",
    "op": "What to do",
    "key": "Name",
    "pipeline": "Which pipeline",
    "inputs": "Its input",
    "help": "What this step is for",
    "disabled": "Leave this step out",
    "on_error": "If it fails",
    "retry": "Busy or no answer: try again",
    "repair": "Output does not fit: ask again with the findings",
    "fallback": "Then use, in this order",
    "then": "And at last",
    "default": "Value to use instead",
    "timeout": "Time for one attempt",
    "total_timeout": "Time for all attempts",
    "budget": "Stop at",
    "max_cost_usd": "Dollars",
    "max_tokens": "Tokens",
    "max_llm_calls": "Model calls",
    "max_seconds": "Seconds",
    "on_exceed": "Then",
    "alert_at": "Warn at these shares of it",
    "cache": "Use earlier results again",
    "lock": "One at a time under this name",
    "checks": "The output must pass",
    "on_failed_input": "When a step before failed",
    "min_confidence": "Least confidence",
    "multi": "Take every way that fits",
    "conversation": "What it remembers",
    "review_plan": "A person reads the plan first",
    "detached": "Do not wait for its end",
    "ends_run": "End the run here",
    "for": "For",
    "event": "Or until an event",
    "form": "Form of the answer",
}


# What a field is called where a kind means something else by it.
OWN_LABELS: Mapping[tuple[Kind, str], str] = {
    (Kind.TEAM, "agent"): "Who says who is next",
    (Kind.TEAM, "judge"): "Who judges",
    (Kind.TEAM, "stop"): "When it is done",
    (Kind.SUPERVISOR, "agent"): "Who leads",
}


# Fields that mean something only for some choices of another field; hidden otherwise, unless they are set.
ONLY_FOR: Mapping[tuple[Kind, str], tuple[str, frozenset[str]]] = {
    **{(Kind.DECIDE, name): ("mode", frozenset({"ai"})) for name in ("agent", "model", "value", "min_confidence")},
    **{(Kind.COMBINE, name): ("merge", frozenset({"best_of", "synthesize"})) for name in ("agent", "prompt")},
    (Kind.COMBINE, "prefer"): ("merge", frozenset({"prefer"})),
    **{(Kind.AGENT, name): ("conversation", frozenset({"run", "session"})) for name in ("history", "last_n")},
    (Kind.AGENT, "session"): ("conversation", frozenset({"session"})),
    **{(Kind.TEAM, name): ("mode", frozenset({"debate"})) for name in ("judge", "rounds")},
    **{(Kind.TEAM, name): ("mode", frozenset({"moderator"})) for name in ("max_stalls", "max_resets")},
    (Kind.TEAM, "agent"): ("mode", frozenset(CALLED_ON)),
    (Kind.TEAM, "topics"): ("mode", frozenset({"bus"})),
    (Kind.HUMAN, "min_approvals"): ("mode", frozenset({"approve", "edit"})),
    (Kind.SUPERVISOR, "review_plan"): ("mode", frozenset({"plan"})),
    (Kind.HUMAN, "escalate_to"): ("on_expire", frozenset({"escalate"})),
    (Kind.HUMAN, "guards"): ("mode", frozenset({"approve", "edit"})),
    (Kind.BOARD, "value"): ("op", frozenset({"write", "append", "publish"})),
    (Kind.BOARD, "if_version"): ("op", frozenset({"write", "append"})),
}


def is_relevant(kind: Kind, name: str, config: Mapping[str, object], is_set: bool) -> bool:
    """Say whether a field is worth showing for a step with this configuration."""
    if is_set or (kind, name) not in ONLY_FOR:
        return True
    other, choices = ONLY_FOR[kind, name]
    return str(config.get(other)) in choices


def plan_of(kind: Kind) -> list[Plan]:
    """Return the sections of a kind's form, each field in one of them."""
    own = list(FIELDS[kind])
    waits = [name for name in WAITING if name not in FIRST[kind]] if kind is not Kind.INPUT else []
    second = SECOND.get(kind, ())
    rest = [name for name in own if name not in (*FIRST[kind], *second, "form")]
    plans = [
        Plan("", FIRST[kind], open=True),
        Plan("", second, open=bool(second)),
        Plan("More of this step", [*rest, *waits]),
    ]
    if kind not in (Kind.INPUT, Kind.OUTPUT):
        failure = [name for name in FAILURE if name not in own]
        plans += [Plan("If it goes wrong", failure), Plan("Checks of the output", OUTPUT), Plan("Limits", LIMITS)]
    plans.append(Plan("About this step", ABOUT))
    return [plan for plan in plans if plan.names or plan.open]


def spoken(name: str) -> str:
    """Return the name of a field or of a choice in words: "max_turns" → "Max turns"."""
    return _SPOKEN.get(name) or name.replace("_", " ").strip().capitalize()


# What the format's documentation says of a field where its label in the form says it already.
SAID = frozenset(
    {
        "do not wait for its end",
        "how long an answer is waited for",
        "how many items must succeed",
        "how many must approve; not for `answer`",
        "id or id@version",
        "instead of the agent's own",
        "items at the same time",
        "most it may spend",
        "most rounds",
        "name of one item",
        "stop when true",
        "the action whose payload is approved",
        "the rules it must pass",
        "what happens then",
        "what is asked of the person",
        "what is checked",
        "what people call it",
        "what the reviewer sees beside it",
        "what to do",
        "who else may answer (email)",
        "who may answer",
    }
)
HINTS = {"parts of the cap at which to warn": "0.8 warns when 80 % is spent"}
# "ai: which model decides" names the choice for which a field means something; it is shown for that choice alone.
FOR_A_CHOICE = re.compile(r"^[a-z_]+(, [a-z_]+)*: ")


def hint(means: str, label: str) -> str:
    """Return what there is to say below a field, by what the format's documentation says of it; "" where its label
    says all.
    """
    said = FOR_A_CHOICE.sub("", means)
    return "" if said in SAID or said.lower() == label.lower() else HINTS.get(said, said)


_SPOKEN = {
    "auto": "Stop the run, or leave it out in a safe zone",
    "stop_run": "Stop the run",
    "use_default": "Use the value below",
    "skip": "Leave the step out",
    "route": "Take the way “if it fails”",
    "ask_human": "Ask a person",
    "cheaper_model": "Go on with a cheaper model",
    "stop": "Stop",
    "omit": "Leave it out",
    "null": "Put nothing in its place",
    "default": "Use the value below",
    "escalate": "Ask somebody else",
    "reject": "Count it as a no",
    "use_arrived": "Go on with what has arrived",
    "propagate": "Leave this step out too",
    "tolerate": "Go on without it",
    "ai": "A model decides",
    "rules": "By rules",
    "ai_rubric": "A model judges",
    "expr": "A condition",
    "pii": "Personal data",
    "unchanged_from": "Quotes are true to a source",
    "injection": "Hidden orders",
    "best_of": "The best, chosen by an agent",
    "synthesize": "One text, written by an agent",
    "object": "An object, by step",
    "list": "A list",
    "first": "The first that came",
    "prefer": "The first of a given order",
    "concat": "All texts or lists, joined",
    "vote": "What most say",
    "last_n": "The last few turns",
    "full": "All of it",
    "settled": "Every branch, however it ended",
    "round_robin": "In turn",
    "selector": "An agent says who is next",
    "handoff": "Whoever has the word hands it on",
    "moderator": "A moderator leads",
    "debate": "For and against, with a judge",
    "bus": "Messages on topics",
    "step": "Task after task",
    "plan": "A plan first",
    "route_only": "One task for the right one",
    "approve": "Approve or reject",
    "edit": "Approve, edit or reject",
    "answer": "Answer a question",
    "none": "Nothing",
    "run": "This run",
    "session": "Earlier runs too, by session",
    "block": "Stop it",
    "mask": "Mask it",
    "warn": "Only warn",
}
