"""A plain HTML form from a JSON Schema of an object, and the object back from what was posted."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.graph import schemas
from pipelines.graph.model import Json

LONG_TEXT = 300
PREFIX = "field-"


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `kind` is text, area, number, checkbox, select, lines (one item per line) or json.

    `value` is what the input shows; where it `is_typed`, a person's text as it came. `pointer` is the value's JSON
    pointer, by which its trust is looked up.
    """

    name: str
    label: str
    kind: str
    value: Json
    required: bool = False
    help: str = ""
    options: Sequence[Json] = ()
    step: str = "any"
    pointer: str = ""
    error: str = ""
    is_typed: bool = False

    @property
    def input_name(self) -> str:
        return PREFIX + self.name

    def typed(self, posted: Mapping[str, str]) -> "Field":
        """Return this input showing what a person typed, unread."""
        return replace(self, value=posted.get(self.input_name, ""), is_typed=True)

    @property
    def text(self) -> str:
        """The value as the text of an input."""
        if self.value is None:
            return ""
        if self.is_typed:
            return str(self.value)
        if self.kind == "lines" and isinstance(self.value, list):
            return "\n".join(str(item) for item in self.value)
        if self.kind == "json" or isinstance(self.value, dict | list):
            return json.dumps(self.value, indent=2, ensure_ascii=False)
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Posted:
    """What a form brought: the object, and a sentence per field that could not be read."""

    value: dict[str, Json] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def fields(
    schema: Json, values: Mapping[str, Json] | None = None, *, errors: Mapping[str, str] | None = None, base: str = ""
) -> list[Field]:
    """Return the inputs for an object schema, filled with `values`, else with defaults and examples.

    `base` is the JSON pointer under which the object stands in a larger value. Without properties in the schema,
    one input per value is offered, so that nothing that will happen is hidden. A draft may hold a schema that is
    none: it asks for nothing.
    """
    schema = schema if schemas.check_schema(schema) is None else None
    properties = _properties(schema, values)
    required = list(schema.get("required", ())) if isinstance(schema, dict) else []
    return [
        Field(
            name=name,
            label=str(rule.get("title") or _spoken(name)),
            kind=_kind(rule, (values or {}).get(name)),
            value=values[name] if values and name in values else _sample(rule),
            required=name in required,
            help=str(rule.get("description", "")),
            options=tuple(rule.get("enum", ())),
            step="1" if rule.get("type") == "integer" else "any",
            pointer=f"{base}/{_escaped(name)}",
            error=(errors or {}).get(name, ""),
        )
        # A JSON column forgets the order of keys; the list of required names keeps the author's.
        for name, rule in sorted(properties.items(), key=lambda item: _position(item[0], required))
    ]


def read(shown: Iterable[Field], posted: Mapping[str, str]) -> Posted:
    """Return the object a posted form describes; empty optional inputs are left out.

    An input that was not touched keeps its value exactly. Only the shape of each input is read here; whoever takes
    the object validates it against the schema.
    """
    value: dict[str, Json] = {}
    errors: dict[str, str] = {}
    for item in shown:
        try:
            found = _parsed(item, posted)
        except ValueError as error:
            errors[item.name] = str(error)
        else:
            if found is not None:
                value[item.name] = found
    return Posted(value, errors)


def free_value(text: str) -> Json:
    """Return what a free input means: JSON where it is JSON, else the text itself; None when empty."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.replace("\r\n", "\n")


def _position(name: str, required: Sequence[str]) -> int:
    return required.index(name) if name in required else len(required)


def _properties(schema: Json, values: Mapping[str, Json] | None) -> dict[str, dict[str, Json]]:
    declared = schema.get("properties") if isinstance(schema, dict) else None
    known = {name: rule if isinstance(rule, dict) else {} for name, rule in (declared or {}).items()}
    return known | {name: {} for name in values or {} if name not in known}


def _kind(rule: Mapping[str, Json], value: Json) -> str:
    if rule.get("enum"):
        return "select"
    match rule.get("type"):
        case "boolean":
            return "checkbox"
        case "number" | "integer":
            return "number"
        case "array" if _item_type(rule) == "string":
            return "lines"
        case "string":
            return "area" if _is_long(rule, value) else "text"
        case None if isinstance(value, str):
            return "area" if _is_long(rule, value) else "text"
        case _:
            return "json"


def _item_type(rule: Mapping[str, Json]) -> Json:
    items = rule.get("items")
    return items.get("type") if isinstance(items, dict) else None


def _is_long(rule: Mapping[str, Json], value: Json) -> bool:
    text = str(value or "")
    return rule.get("maxLength", 0) > LONG_TEXT or rule.get("format") == "text" or len(text) > 80 or "\n" in text


def _sample(rule: Mapping[str, Json]) -> Json:
    if "default" in rule:
        return rule["default"]
    examples = rule.get("examples")
    return examples[0] if examples else None


def _parsed(item: Field, posted: Mapping[str, str]) -> Json:
    text = posted.get(item.input_name, "").replace("\r\n", "\n")
    if item.kind == "checkbox":
        return bool(text)
    if item.value is not None and text == item.text:
        return item.value
    if item.kind == "select":
        return next((option for option in item.options if str(option) == text), None)
    if not text.strip():
        return "" if item.kind in ("text", "area") and item.required else None
    match item.kind:
        case "number":
            return _number(item, text)
        case "lines":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "json":
            return _json(item, text)
        case _:
            return text


def _number(item: Field, text: str) -> Json:
    try:
        return int(text) if item.step == "1" else float(text)
    except ValueError:
        raise ValueError(f"{item.label}: “{text}” is not a number.") from None


def _json(item: Field, text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{item.label}: this is not JSON ({error}).") from None


def _spoken(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
