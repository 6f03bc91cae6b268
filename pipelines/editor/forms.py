"""A step's fields as inputs of a form, and the raw step back from what was posted. One walk over the shapes of `kinds`.

An input is named by its way through the step: `f.on_error.retry.max_attempts`, `f.routes.0.when`. Only what a form
brought is written; what it has no input for stays. What cannot be read is kept as it was typed: the parser says what is
wrong with it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.editor import conditions
from pipelines.editor.conditions import Conditions
from pipelines.editor.picking import Chip
from pipelines.editor.sections import hint, spoken
from pipelines.graph import durations
from pipelines.graph.composite import Field, Listing, OneOrMore, Record, Table, Within
from pipelines.graph.model import Json
from pipelines.graph.shape import (
    ABSENT,
    Absent,
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

ROOT = "f"
_BLANK = re.compile(r"__n\d+__")
MAX_ROWS = 200
UNITS = (("S", "seconds", 1), ("M", "minutes", 60), ("H", "hours", 3_600), ("D", "days", 86_400))
LONG = 300


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `kind` is text, area, prompt, expression, number, money, duration, select, checkbox, checks, lines,
    value, group (`parts`, exactly one of which is set where it is `one_only`) or rows (`rows`, and `blank` to copy);
    pick, suggest and many are those that the workspace has choices for. `where` is its JSON pointer within the step,
    `unset` what an empty one means.
    """

    name: str
    where: str
    label: str
    kind: str
    text: str = ""
    help: str = ""
    required: bool = False
    unset: str = ""
    unit: str = "M"
    options: Sequence[tuple[str, str]] = ()
    parts: Sequence["Input"] = ()
    rows: Sequence["Input"] = ()
    blank: "Input | None" = None
    error: str = ""
    chips: Sequence[Chip] = ()
    conditions: Conditions | None = None
    one_only: bool = False

    @property
    def at_hand(self) -> Sequence["Input"]:
        """The parts that are in use: of those of which exactly one may be, that one, else the first."""
        if not self.one_only:
            return self.parts
        return [part for part in self.parts if part.is_set] or self.parts[:1]

    @property
    def instead(self) -> Sequence["Input"]:
        """The parts that may take the place of the one in use."""
        return [part for part in self.parts if part not in self.at_hand]

    @property
    def chosen(self) -> list[str]:
        return self.text.splitlines()

    @property
    def members(self) -> list[tuple[str, str]]:
        """The agents of a list, each with its short name."""
        return [(line, line.partition("@")[0]) for line in self.chosen]

    @property
    def agent(self) -> str:
        """The short name of the agent that is chosen, "" in any other input."""
        return self.text.partition("@")[0] if self.kind == "pick" and self.where.endswith(("/agent", "/judge")) else ""

    @property
    def said(self) -> str:
        """The chips as JSON: how each is written, its words, what is wrong with it."""
        return json.dumps([[chip.template, chip.word, chip.wrong] for chip in self.chips])

    @property
    def number(self) -> str:
        """The number of a row in its list, or the word that stands for it in a blank one."""
        return self.name.rpartition(".")[2]

    @property
    def is_set(self) -> bool:
        return bool(self.text or self.rows or any(part.is_set for part in self.parts))

    units = UNITS


@dataclass(frozen=True, slots=True)
class _At:
    """Where a walk stands: the input's name, the JSON pointer, the words of the field.

    `is_within` says that a record which may stand within itself is shown there already, without being set: once is
    enough.
    """

    name: str
    where: str
    field: Field
    key: str
    is_within: bool = False

    def into(self, key: str, field: Field) -> "_At":
        return replace(self, name=f"{self.name}.{key}", where=f"{self.where}/{key}", field=field, key=key)

    def blank(self, field: Field) -> "_At":
        """Return where a row stands that is yet to come; its number is a word of its own at each depth."""
        return self.into(f"__n{len(_BLANK.findall(self.name))}__", field)


Labels = Mapping[str, str]


def shown(record: Record, names: Sequence[str], step: Mapping[str, Json], labels: Labels) -> list[Input]:
    """Return inputs for these fields of a record, filled from a raw step."""
    return [
        _input(_At(f"{ROOT}.{name}", f"/{name}", record.fields[name], name), step.get(name), labels) for name in names
    ]


def _input(at: _At, value: Json, labels: Labels) -> Input:
    field = at.field
    label = labels.get(at.key) or spoken(at.key)
    words = Input(
        name=at.name,
        where=at.where,
        label=label,
        kind="",
        help=hint(field.means, label),
        required=field.required,
        unset=_unset(field),
    )
    return _several(words, at, value, labels) or _single(words, field, value)


def _several(words: Input, at: _At, value: Json, labels: Labels) -> Input | None:
    """Return the input of a record, of a list of records or of a table; None for a field of any other shape."""
    match at.field.shape:
        case Within() as shape:
            return _several(words, replace(at, field=Field(shape.find()), is_within=not value), value, labels)
        case Record() as shape:
            held = value if isinstance(value, dict) else {}
            parts = [
                _input(at.into(name, part), held.get(name), labels)
                for name, part in shape.fields.items()
                if name in held or not (at.is_within and isinstance(part.shape, Within))
            ]
            return replace(words, kind="group", parts=parts, one_only=shape.one_only)
        case Listing(item=Record() as item) | OneOrMore(item=Record() as item):
            values = value if isinstance(value, list) else [value] if value is not None else []
            rows = [_input(at.into(str(n), Field(item)), entry, labels) for n, entry in enumerate(values)]
            return replace(words, kind="rows", rows=rows, blank=_input(at.blank(Field(item)), None, labels))
        case Table() as shape:
            pairs = list(value.items()) if isinstance(value, dict) else []
            rows = [_pair(at, str(n), shape.item, pair) for n, pair in enumerate(pairs)]
            return replace(words, kind="rows", rows=rows, blank=_pair(at, None, shape.item, ("", None)))
        case _:
            return None


def _single(words: Input, field: Field, value: Json) -> Input:
    match field.shape:
        case Duration():
            text, unit = _duration(value)
            return replace(words, kind="duration", text=text, unit=unit)
        case Flag():
            return replace(words, kind="checkbox", text="on" if (field.default if value is None else value) else "")
        case Choice(values=values):
            options = [(one, spoken(one)) for one in values]
            unset = spoken(words.unset) if words.unset in values else words.unset
            return replace(words, kind="select", text="" if value is None else str(value), options=options, unset=unset)
        case Listing(item=Choice(values=values)):
            options = [(one, spoken(one)) for one in values]
            return replace(words, kind="checks", text="\n".join(map(str, value or ())), options=options)
        case Listing(item=Text() | Number() | Whole()):
            return replace(words, kind="lines", text="\n".join(map(str, value or ())))
        case Expression() as shape:
            text = _text(shape, value)
            return replace(words, kind="expression", text=text, conditions=conditions.read(text))
        case shape:
            return replace(words, kind=_plain(shape), text=_text(shape, value))


def _pair(at: _At, number: str | None, item: Shape, pair: tuple[str, Json]) -> Input:
    """Return one row of a table, or where it has no number a blank one: its name and its value."""
    key, value = pair
    row = at.blank(Field(item)) if number is None else at.into(number, Field(item))
    parts = [
        Input(f"{row.name}.key", f"{at.where}/{key}", "Name", "text", key),
        Input(f"{row.name}.value", f"{at.where}/{key}", "Value", _plain(item), _text(item, value)),
    ]
    return Input(row.name, f"{at.where}/{key}", "", "group", parts=parts)


def _plain(shape: Shape) -> str:
    match shape:
        case Text(max=most):
            return "area" if most > LONG else "text"
        case Template(text=True):
            return "prompt"
        case Expression():
            return "expression"
        case Whole() | Number():
            return "number"
        case Money():
            return "money"
        case _:
            return "value"


def _text(shape: Shape, value: Json) -> str:
    if value is None:
        return ""
    if _plain(shape) != "value":
        return str(value) if isinstance(value, str | int | float) else json.dumps(value)
    if isinstance(value, str) and _json(value) is ABSENT:
        return value
    return json.dumps(value, indent=2, ensure_ascii=False)


def _unset(field: Field) -> str:
    """Return what an empty input means: the default, as the field's documentation says it in brackets."""
    if isinstance(field.default, Absent) or field.default is None:
        found = re.search(r"\(([^()]+)\)$", field.means)
        return found[1] if found else ""
    return str(field.default) if isinstance(field.default, str | int | float) else ""


def _duration(value: Json) -> tuple[str, str]:
    try:
        seconds = durations.seconds(value)
    except (ValueError, TypeError):
        return ("" if value is None else str(value)), "M"
    if not seconds:
        return "0", "S"
    letter, _, size = next(unit for unit in reversed(UNITS) if seconds % unit[2] == 0)
    return f"{seconds / size:g}", letter


def read(record: Record, step: Mapping[str, Json], posted: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """Return the raw step with what a form brought for it; an emptied input takes its field away."""
    changed = dict(step)
    for name, field in record.fields.items():
        value = _read(field, f"{ROOT}.{name}", step.get(name), posted)
        if value is _UNTOUCHED:
            continue
        if value is ABSENT:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed


_UNTOUCHED: Any = object()


def _read(field: Field, name: str, old: Json, posted: Mapping[str, Sequence[str]]) -> Json:
    shape = field.shape.find() if isinstance(field.shape, Within) else field.shape
    if not any(key == name or key.startswith((f"{name}.", f"{name}~")) for key in posted):
        return _UNTOUCHED
    match shape:
        case Record():
            held = old if isinstance(old, dict) else {}
            return _filled(_read_record(shape, name, held, posted))
        case Listing(item=Record() as item) | OneOrMore(item=Record() as item):
            rows = [_read_record(item, f"{name}.{n}", _nth(old, n), posted) for n in _numbers(name, posted)]
            return _filled(_as_it_stood(old, [row for row in rows if row]))
        case Table():
            return _filled(dict(_read_pairs(shape.item, name, posted)))
        case Listing(item=Choice()):
            return _filled([one for one in posted.get(name, ()) if one])
        case Listing(item=item):
            lines = [line for value in posted.get(name, ()) for line in value.splitlines()]
            return _filled([_number(line, item) for line in lines if line.strip()])
        case Flag():
            on = "on" in posted.get(name, ())
            return ABSENT if on == bool(field.default) else on
        case _:
            return _read_plain(shape, name, posted)


def _read_plain(shape: Shape, name: str, posted: Mapping[str, Sequence[str]]) -> Json:
    text = _first(posted, name).replace("\r\n", "\n")
    if isinstance(shape, Expression) and f"{name}~was" in posted and text == _first(posted, f"{name}~was"):
        text = conditions.write(conditions.posted(name, posted))
    if not text.strip():
        return ABSENT
    match shape:
        case Duration():
            return _read_duration(text.strip(), _first(posted, f"{name}~unit"))
        case Whole() | Number():
            return _number(text.strip(), shape)
        case Text() | Template(text=True) | Expression() | Money() | Choice():
            return text if isinstance(shape, Template) else text.strip()
        case _:
            found = _json(text)
            return text if found is ABSENT else found


def _read_record(
    record: Record, name: str, old: Mapping[str, Json], posted: Mapping[str, Sequence[str]]
) -> dict[str, Json]:
    held = dict(old)
    for key, field in record.fields.items():
        value = _read(field, f"{name}.{key}", old.get(key), posted)
        if value is ABSENT:
            held.pop(key, None)
        elif value is not _UNTOUCHED:
            held[key] = value
    if record.one_only and len(held) > 1:  # what is new takes the place of what was there
        held = {key: value for key, value in held.items() if old.get(key) != value}
    return held


def _read_pairs(item: Shape, name: str, posted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Json]]:
    for number in _numbers(name, posted):
        key = _first(posted, f"{name}.{number}.key").strip()
        value = _read_plain(item, f"{name}.{number}.value", posted)
        if key and value is not ABSENT:
            yield key, value


def _numbers(name: str, posted: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the numbers of a list's rows in the order in which they stand in the form."""
    found = (key.removeprefix(f"{name}.").partition(".")[0] for key in posted if key.startswith(f"{name}."))
    return list(dict.fromkeys(number for number in found if number.isdecimal()))[:MAX_ROWS]


def _as_it_stood(old: Json, rows: list[dict[str, Json]]) -> Json:
    """Return one row by itself where a single one stood by itself before, else the list."""
    return rows[0] if len(rows) == 1 and isinstance(old, dict) else rows


def _nth(old: Json, number: str) -> Mapping[str, Json]:
    entries = old if isinstance(old, list) else [old]
    entry = entries[int(number)] if int(number) < len(entries) else None
    return entry if isinstance(entry, dict) else {}


def _filled(value: Json) -> Json:
    return value or ABSENT


def _first(posted: Mapping[str, Sequence[str]], name: str) -> str:
    values = posted.get(name) or ("",)
    return values[0]


def _read_duration(text: str, unit: str) -> Json:
    if unit not in {letter for letter, _, _ in UNITS} or not re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text):
        return text
    size = next(size for letter, _, size in UNITS if letter == unit)
    seconds = float(text) * size
    if float(text).is_integer():
        return f"P{int(float(text))}D" if unit == "D" else f"PT{int(float(text))}{unit}"
    return f"PT{int(seconds)}S" if seconds.is_integer() else text


def _number(text: str, shape: Shape) -> Json:
    if isinstance(shape, Text):
        return text.strip()
    try:
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else float(text) if len(text) < 40 else text
    except ValueError:
        return text


def _json(text: str) -> Json:
    """Return text as JSON where it is meant so: an object, a list, a number, true, false, null or quoted text."""
    if text.strip()[:1] not in tuple('{["-0123456789tfn'):
        return ABSENT
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ABSENT
