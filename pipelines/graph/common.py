"""The fields that every kind of step has, and the records that several kinds share."""

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.graph.composite import Either, Field, Listing, Record
from pipelines.graph.model import DEFAULT_ALERTS
from pipelines.graph.shape import (
    ABSENT,
    NAME_PATTERN,
    Anything,
    Choice,
    Duration,
    Expression,
    Flag,
    Money,
    Number,
    Shape,
    Template,
    Text,
    Whole,
)

PERSONAL = ("email", "phone", "card", "iban")

NAME = Text(63, 1, NAME_PATTERN, "a name of small letters, digits and _ that begins with a letter")
REFERENCE = Text(200)
MODEL = Text(128)
PROMPT = Template(text=True)
SCHEMA = Anything(object_only=True)

RETRY = Record(
    {
        "max_attempts": Field(Whole(1, 10), ABSENT, means="attempts in all (3)"),
        "on": Field(Listing(Choice(("transient", "timeout")), 2), ABSENT, means="error classes (transient, timeout)"),
        "first_delay": Field(Duration(), ABSENT, means="pause before the second attempt (PT1S)"),
        "factor": Field(Number(1, 10), ABSENT, means="each pause is this much longer (2)"),
        "max_delay": Field(Duration(), ABSENT, means="longest pause (PT60S)"),
    }
)
REPAIR = Record(
    {
        "max_attempts": Field(Whole(0, 5), ABSENT, means="how often an invalid output is sent back (2)"),
        "instruction": Field(Text(2_000), ABSENT, means="what to say when it is sent back"),
    }
)
FALLBACK = Record(
    {
        kind: Field(Text(most, 1), ABSENT, means=f"{kind} to use instead")
        for kind, most in (("model", MODEL.max), ("agent", 200), ("pipeline", 200))
    },
    one_only=True,
)
ON_ERROR = Record(
    {
        "retry": Field(RETRY, ABSENT),
        "repair": Field(REPAIR, ABSENT),
        "fallback": Field(Listing(FALLBACK, 5), ABSENT, means="models, agents or pipelines to try next, in order"),
        "then": Field(
            Choice(("auto", "stop_run", "use_default", "skip", "route", "ask_human")),
            ABSENT,
            means="what happens at last (auto)",
        ),
        "default": Field(Anything(), ABSENT, means="output for `use_default`"),
    },
    name="on_error",
)
BUDGET = Record(
    {
        "max_cost_usd": Field(Money(), means="most it may spend"),
        "max_tokens": Field(Whole(1, 10**12), means="input and output together"),
        "max_llm_calls": Field(Whole(1, 10**9), means="model calls"),
        "max_seconds": Field(Number(0, 10**9), means="machine time only"),
        "alert_at": Field(Listing(Number(0, 1), 10), DEFAULT_ALERTS, means="parts of the cap at which to warn"),
        "on_exceed": Field(Choice(("stop", "ask_human", "cheaper_model")), "stop", means="what happens at the cap"),
    },
    name="budget",
)
CACHE = Record(
    {
        "mode": Field(Choice(("off", "run", "pipeline", "workspace")), "off", means="who shares results"),
        "ttl": Field(Duration(), means="how long an entry lives"),
        "key": Field(PROMPT, means="adds to the key"),
    },
    name="cache",
)
VALUE = ("value",)
RULE = Record(
    {
        "rule": Field(
            Choice(
                (
                    "schema",
                    "expr",
                    "length",
                    "regex",
                    "contains",
                    "unchanged_from",
                    "pii",
                    "injection",
                    "ai_rubric",
                )
            ),
            required=True,
            means="which rule this is",
        ),
        "schema": Field(SCHEMA, means="schema: the JSON Schema (else the step's)"),
        "expr": Field(Expression(extra=VALUE), means="expr: must be true; the value is `value`"),
        "min": Field(Whole(0, 10**9), means="length: characters or entries"),
        "max": Field(Whole(0, 10**9), means="length: characters or entries"),
        "pattern": Field(Text(1_000), means="regex: a linear-time pattern"),
        "text": Field(PROMPT, means="contains: the text"),
        "source": Field(PROMPT, means="unchanged_from: what quotes must come from"),
        "find": Field(Listing(Choice(PERSONAL), 4, 1), means="pii: what to look for (all)"),
        "rubric": Field(PROMPT, means="ai_rubric: what a judge asks"),
        "agent": Field(REFERENCE, means="ai_rubric: who judges"),
        "model": Field(MODEL, means="ai_rubric: which model judges"),
        "min_score": Field(Number(0, 1), 0.7, means="ai_rubric: least score"),
        "message": Field(Text(500), "", means="what a person reads when it fails"),
    },
    name="rule",
)
WAIT_FOR: Shape = Either(
    (Choice(("settled", "all", "first")), Whole(1, 10_000)), "settled, all, first or a number of branches"
)

COMMON: Mapping[str, Field] = MappingProxyType(
    {
        "title": Field(Text(200), "", means="what a person reads on the box"),
        "help": Field(Text(2_000), "", means="what the step is for"),
        "disabled": Field(Flag(), False, means="leave this step out"),
        "wait_for": Field(WAIT_FOR, "settled", means="settled, all, first or a number of branches"),
        "on_failed_input": Field(Choice(("propagate", "tolerate")), means="`combine` tolerates, others propagate"),
        "output_schema": Field(SCHEMA, means="JSON Schema of the output"),
        "checks": Field(Listing(RULE, 20), (), means="rules the output must pass"),
        "on_error": Field(ON_ERROR, {}, means="what to do when it fails"),
        "timeout": Field(Duration(), means="per attempt (PT2M)"),
        "total_timeout": Field(Duration(), means="over all attempts (PT15M; none for containers)"),
        "budget": Field(BUDGET, means="caps of this step"),
        "cache": Field(CACHE, means="use earlier results again"),
        "lock": Field(PROMPT, means="steps with the same lock run one at a time"),
    }
)
