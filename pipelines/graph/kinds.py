"""The fields of every kind of step: one table that the parser, the published schema and docs/format.md share.

What a field holds after parsing: durations are seconds, money is micro-dollars, an absent field has its default.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.graph.common import BUDGET, CACHE, MODEL, NAME, ON_ERROR, PROMPT, REFERENCE, RULE, SCHEMA, VALUE
from pipelines.graph.composite import Either, Field, Listing, OneOrMore, Record, Table, Within
from pipelines.graph.model import Kind
from pipelines.graph.shape import ABSENT, Anything, Choice, Duration, Expression, Flag, Number, Template, Text, Whole

ROLES = ("viewer", "composer", "reviewer", "manager", "auditor", "admin")
MAX_ITEMS = 5_000
MAX_ROUNDS = 100
LONGEST_KEEP = 7 * 86_400.0
LONGEST_WAIT = 3_650 * 86_400.0

_HISTORY = {
    "history": Field(Choice(("full", "last_n", "summary")), "full", means="how much of the talk is sent"),
    "last_n": Field(Whole(1, 1_000), 10, means="turns sent as they were by `last_n` and `summary`"),
}
_WORKER = Record(
    {
        "agent": Field(Text(200, 1), ABSENT, means="an agent"),
        **{kind: Field(Text(200, 1), ABSENT, means=f"a {kind}") for kind in ("tool", "pipeline")},
        "supervisor": Field(Within("supervisor", lambda: SUPERVISOR), ABSENT, means="one who leads others"),
    },
    one_only=True,
)
_PEOPLE = Listing(Text(254, 1), 100)
ROLE_LIST = Listing(Text(40, 1), 20)

_AGENT = {
    "agent": Field(REFERENCE, required=True, means="id or id@version"),
    "prompt": Field(PROMPT, required=True, means="what the agent is asked"),
    "conversation": Field(Choice(("none", "run", "session")), "none", means="what it remembers"),
    "session": Field(PROMPT, means="session: whose talk it is"),
    **_HISTORY,
    "max_turns": Field(Whole(1, 100), 10, means="model calls within one attempt"),
    "tools": Field(Listing(REFERENCE, 100), means="which of the agent's tools (all)"),
    "model": Field(MODEL, means="instead of the agent's own"),
}
_ROUTE = Record(
    {
        "port": Field(NAME, required=True, means="where this route leaves"),
        "when": Field(Expression(extra=VALUE), means="rules: take this route when true"),
        "description": Field(PROMPT, means="ai: what belongs here"),
    }
)
_DECIDE = {
    "mode": Field(Choice(("rules", "ai")), "rules", means="who decides: conditions or a model"),
    "routes": Field(Listing(_ROUTE, 50), required=True, means="port, when, description; the first that fits"),
    "otherwise": Field(NAME, required=True, means="the port when no route fits"),
    "multi": Field(Flag(), False, means="take every route that fits"),
    "agent": Field(REFERENCE, means="ai: who decides"),
    "model": Field(MODEL, means="ai: which model decides"),
    "value": Field(Template(), means="ai: what to decide about"),
    "min_confidence": Field(Number(0, 1), 0.6, means="ai: below this, `otherwise`"),
}
_REQUIRE = Either(
    (
        Choice(("all", "any")),
        Record(
            {
                "at_least": Field(
                    Either((Whole(1, MAX_ITEMS), Text(4, 2, r"^(100|[1-9]?[0-9])%$", "a share")), 'a number or "60%"'),
                    required=True,
                )
            }
        ),
    ),
    'all, any or {"at_least": 3} or {"at_least": "60%"}',
)
_EACH = {
    "over": Field(Template(), required=True, means="the list"),
    "as": Field(NAME, "item", means="name of one item"),
    "max_parallel": Field(Whole(1, 1_000), 4, means="items at the same time"),
    "require": Field(_REQUIRE, "all", means="how many items must succeed"),
    "on_item_error": Field(Choice(("stop", "omit", "null", "default")), "stop", means="what a failed item becomes"),
    "default": Field(Anything(), means="value of a failed item for `default`"),
    "stop_early": Field(Flag(), False, means="stop once enough items succeeded"),
    "max_items": Field(Whole(1, MAX_ITEMS), 100, means="longest list"),
    "spread": Field(Flag(), False, means="run items as child runs"),
    "wait_timeout": Field(Duration(), means="longest wait for the items"),
    "result": Field(Template(inner=True), means="value of one item (the last step's output)"),
}
_COMBINE = {
    "min_ok": Field(Whole(1, 10_000), 1, means="branches that must have arrived when no more can come"),
    "wait_timeout": Field(Duration(), means="longest wait after the first arrival"),
    "on_timeout": Field(Choice(("use_arrived", "fail")), "use_arrived", means="what happens then"),
    "cancel_rest": Field(Flag(), True, means="first, k: stop the branches that lost"),
    "merge": Field(
        Choice(("object", "list", "first", "prefer", "concat", "vote", "best_of", "synthesize")),
        "object",
        means="how what arrived becomes one value",
    ),
    "prefer": Field(Listing(NAME, 1_000), (), means="prefer: steps, best first (else edge order)"),
    "missing": Field(
        Choice(("omit", "null", "default")), "omit", means="what stands for an absent branch (first, prefer: nothing)"
    ),
    "default": Field(Anything(), means="value of a missing branch for `default`"),
    "agent": Field(REFERENCE, means="best_of, synthesize: who"),
    "prompt": Field(PROMPT, means="best_of, synthesize: what matters"),
}
_REPEAT = {
    "until": Field(Expression(inner=True), means="stop when true"),
    "max_rounds": Field(Whole(1, MAX_ROUNDS), 3, means="most rounds"),
    "no_progress": Field(
        Record({"metric": Field(Expression(inner=True), required=True), "rounds": Field(Whole(1, MAX_ROUNDS), 2)}),
        means="stop when the metric does not rise for this many rounds",
    ),
    "on_exhausted": Field(Choice(("best", "last", "fail")), "last", means="what counts when no round was good"),
    "best_by": Field(Expression(inner=True), means="what makes a round the best"),
    "result": Field(Template(inner=True), means="value of a round (the last step's output)"),
}
_STOP = Record(
    {
        "max_turns": Field(Whole(1, 200), 12, means="most turns"),
        "says": Field(Text(200, 1), means="somebody says this"),
        "agreed_by": Field(Whole(1, 50), means="so many members agree"),
        "judge": Field(REFERENCE, means="an agent that is asked after each turn finds it done"),
        "until": Field(Expression(extra=("turn",)), means="true of the newest turn"),
        "idle": Field(Whole(1, 200), means="so many turns in a row bring nothing new"),
    },
    name="stop",
)
_TEAM = {
    "task": Field(PROMPT, required=True, means="what the team works on"),
    "members": Field(Listing(Text(200, 1), 50, 1), required=True, means="agents, in order"),
    "mode": Field(
        Choice(("round_robin", "selector", "handoff", "moderator", "debate", "bus")),
        "round_robin",
        means="who speaks next",
    ),
    "agent": Field(REFERENCE, means="selector, moderator: who; writes the summary too"),
    "stop": Field(_STOP, {"max_turns": 12}, means="when the team is done"),
    "no_repeat": Field(Flag(), True, means="selector, moderator, handoff: nobody speaks twice in a row"),
    **_HISTORY,
    "judge": Field(REFERENCE, means="debate: who decides"),
    "rounds": Field(Whole(1, 50), 3, means="debate: rounds"),
    "max_stalls": Field(Whole(1, 50), 3, means="moderator: turns without progress before a new beginning"),
    "max_resets": Field(Whole(0, 50), 2, means="moderator: new beginnings"),
    "topics": Field(Table(Listing(Text(80, 1), 50), 50), {}, means="bus: which topics wake which member (all)"),
}
_LEADING = {
    "agent": Field(REFERENCE, required=True, means="the one who leads"),
    "mode": Field(Choice(("step", "plan", "route_only")), "step", means="how it leads"),
    "workers": Field(Listing(_WORKER, 100), required=True, means="agents, tools, pipelines, supervisors"),
    "max_delegations": Field(Whole(1, 1_000), 20, means="tasks it may hand out"),
    "max_parallel": Field(Whole(1, 1_000), 4, means="tasks at the same time"),
    "review_plan": Field(Flag(), False, means="a person reads the plan first"),
}
SUPERVISOR: Record = Record(
    {
        "name": Field(NAME, required=True, means="what its leader calls it"),
        "about": Field(Text(500), "", means="what its leader is told of it"),
        **_LEADING,
    },
    name="supervisor",
)
_SUPERVISOR = {
    "task": Field(PROMPT, required=True, means="what is to be done"),
    **_LEADING,
    "max_depth": Field(Whole(1, 5), 5, means="supervisors under supervisors"),
}
_HUMAN = {
    "mode": Field(Choice(("approve", "edit", "answer")), "approve", means="what is asked of the person"),
    "guards": Field(Text(63), means="the action whose payload is approved"),
    "roles": Field(ROLE_LIST, ("reviewer",), means="who may answer"),
    "people": Field(_PEOPLE, (), means="who else may answer (email)"),
    "min_approvals": Field(Whole(1, 20), 1, means="how many must approve; not for `answer`"),
    "not_starter": Field(Flag(), True, means="not who started the run; false for `answer` only"),
    "show": Field(Template(), means="what the reviewer sees beside it"),
    "form": Field(SCHEMA, means="answer: JSON Schema of the answer"),
    "expires": Field(Duration(), 259_200.0, means="how long an answer is waited for"),
    "on_expire": Field(Choice(("reject", "default", "escalate")), "reject", means="what happens then"),
    "default": Field(Anything(), means="output for on_expire `default`"),
    "escalate_to": Field(_PEOPLE, (), means="roles or people for on_expire `escalate`"),
}
_EVENT = Record(
    {
        "name": Field(
            NAME, required=True, means="its port, event_NAME; an event sent under another name does not count"
        ),
        "topic": Field(PROMPT, required=True, means="where it is sent to"),
        "match": Field(Expression(extra=("event",)), means="which of them, about `event`"),
        "keep": Field(Duration(LONGEST_KEEP), 0.0, means="how long before the wait it may have been sent"),
    },
    name="event",
)

FIELDS: Mapping[Kind, Mapping[str, Field]] = MappingProxyType(
    {
        Kind.INPUT: {},
        Kind.OUTPUT: {
            "value": Field(Template(), means="what the run gives back"),
            "ends_run": Field(Flag(), False, means="end the run here, whatever else is under way"),
        },
        Kind.AGENT: _AGENT,
        Kind.TOOL: {
            "tool": Field(REFERENCE, required=True, means="id or id@version"),
            "args": Field(Template(object_only=True), {}, means="the tool's arguments"),
        },
        Kind.DECIDE: _DECIDE,
        Kind.EACH: _EACH,
        Kind.COMBINE: _COMBINE,
        Kind.REPEAT: _REPEAT,
        Kind.TEAM: _TEAM,
        Kind.SUPERVISOR: _SUPERVISOR,
        Kind.PIPELINE: {
            "pipeline": Field(REFERENCE, required=True, means="id or id@version"),
            "inputs": Field(Template(object_only=True), {}, means="the child's input"),
            "detached": Field(Flag(), False, means="do not wait for its end"),
            "share_board": Field(Flag(), False, means="the child sees this board"),
        },
        Kind.HUMAN: _HUMAN,
        Kind.WAIT: {
            "for": Field(Duration(LONGEST_WAIT), means="how long"),
            "until": Field(PROMPT, means="a point in time"),
            "event": Field(OneOrMore(_EVENT), means="an event, or a list of them: the first to come counts"),
            "timeout": Field(Duration(LONGEST_WAIT), means="when to give up waiting"),
        },
        Kind.TRANSFORM: {
            "set": Field(Table(Expression()), required=True, means="an expression per field of the output")
        },
        Kind.CHECK: {
            "value": Field(Template(), required=True, means="what is checked"),
            "rules": Field(Listing(RULE, 20, 1), required=True, means="the rules it must pass"),
            "mode": Field(Choice(("block", "mask", "warn")), "block", means="what a broken rule does"),
        },
        Kind.BOARD: {
            "op": Field(Choice(("read", "write", "append", "publish")), required=True, means="what to do"),
            "key": Field(PROMPT, required=True, means="the entry or topic"),
            "value": Field(Template(), means="what to put there"),
            "if_version": Field(
                Either((Whole(0, 10**12), Template(text=True)), "a version number or a template"),
                means="write only if this is still the version",
            ),
        },
    }
)
# Merges that an agent carries out.
BY_JUDGEMENT = frozenset({"best_of", "synthesize"})
CONTAINERS = frozenset({Kind.EACH, Kind.REPEAT})
UNTIMED = frozenset({Kind.EACH, Kind.REPEAT, Kind.TEAM, Kind.SUPERVISOR, Kind.PIPELINE})

DOCUMENT: Mapping[str, Field] = MappingProxyType(
    {
        "name": Field(Text(200, 1), required=True, means="what people call it"),
        "description": Field(Text(5_000), "", means="what it is for"),
        "inputs": Field(SCHEMA, means="JSON Schema of the start form"),
        "budget": Field(BUDGET, means="caps of a run"),
        "limits": Field(
            Record({"max_depth": Field(Whole(1, 5), 5), "max_parallel": Field(Whole(1, 1_000))}),
            means="depth of delegation; steps at the same time",
        ),
        "defaults": Field(
            Record({"on_error": Field(ON_ERROR), "timeout": Field(Duration()), "total_timeout": Field(Duration())}),
            {},
            means="for every step that does not say otherwise",
        ),
        "approvals": Field(
            Record(
                {
                    "irreversible": Field(
                        Record(
                            {
                                "roles": Field(ROLE_LIST, ("reviewer",)),
                                "people": Field(_PEOPLE, ()),
                                "min_approvals": Field(Whole(1, 20), 1),
                                "expires": Field(Duration(), 259_200.0),
                                "on_expire": Field(Choice(("reject", "escalate")), "reject"),
                            }
                        )
                    )
                }
            ),
            {},
            means="who answers for what cannot be undone",
        ),
        "board": Field(Anything(object_only=True), means="first values of the board"),
        "pause_before": Field(Listing(Text(200, 1), 2_000), (), means="steps to stop before (dotted places)"),
        "ui": Field(Anything(object_only=True), means="positions and notes; no meaning"),
        "x": Field(
            Anything(object_only=True),
            means="what Baton does not read: left by an import; `template`: whose copy it is",
        ),
    }
)
NAMED_RECORDS = (ON_ERROR, BUDGET, CACHE, RULE, _EVENT, _STOP, SUPERVISOR)
