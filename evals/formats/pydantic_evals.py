"""Datasets of pydantic-evals, as `Dataset.to_file` writes them: {name, cases: [{name, inputs, …}], evaluators}."""

from collections.abc import Mapping

from evals.formats.reading import Found, Reader, Written, check_shared, listed, plain
from pipelines.graph.model import Json
from pipelines.graph.problems import pointer, shown

_FILE = frozenset({"name", "cases", "evaluators", "$schema"})
_CASE = frozenset({"name", "inputs", "expected_output", "metadata", "evaluators"})


def read(data: Json, field: str) -> Found:
    reader = Reader(field)
    shared: list[dict[str, Json]] = []
    if isinstance(data, dict):
        reader.unknown(data, _FILE, "")
        shared = _asserts(reader, data.get("evaluators"), "/evaluators")
    found = listed(data, "cases")
    check_shared(shared, len(found))
    for number, given in enumerate(found, 1):
        where = pointer("/cases", number - 1)
        if not isinstance(given, dict) or "inputs" not in given:
            reader.lose(where, "This is no case: it has no inputs.")
            continue
        reader.unknown(given, _CASE, where)
        own = _asserts(reader, given.get("evaluators"), f"{where}/evaluators")
        case: dict[str, Json] = {
            "name": reader.name(given.get("name"), number),
            "inputs": reader.inputs(given["inputs"]),
            "asserts": [*own, *shared],
            "metadata": reader.metadata(given.get("metadata")),
        }
        if given.get("expected_output") is not None:
            case["expected_output"] = given["expected_output"]
        reader.cases.append(case)
    return reader.found()


def write(cases: list[dict[str, Json]], field: str) -> Written:
    reader = Reader(field)
    written = []
    for number, case in enumerate(cases):
        found: dict[str, Json] = {"name": case["name"], "inputs": plain(case["inputs"], field)}
        if "expected_output" in case:
            found["expected_output"] = case["expected_output"]
        metadata = {**case["metadata"], **({"context": case["context"]} if case["context"] is not None else {})}
        evaluators = []
        for at, assertion in enumerate(case["asserts"]):
            evaluator = _evaluator(assertion)
            if evaluator is None:
                where = f"/cases/{number}/asserts/{at}"
                reader.lose(where, f"pydantic-evals has no evaluator like {assertion['type']}; it was left out.")
            else:
                evaluators.append(evaluator)
        written.append({**found, "metadata": metadata, "evaluators": evaluators})
    return Written({"cases": written, "evaluators": []}, reader.problems)


def _asserts(reader: Reader, given: Json, where: str) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    for here, one in reader.entries(given, where):
        name, arguments = next(iter(one.items())) if isinstance(one, dict) and len(one) == 1 else (one, None)
        assertion = _assertion(name, arguments)
        if assertion is None:
            reader.lose(here, f"Baton has no assertion like {shown(name)}; it was left out.")
        else:
            reader.keep(assertion, found, here)
    return found


def _assertion(name: Json, given: Json) -> dict[str, Json] | None:
    """Return the assertion that an evaluator says, None for one that is unknown or written in code."""
    said: Mapping[str, Json] = given if isinstance(given, dict) else {}
    match name:
        case "EqualsExpected":
            return {"type": "equals"}
        case "Equals":
            return {"type": "equals", "value": said.get("value", given)}
        case "Contains" if isinstance(value := said.get("value", given), str) and value:
            return {"type": "contains", "value": value, "ignore_case": said.get("case_sensitive") is False}
        case "LLMJudge" if isinstance(value := said.get("rubric", given), str) and value:
            return {"type": "rubric", "rubric": value[:4_000]}
        case "MaxDuration":
            seconds = said.get("seconds", given)
            known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            return {"type": "latency", "max_seconds": seconds} if known else None
        case _:
            return None


def _evaluator(assertion: Mapping[str, Json]) -> Json:
    if "of" in assertion:
        return None
    match assertion["type"]:
        case "equals" if not assertion.get("ignore_case"):
            return {"Equals": {"value": assertion["value"]}} if "value" in assertion else "EqualsExpected"
        case "contains" if isinstance(assertion.get("value"), str) and assertion.get("match", "all") != "none":
            sensitive = not assertion.get("ignore_case")
            return {"Contains": {"value": assertion["value"], "case_sensitive": sensitive}}
        case "rubric":
            return {"LLMJudge": {"rubric": assertion["rubric"]}}
        case "latency":
            return {"MaxDuration": {"seconds": assertion["max_seconds"]}}
        case _:
            return None
