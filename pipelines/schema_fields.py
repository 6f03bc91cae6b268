"""An object's JSON Schema as rows of a form, one per field, and the schema back from what was posted.

Whatever a row has no input for stays as it is, shown as JSON beside the row or below all rows: nothing is dropped.
A JSON column forgets the order of keys; the list of required names keeps the author's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipelines.graph import schemas
from pipelines.graph.model import Json

TYPES: Final = (
    ("string", "Text"),
    ("number", "Number"),
    ("integer", "Whole number"),
    ("boolean", "Yes or no"),
    ("array", "List"),
    ("object", "Object"),
    ("", "As its JSON says"),
)
ITEMS: Final = (
    ("string", "texts"),
    ("number", "numbers"),
    ("integer", "whole numbers"),
    ("boolean", "yes or no"),
    ("object", "objects"),
    ("", "anything, or as its JSON says"),
)
MAX_ROWS = 60
BLANK = "__n__"
"""Stands for a row's number in the row that the browser copies."""
_NAMES = frozenset(name for name, _ in TYPES if name)
_ITEM_NAMES = frozenset(name for name, _ in ITEMS if name)


@dataclass(frozen=True, slots=True)
class Row:
    """One field as its inputs show it. `n` is its number in the form; `enum` allowed values with commas between.

    `more` is JSON: the rest of the field's schema, as the properties of an object.
    """

    n: str = "0"
    name: str = ""
    type: str = "string"
    required: bool = True
    description: str = ""
    enum: str = ""
    items: str = "string"
    more: str = ""
    error: str = ""

    @property
    def is_blank(self) -> bool:
        return not (self.name or self.description or self.enum or self.more)


@dataclass(frozen=True, slots=True)
class Fields:
    """A schema as rows; `more` is the JSON of what stands in no row, or of the whole schema where it has no rows."""

    prefix: str = "schema"
    rows: tuple[Row, ...] = ()
    more: str = ""
    error: str = ""

    @property
    def is_fine(self) -> bool:
        return not self.error and not any(row.error for row in self.rows)

    @property
    def blank(self) -> Row:
        """The row the browser copies to add one."""
        return Row(n=BLANK)

    types, item_types = TYPES, ITEMS


def shown(schema: Json, prefix: str = "schema") -> Fields:
    """Return the rows of a schema; None, which asks for plain text, has none."""
    if schema is None:
        return Fields(prefix)
    names = _names(schema)
    if not names:
        return Fields(prefix, more=json.dumps(schema, indent=2, ensure_ascii=False))
    required = schema.get("required", [])
    names.sort(key=lambda name: required.index(name) if name in required else len(required))
    rule = schema["properties"]
    rows = tuple(_row(str(n), name, rule[name], name in required) for n, name in enumerate(names))
    return Fields(prefix, rows, _text(_rest(schema, names)))


def typed(posted: Mapping[str, Sequence[str]], prefix: str = "schema") -> Fields:
    """Return the rows a person typed, unread, after the button they pressed: add, remove-3, up-3 or down-3."""
    numbers = [n for n in posted.get(f"{prefix}-row", ()) if n.isdecimal()]
    rows = [_typed_row(posted, prefix, n) for n in numbers]
    _act(rows, _one(posted, f"{prefix}-do"))
    return Fields(prefix, tuple(rows), _one(posted, f"{prefix}-more"))


def was_changed(posted: Mapping[str, Sequence[str]], prefix: str = "schema") -> bool:
    """Say whether the form was sent by a button of its rows, to be shown again instead of saved."""
    return bool(posted.get(f"{prefix}-do"))


def read(fields: Fields) -> tuple[Json, Fields]:
    """Return the schema that the rows describe, and the rows with what is wrong at each; None for no rows at all.

    The schema is to be used only where the rows returned are fine.
    """
    rows = tuple(row for row in fields.rows if not row.is_blank)
    try:
        rest = _parsed(fields.more, "The JSON")
    except ValueError as error:
        return None, replace(fields, rows=rows, error=str(error))
    if not rows:
        return _checked(rest if fields.more.strip() else None, replace(fields, rows=()))
    if (wrong := _clash(rest)) is not None:
        return None, replace(fields, rows=rows, error=wrong)
    kept: dict[str, Json] = dict(rest.get("properties", {}))
    seen: dict[str, Json] = {}
    marked = []
    for row in rows:
        try:
            seen[_new_name(row, {**kept, **seen})] = _rule(row)
            marked.append(replace(row, error=""))
        except ValueError as error:
            marked.append(replace(row, error=str(error)))
    required = [row.name.strip() for row in rows if row.required]
    required += [name for name in rest.get("required", ()) if name not in required]
    schema = {**rest, "type": "object", "properties": {**seen, **kept}, "required": required}
    if not required and "required" not in rest:
        del schema["required"]
    found = replace(fields, rows=tuple(marked), error="")
    return _checked(schema, found) if found.is_fine else (None, found)


def _names(schema: Json) -> list[str]:
    """Return the properties that can be rows; none where the schema is no plain object, or a very wide one."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return []
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list) or len(properties) > MAX_ROWS:
        return []
    if not all(isinstance(name, str) for name in required):
        return []
    return [name for name in properties if name and name == " ".join(name.split())]


def _rest(schema: Mapping[str, Json], names: Sequence[str]) -> dict[str, Json]:
    rest = {key: value for key, value in schema.items() if key not in ("type", "properties", "required")}
    if left := {name: rule for name, rule in schema["properties"].items() if name not in names}:
        rest["properties"] = left
    others = [name for name in schema.get("required", ()) if name not in names]
    if others or schema.get("required") == []:
        rest["required"] = others
    return rest


def _row(n: str, name: str, rule: Json, required: bool) -> Row:
    if not isinstance(rule, dict):
        return Row(n, name, "", required, more=json.dumps(rule))
    rest = dict(rule)
    kind = rest.pop("type") if _is_among(rule.get("type"), _NAMES) else ""
    words = rule.get("description")
    description = rest.pop("description") if isinstance(words, str) and words and words == _line(words) else ""
    enum = _enum_text(rule.get("enum"), kind)
    if enum:
        del rest["enum"]
    items = ""
    inner = rule.get("items")
    if kind == "array" and isinstance(inner, dict) and len(inner) == 1 and _is_among(inner.get("type"), _ITEM_NAMES):
        items = rest.pop("items")["type"]
    return Row(n, name, kind, required, description, enum, items if kind == "array" else "string", _text(rest))


def _is_among(value: Json, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names


def _line(text: str) -> str:
    return " ".join(text.split("\n")).replace("\r", " ").strip()


def _enum_text(values: Json, kind: str) -> str:
    """Return allowed values as one line, or "" where a line cannot say them."""
    if not isinstance(values, list):
        return ""
    text = ", ".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    try:
        read_back = _enum(text, kind)
    except ValueError:
        return ""
    same = len(read_back) == len(values) and all(
        type(one) is type(other) and one == other for one, other in zip(read_back, values, strict=True)
    )
    return text if same and text == _line(text) else ""


def _enum(text: str, kind: str) -> list[Json]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kind not in ("number", "integer"):
        return list(parts)
    try:
        return [int(part) if kind == "integer" else _number(part) for part in parts]
    except ValueError:
        raise ValueError("Write the allowed values as numbers, with commas between.") from None


def _number(text: str) -> Json:
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return value


def _typed_row(posted: Mapping[str, Sequence[str]], prefix: str, n: str) -> Row:
    def said(field: str) -> str:
        return _one(posted, f"{prefix}-{n}-{field}")

    kind, items = said("type"), said("items")
    return Row(
        n,
        name=said("name").strip(),
        type=kind if kind in _NAMES else "",
        required=bool(said("required")),
        description=_line(said("description")),
        enum=_line(said("enum")),
        items=items if items in _ITEM_NAMES else "",
        more=said("more").strip(),
    )


def _one(posted: Mapping[str, Sequence[str]], name: str) -> str:
    values = posted.get(name) or ("",)
    return values[-1]


def _act(rows: list[Row], pressed: str) -> None:
    act, _, n = pressed.partition("-")
    if act == "add":
        rows.append(Row(n=str(max((int(row.n) for row in rows), default=-1) + 1)))
        return
    place = next((at for at, row in enumerate(rows) if row.n == n), None)
    if place is None:
        return
    row = rows.pop(place)
    if act in ("up", "down"):
        rows.insert(max(place + (1 if act == "down" else -1), 0), row)


def _clash(rest: Json) -> str | None:
    """Return why the JSON below the rows cannot be joined with them, or None."""
    if not isinstance(rest, dict) or rest.get("type", "object") != "object":
        return "The JSON says that this is no object, so it can have no fields. Remove it, or remove the fields."
    if not isinstance(rest.get("properties", {}), dict) or not isinstance(rest.get("required", []), list):
        return "In the JSON, properties must be an object and required a list of names."
    return None


def _new_name(row: Row, taken: Mapping[str, Json]) -> str:
    if not row.name:
        raise ValueError("Give this field a name, or remove it.")
    if row.name in taken:
        raise ValueError(f"There are two fields called {row.name}. Rename or remove one.")
    return row.name


def _rule(row: Row) -> Json:
    """Return the schema of one field; raise ValueError with a sentence."""
    rest = _parsed(row.more, "The JSON of this field")
    said: dict[str, Json] = {}
    if row.type:
        said["type"] = row.type
    if row.description:
        said["description"] = row.description
    if row.enum:
        said["enum"] = _enum(row.enum, row.type)
    if row.type == "array" and row.items and not (isinstance(rest, dict) and "items" in rest):
        said["items"] = {"type": row.items}
    if not isinstance(rest, dict):
        if said:
            raise ValueError("The JSON of this field is no object, so nothing can be said beside it.")
        return rest
    if twice := [key for key in said if key in rest]:
        raise ValueError(f"The JSON of this field says {twice[0]} too. Say it in one place.")
    return {**said, **rest}


def _parsed(text: str, what: str) -> Json:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} cannot be read: {error}.") from None
    if not isinstance(value, dict | bool):
        raise ValueError(f"{what} must be an object, written in braces.")
    return value


def _checked(schema: Json, fields: Fields) -> tuple[Json, Fields]:
    if schema is None or (refusal := schemas.check_schema(schema)) is None:
        return schema, replace(fields, error="")
    where = (refusal.where or "").split("/")
    name = where[2].replace("~1", "/").replace("~0", "~") if where[1:2] == ["properties"] and len(where) > 2 else None
    rows = tuple(replace(row, error=refusal.message) if row.name == name else row for row in fields.rows)
    at_row = any(row.error for row in rows)
    return None, replace(fields, rows=rows, error="" if at_row else refusal.message)


def _text(value: Json) -> str:
    return "" if value == {} else json.dumps(value, indent=2, ensure_ascii=False)
