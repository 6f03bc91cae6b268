"""Reads what a model wrote as the value that was asked for, or says what is wrong with it."""

import json
from typing import NoReturn

from pipelines.graph import schemas
from pipelines.graph.canonical import sanitise
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal
from runs.execution.failures import Failure, config, invalid_output, refused
from runs.execution.models.values import ModelAnswer

MAX_CHARACTERS = 2_000_000


def read(answer: ModelAnswer, schema: Json, model: str) -> tuple[Json, bool]:
    """Return the answer's text, or, with a schema, the JSON value that fits it, and whether it had to be changed so
    that the database can hold it.

    Raise a Failure: `refused`, or `invalid_output` with findings and the answer as it came.
    """
    if answer.finish == "content_filter":
        raise refused(model, answer.text)
    text = answer.text.strip()
    if not text:
        raise invalid_output("empty_answer", f"{model} sent an empty answer.", ["The answer was empty."], "")
    if schema is None:
        return answer.text, False
    value, changed = _parsed(text, cut_off=answer.finish == "length")
    if findings := findings_of(schema, value):
        raise invalid_output("wrong_shape", f"The answer does not fit: {findings[0]}", findings, value)
    return value, changed


def findings_of(schema: Json, value: Json) -> list[str]:
    """Return what does not fit, one line each with its JSON pointer; a config Failure for an unusable schema."""
    try:
        found = schemas.findings(schema, value)
    except Refusal as refusal:
        raise config(refusal.code, refusal.message) from refusal
    return [f"{finding.pointer or '/'}: {finding.message}" for finding in found]


def _parsed(text: str, *, cut_off: bool) -> tuple[Json, bool]:
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"it is longer than {MAX_CHARACTERS:,} characters")
        # What the database cannot hold is replaced before the schema is asked, not after.
        return sanitise(json.loads(_without_fence(text), parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        finding = (
            "The answer was cut off before its end: it reached the most it may have (max_output)."
            if cut_off
            else f"The answer is not JSON: {error or 'it is nested too deeply'}."
        )
        raise _not_json(finding, text) from error


def _not_json(finding: str, text: str) -> Failure:
    return invalid_output("not_json", finding, [finding], text[:MAX_CHARACTERS])


def _without_fence(text: str) -> str:
    """Return what stands inside ```json … ```, which many models put around JSON whatever they are told."""
    if not text.startswith("```"):
        return text
    _, _, rest = text.partition("\n")
    return rest.rstrip().removesuffix("```")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
