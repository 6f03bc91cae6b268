"""Goldens of DeepEval: a JSON list of {input, expected_output, context, …}."""

from collections import Counter

from evals.formats.reading import Found, Reader, Written, listed, plain
from evals.scorers.texts import as_text
from pipelines.graph.model import Json
from pipelines.graph.problems import pointer

_KNOWN = frozenset({"name", "input", "expected_output", "context", "additional_metadata", "expected_tools"})


def read(data: Json, field: str) -> Found:
    reader = Reader(field)
    for number, golden in enumerate(listed(data, "goldens"), 1):
        where = pointer("", number - 1)
        if not isinstance(golden, dict) or "input" not in golden:
            reader.lose(where, "This is no golden: it has no input.")
            continue
        reader.unknown({key: value for key, value in golden.items() if value is not None}, _KNOWN, where)
        asserts: list[dict[str, Json]] = []
        case: dict[str, Json] = {
            "name": reader.name(golden.get("name"), number),
            "inputs": reader.inputs(golden["input"]),
            "context": golden.get("context"),
            "metadata": reader.metadata(golden.get("additional_metadata")),
            "asserts": asserts,
        }
        if golden.get("expected_output") is not None:
            case["expected_output"] = golden["expected_output"]
            # DeepEval says elsewhere how an answer is judged; equal is hardly ever meant.
            asserts.append({"type": "similar_wording"})
        here = pointer(where, "expected_tools")
        if tools := _tools(reader, golden.get("expected_tools"), here):
            reader.keep({"type": "trajectory", "tools": tools}, asserts, here)
        reader.cases.append(case)
    return reader.found()


def write(cases: list[dict[str, Json]], field: str) -> Written:
    reader = Reader(field)
    goldens = []
    for number, case in enumerate(cases):
        if case["asserts"]:
            reader.lose(f"/{number}/asserts", "A golden holds no assertions; DeepEval's metrics are code.")
        golden: dict[str, Json] = {"name": case["name"], "input": as_text(plain(case["inputs"], field))}
        if "expected_output" in case:
            golden["expected_output"] = as_text(case["expected_output"])
        context = case["context"]
        if context is not None:
            golden["context"] = [as_text(one) for one in (context if isinstance(context, list) else [context])]
        goldens.append({**golden, "additional_metadata": case["metadata"]})
    return Written(goldens, reader.problems)


def _tools(reader: Reader, given: Json, where: str) -> dict[str, Json]:
    """Return how often each tool must be called at least."""
    names: Counter[str] = Counter()
    for here, one in reader.entries(given, where):
        name = one.get("name") if isinstance(one, dict) else one
        if isinstance(name, str) and name:
            names[name] += 1
        else:
            reader.lose(here, "This is no tool: it has no name.")
    return {name: {"min": count} for name, count in names.items()}
