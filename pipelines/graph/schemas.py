"""JSON Schemas that people and models write: refused when they could run long, applied within counted steps.

References stay inside the schema and never lead back to themselves, patterns are RE2, nothing is ever fetched.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError, validators
from referencing import Registry

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.regex import regex

MAX_SCHEMA_VALUES = 5_000
MAX_SCHEMA_DEPTH = 32
# How large a schema may be once every reference is replaced by what it stands for.
MAX_EXPANDED = 20_000
MAX_STEPS = 200_000
MAX_FINDINGS = 20
_ERROR_STEPS = 5
MAX_MESSAGE = 300
_REFUSED_KEYWORDS = {
    "$id": "A schema cannot have an address of its own",
    "$anchor": "Use $defs and $ref",
    "$dynamicRef": "Use $ref",
    "$dynamicAnchor": "Use $defs and $ref",
    "$recursiveRef": "Use $ref",
    "$recursiveAnchor": "Use $defs and $ref",
    "patternProperties": "Use properties or additionalProperties",
}
# Keywords whose value is data, not schemas.
_DATA = frozenset({"const", "enum", "default", "examples"})
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a value, and where: a JSON pointer within it."""

    pointer: str
    message: str


class _TooManySteps(Exception):
    """The value and the schema together take more steps than any honest pair does."""


_steps_left: ContextVar[list[int]] = ContextVar("schema_steps_left")


def findings(schema: Json, value: Json) -> list[Finding]:
    """Return what is wrong with the value, at most twenty findings; an empty list when it fits.

    A pair that takes too long is a finding too. Raise Refusal when the schema itself is refused.
    """
    validator = _validator(_encoded(schema))
    token = _steps_left.set([MAX_STEPS])
    found: list[Finding] = []
    try:
        for error in validator.iter_errors(value):
            found.append(Finding(pointer("", *error.absolute_path), _sentence(error)))
            if len(found) >= MAX_FINDINGS:
                break
    except (_TooManySteps, RecursionError):
        found.append(Finding("", f"This value is too large to be checked within {MAX_STEPS:,} steps."))
    finally:
        _steps_left.reset(token)
    return found


def check_schema(schema: Json) -> Refusal | None:
    """Return why a schema is refused, `where` pointing into it, or None when it may be used."""
    try:
        _validator(_encoded(schema))
    except Refusal as refusal:
        return refusal
    return None


def _encoded(schema: Json) -> bytes:
    try:
        return canonical_json(schema)
    except (TypeError, RecursionError):
        message = f"This schema is not JSON, or nests deeper than {MAX_SCHEMA_DEPTH} levels."
        raise Refusal("bad_schema", message) from None


@functools.lru_cache(maxsize=512)
def _validator(encoded: bytes) -> Any:
    schema = orjson.loads(encoded)
    _refuse_unsafe(schema)
    try:
        # No format checker: its `regex` would compile patterns with the backtracking engine.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        where = pointer("", *error.absolute_path)
        raise Refusal("bad_schema", f"This is not a JSON Schema: {error.message[:MAX_MESSAGE]}.", where) from None
    return _Validator(schema, registry=Registry())


def _refuse_unsafe(schema: Json) -> None:
    if not isinstance(schema, dict | bool):
        raise Refusal("bad_schema", f"A JSON Schema is an object, not {shown(schema)}.")
    parts = dict(_parts(schema, "", 0))
    if len(parts) > MAX_SCHEMA_VALUES:
        message = f"This schema has more than {MAX_SCHEMA_VALUES:,} parts."
        raise Refusal("schema_too_large", message)
    _expanded("", parts, {}, ())


def _parts(schema: Json, where: str, depth: int) -> Iterator[tuple[str, "_Part"]]:
    """Yield every subschema by its pointer, each checked by itself."""
    if depth > MAX_SCHEMA_DEPTH:
        raise Refusal("schema_too_large", f"This schema nests deeper than {MAX_SCHEMA_DEPTH} levels.", where)
    if not isinstance(schema, dict):
        yield where, _Part(())
        return
    children = list(_children(schema, where))
    yield where, _Part(tuple(at for _, at, applies in children if applies), _target(schema, where))
    for child, at, _ in children:
        yield from _parts(child, at, depth + 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """A subschema: the pointers of those it applies, and of the one it refers to."""

    applies: tuple[str, ...]
    target: str | None = None


def _children(schema: Mapping[str, Json], where: str) -> Iterator[tuple[Json, str, bool]]:
    for keyword, value in schema.items():
        at = pointer(where, keyword)
        if keyword in _REFUSED_KEYWORDS:
            raise Refusal("bad_schema", f"{keyword} is not allowed here. {_REFUSED_KEYWORDS[keyword]}.", at)
        if keyword == "pattern":
            _check_pattern(value, at)
        if keyword in _DATA:
            continue
        if isinstance(value, dict) and keyword in _NAMED_SCHEMAS:
            applies = keyword not in ("$defs", "definitions")
            yield from ((child, pointer(at, name), applies) for name, child in value.items())
        elif isinstance(value, dict):
            yield value, at, True
        elif isinstance(value, list):
            yield from (
                (child, pointer(at, index), True) for index, child in enumerate(value) if isinstance(child, dict)
            )


def _check_pattern(value: Json, where: str) -> None:
    try:
        regex(str(value))
    except ValueError as error:
        raise Refusal("bad_schema", str(error), where) from None


def _target(schema: Mapping[str, Json], where: str) -> str | None:
    reference = schema.get("$ref")
    if reference is None:
        return None
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        message = f"A $ref stays within its schema (#/$defs/…), not {shown(reference)}."
        raise Refusal("bad_schema", message, pointer(where, "$ref"))
    return reference[1:]


def _expanded(at: str, parts: Mapping[str, _Part], known: dict[str, int], trail: tuple[str, ...]) -> int:
    """Return how many subschemas one stands for; refuse a circle of references and one that multiplies."""
    if at in known:
        return known[at]
    part = parts.get(at)
    if part is None:
        raise Refusal("bad_schema", f"There is no schema at #{at}.", f"{trail[-1]}/$ref" if trail else "")
    if at in trail:
        raise Refusal("bad_schema", "This schema refers to itself, so checking it might never end.", at)
    further = part.applies if part.target is None else (*part.applies, part.target)
    known[at] = 1 + sum(_expanded(child, parts, known, (*trail, at)) for child in further)
    if known[at] > MAX_EXPANDED:
        message = f"This schema stands for more than {MAX_EXPANDED:,} parts once its references are followed."
        raise Refusal("schema_too_large", message, at)
    return known[at]


def _counted(keyword: _Keyword) -> _Keyword:
    def run(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _charge(1)
        for error in keyword(validator, wanted, instance, schema) or ():
            # Building an error costs several times what a keyword that holds costs.
            _charge(_ERROR_STEPS)
            yield error

    return run


def _charge(steps: int) -> None:
    left = _steps_left.get()
    left[0] -= steps
    if left[0] < 0:
        raise _TooManySteps


def _pattern(validator: Any, wanted: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        compiled = regex(wanted)
        _charge(compiled.cost(instance))
        if not compiled.found_in(instance):
            yield ValidationError(f"{shown(instance)} does not match the pattern {wanted}")


def _unique(_validator: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Linear, where the library compares every pair."""
    if not wanted or not isinstance(instance, list):
        return
    _charge(len(instance))
    seen: set[bytes] = set()
    for item in instance:
        encoded = canonical_json(item)
        if encoded in seen:
            yield ValidationError(f"{shown(item)} stands in the list twice")
            return
        seen.add(encoded)


def _type(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    if not any(validator.is_type(instance, kind) for kind in kinds):
        yield ValidationError(
            f"this must be {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}, not {shown(instance)}"
        )


def _sentence(error: ValidationError) -> str:
    """Return the finding as a sentence. The library's own would repeat the whole value, however large."""
    wanted: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            message = f"the field {error.message.removesuffix(' is a required property')} is missing"
        case "minLength" if wanted == 1:
            message = "this must not be empty"
        case "minLength" | "maxLength":
            message = f"this has {len(instance):,} characters; {_bound(error)} {wanted:,} are allowed"
        case "minItems" | "maxItems":
            message = f"this has {len(instance):,} entries; {_bound(error)} {wanted:,} are allowed"
        case "enum":
            message = f"{shown(instance)} is none of: {', '.join(str(choice) for choice in wanted)}"
        case "anyOf" | "oneOf" | "not" | "const" | "contains":
            message = f"{shown(instance)} does not have the shape that {error.validator} asks for"
        case _:
            message = error.message
    text = message[: MAX_MESSAGE - 1].rstrip(".") + ("…" if len(message) >= MAX_MESSAGE else ".")
    return text[:1].upper() + text[1:]


def _bound(error: ValidationError) -> str:
    return "at least" if str(error.validator).startswith("min") else "at most"


_KINDS = {
    "string": "text",
    "object": "an object",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_OWN: dict[str, _Keyword] = {"pattern": _pattern, "uniqueItems": _unique, "type": _type}
_KEYWORDS: dict[str, Any] = {**Draft202012Validator.VALIDATORS, **_OWN}
_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()}
)
