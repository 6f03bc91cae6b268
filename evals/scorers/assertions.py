"""How an assertion is written: one record for each type; an unknown key is refused, and so is code."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pipelines.graph import schemas
from pipelines.graph.common import SCHEMA
from pipelines.graph.composite import Field, Listing, OneOrMore, Record, Table
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.regex import MAX_PATTERN, regex
from pipelines.graph.shape import ABSENT, Anything, Choice, Flag, Money, Number, Text, Whole

MOST = 50
MOST_TEXT = 20_000
_STEP = Text(400, 1)
_COUNT = Record({"min": Field(Whole(0, 10**6), ABSENT), "max": Field(Whole(0, 10**6), ABSENT)})

_COMMON: Mapping[str, Field] = MappingProxyType(
    {
        "type": Field(Text(40, 1), required=True, means="which assertion this is"),
        "name": Field(Text(100, 1), ABSENT, means="what the metric is called (its type)"),
        "of": Field(_STEP, ABSENT, means="the step whose output is looked at (the run's)"),
    }
)


def _record(**fields: Field) -> Record:
    return Record({**_COMMON, **fields})


TYPES: Mapping[str, Record] = MappingProxyType(
    {
        "equals": _record(
            value=Field(Anything(), ABSENT, means="what the output must be (the expected output)"),
            ignore_case=Field(Flag(), False),
        ),
        "json_field": _record(
            pointer=Field(Text(400), required=True, means="JSON pointer into the output, as /items/0/sku"),
            value=Field(Anything(), ABSENT, means="what stands there (the same place of the expected output)"),
        ),
        "schema": _record(schema=Field(SCHEMA, required=True, means="JSON Schema that the output must fit")),
        "contains": _record(
            value=Field(OneOrMore(Text(2_000, 1)), ABSENT, means="one text or several (the expected output)"),
            match=Field(Choice(("all", "any", "none")), "all", means="how many of the texts must be there"),
            ignore_case=Field(Flag(), False),
        ),
        "regex": _record(
            pattern=Field(Text(MAX_PATTERN, 1), required=True, means="an RE2 pattern, searched in the output"),
            absent=Field(Flag(), False, means="whether it must not be found"),
        ),
        "similar_wording": _record(
            value=Field(Text(MOST_TEXT, 1), ABSENT, means="a text (the expected output)"),
            min_score=Field(Number(0, 1), 0.6, means="least score to pass"),
        ),
        "rubric": _record(
            rubric=Field(Text(4_000, 1), required=True, means="what a model judges the output by"),
            min_score=Field(Number(0, 1), 0.7, means="least score to pass"),
            model=Field(Text(128, 1), ABSENT, means="who judges (the evaluation's judge)"),
        ),
        "cost": _record(max_usd=Field(Money(), required=True, means="the most that the run may have cost")),
        "latency": _record(max_seconds=Field(Number(0, 10**6), required=True, means="the longest it may take")),
        "trajectory": _record(
            ran=Field(Listing(_STEP, 100), (), means="steps that must have succeeded"),
            skipped=Field(Listing(_STEP, 100), (), means="steps that must not have run"),
            tools=Field(Table(_COUNT), {}, means="how often each tool may be called"),
            loops=Field(Table(_COUNT), {}, means="how many items or rounds each container may have"),
            questions=Field(_COUNT, ABSENT, means="how many questions to people it may ask"),
        ),
    }
)
_INSTEAD = {
    "similar": "Baton has no embeddings to compare meanings with. Use similar_wording, or a rubric.",
    "python": "Assertions in code are not run. Say it with another type, or with a rubric.",
    "javascript": "Assertions in code are not run. Say it with another type, or with a rubric.",
}


def read(given: Json, where: str = "") -> list[dict[str, Json]]:
    """Return assertions with their defaults; raise Refusal naming what is wrong and where."""
    if not isinstance(given, list):
        raise Refusal("wrong_type", f"Assertions are a list, not {shown(given)}.", where)
    if len(given) > MOST:
        raise Refusal("out_of_range", f"A case may have {MOST} assertions; this one has {len(given)}.", where)
    return [read_one(entry, pointer(where, index)) for index, entry in enumerate(given)]


def read_one(given: Json, where: str = "") -> dict[str, Json]:
    if not isinstance(given, dict):
        raise Refusal("wrong_type", f"An assertion is an object with a type, not {shown(given)}.", where)
    kind = given.get("type")
    record = TYPES.get(kind) if isinstance(kind, str) else None
    if record is None:
        known = f"{shown(kind)} is no type of assertion. There are: {', '.join(TYPES)}."
        message = _INSTEAD.get(kind, known) if isinstance(kind, str) else known
        raise Refusal("bad_value", message, pointer(where, "type"))
    found: dict[str, Json] = record.read(given, where)
    _check(found, where)
    return found


def name_of(assertion: Mapping[str, Json]) -> str:
    """Return what the metric of an assertion is called."""
    return str(assertion.get("name") or assertion["type"])


def names_of(assertions: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return the metrics' names, told apart where two would be called the same: contains, contains 2."""
    counts: dict[str, int] = {}
    names = []
    for assertion in assertions:
        name = name_of(assertion)
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return names


def _check(found: Mapping[str, Json], where: str) -> None:
    match found["type"]:
        case "regex":
            try:
                regex(found["pattern"])
            except ValueError as error:
                raise Refusal("bad_pattern", str(error), pointer(where, "pattern")) from None
        case "schema" if refusal := schemas.check_schema(found["schema"]):
            raise Refusal(refusal.code, refusal.message, f"{where}/schema{refusal.where}")
        case "json_field" if found["pointer"] and not found["pointer"].startswith("/"):
            message = f"{shown(found['pointer'])} is no JSON pointer: it begins with /."
            raise Refusal("bad_value", message, pointer(where, "pointer"))
