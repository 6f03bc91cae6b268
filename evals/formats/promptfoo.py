"""Tests of promptfoo's configuration: {tests: [{description, vars, assert: [{type, value, threshold}], …}]}."""

from collections.abc import Mapping

from evals.formats.reading import Found, Reader, Written, check_shared, listed
from pipelines.graph.model import Json
from pipelines.graph.money import dollars, micros
from pipelines.graph.problems import pointer, shown

_FILE = frozenset({"tests", "defaultTest", "description", "prompts", "providers"})
_TEST = frozenset({"description", "vars", "assert", "metadata"})
_ASSERT = frozenset({"type", "value", "threshold", "metric", "provider"})
_CODE = frozenset({"javascript", "python", "ruby", "webhook"})
_REFERENCES = ("file://", "http://", "https://", "package:")
_CASELESS = "icontains"
_HIGHEST = 10**9


def read(data: Json, field: str) -> Found:
    reader = Reader(field)
    shared: list[dict[str, Json]] = []
    variables: dict[str, Json] = {}
    if isinstance(data, dict):
        reader.unknown(data, _FILE, "")
        default = data.get("defaultTest")
        if isinstance(default, dict):
            reader.unknown(default, _TEST, "/defaultTest")
            shared = _asserts(reader, default.get("assert"), "/defaultTest/assert")
            variables = _variables(reader, default, "/defaultTest")
        elif default is not None:
            reader.lose("/defaultTest", "This is no test but the name of a file, which is not read.")
    tests = listed(data, "tests")
    check_shared([shared, variables], len(tests))
    for number, given in enumerate(tests, 1):
        where = pointer("/tests", number - 1)
        if not isinstance(given, dict):
            reader.lose(where, "This is no test but the name of a file, which is not read.")
            continue
        reader.unknown(given, _TEST, where)
        reader.cases.append(
            {
                "name": reader.name(given.get("description"), number),
                "inputs": {**variables, **_variables(reader, given, where)},
                "asserts": [*_asserts(reader, given.get("assert"), f"{where}/assert"), *shared],
                "metadata": reader.metadata(given.get("metadata")),
            }
        )
    return reader.found()


def write(cases: list[dict[str, Json]], field: str) -> Written:
    reader = Reader(field)
    tests = []
    for number, case in enumerate(cases):
        found = []
        for at, assertion in enumerate(case["asserts"] or ([{"type": "equals"}] if "expected_output" in case else [])):
            written = _written(assertion, case)
            if written is None:
                where = f"/tests/{number}/asserts/{at}"
                reader.lose(where, f"promptfoo has no assertion like {assertion['type']}; it was left out.")
            else:
                name = assertion.get("name")
                found.append({**written, "metric": name} if name else written)
        if case["context"] is not None:
            reader.lose(f"/tests/{number}/context", "promptfoo has no place for a context; it was left out.")
        test = {"description": case["name"], "vars": case["inputs"], "assert": found, "metadata": case["metadata"]}
        tests.append(test)
    return Written({"tests": tests}, reader.problems)


def _variables(reader: Reader, given: Mapping[str, Json], where: str) -> dict[str, Json]:
    found = given.get("vars")
    if found is not None and not isinstance(found, dict):
        reader.lose(f"{where}/vars", "These are no values but the name of a file, which is not read.")
    return dict(found) if isinstance(found, dict) else {}


def _asserts(reader: Reader, given: Json, where: str) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    for here, one in reader.entries(given, where):
        if not isinstance(one, dict) or not isinstance(one.get("type"), str):
            reader.lose(here, "This is no assertion: it has no type.")
            continue
        reader.unknown(one, _ASSERT, here)
        kind = one["type"]
        if kind.removeprefix("not-") in _CODE or _leads_outside(one.get("value")):
            reader.lose(here, f"{shown(kind)} is code or lies elsewhere; Baton runs and fetches nothing of a file.")
            continue
        assertion = _assertion(kind, one)
        if assertion is None:
            reader.lose(here, f"Baton has no assertion like {shown(kind)} with this value; it was left out.")
            continue
        name = one.get("metric")
        named = {"name": name[:100]} if isinstance(name, str) and name else {}
        reader.keep({**assertion, **named}, found, here)
    return found


def _assertion(kind: str, one: Mapping[str, Json]) -> dict[str, Json] | None:
    negated, kind = kind.startswith("not-"), kind.removeprefix("not-")
    value, least = one.get("value"), one.get("threshold")
    match kind:
        case "equals" if not negated and value is not None:
            return {"type": "equals", "value": value}
        case "contains" | "icontains" | "contains-all" | "icontains-all" | "contains-any" | "icontains-any":
            return _contains(kind, value, negated=negated)
        case "regex" if isinstance(value, str) and value:
            return {"type": "regex", "pattern": value, "absent": negated}
        case "is-json" if not negated:
            return {"type": "schema", "schema": value if isinstance(value, dict) else {"type": ["object", "array"]}}
        case "llm-rubric" if not negated and isinstance(value, str) and value:
            return {"type": "rubric", "rubric": value[:4_000], **_least(least)}
        case "latency" if (number := _number(least)) is not None:
            return {"type": "latency", "max_seconds": number / 1000}
        case "cost" if (number := _number(least)) is not None:
            return {"type": "cost", "max_usd": dollars(round(number * 1_000_000))}
        case _:
            return None


def _contains(kind: str, value: Json, *, negated: bool) -> dict[str, Json] | None:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        return None
    if negated and len(texts) > 1 and not kind.endswith("-any"):
        return None  # “not all of them” is none of all, any and none
    match = "none" if negated else "any" if kind.endswith("-any") else "all"
    ignore = kind.startswith(_CASELESS)
    return {"type": "contains", "value": texts, "match": match, "ignore_case": ignore}


def _written(assertion: Mapping[str, Json], case: Mapping[str, Json]) -> dict[str, Json] | None:
    if "of" in assertion:
        return None
    value = assertion.get("value", case.get("expected_output"))
    written: dict[str, Json] | None = None
    match assertion["type"]:
        case "equals" if not assertion.get("ignore_case"):
            written = {"type": "equals", "value": value}
        case "contains" if value is not None:
            texts, how = value if isinstance(value, list) else [value], assertion.get("match", "all")
            prefix, caseless = "not-" if how == "none" else "", "i" if assertion.get("ignore_case") else ""
            written = {"type": f"{prefix}{caseless}contains-{'all' if how == 'all' else 'any'}", "value": texts}
        case "regex":
            written = {"type": "not-regex" if assertion.get("absent") else "regex", "value": assertion["pattern"]}
        case "schema":
            written = {"type": "is-json", "value": assertion["schema"]}
        case "rubric":
            written = {"type": "llm-rubric", "value": assertion["rubric"], "threshold": assertion.get("min_score", 0.7)}
        case "latency":
            written = {"type": "latency", "threshold": assertion["max_seconds"] * 1000}
        case "cost":
            written = {"type": "cost", "threshold": micros(assertion["max_usd"]) / 1_000_000}
    return written


def _least(least: Json) -> dict[str, Json]:
    number = _number(least)
    return {"min_score": number} if number is not None and number <= 1 else {}


def _number(value: Json) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _HIGHEST
    return value if known else None


def _leads_outside(value: Json) -> bool:
    return isinstance(value, str) and value.startswith(_REFERENCES)
