"""Reads and fills the form of a trigger: what was typed, as text, and what it means."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from accounts.errors import Invalid
from pipelines import schema_form
from pipelines.graph import expressions
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.parse import parse
from pipelines.models import Pipeline
from runs.models import Trigger
from runs.triggers import plain
from runs.triggers.definitions import TriggerFields

Typed = Mapping[str, str]
NEW_KEY = "+new"
_PREFIX = "input-"
_FROM = {"webhook": "event", "event": "event.payload"}


@dataclass(frozen=True, slots=True)
class InputRow:
    """One field of the start form, as the template that fills it."""

    name: str
    label: str
    text: str
    required: bool
    help: str

    @property
    def input_name(self) -> str:
        return _PREFIX + self.name


def first(kind: str, pipeline: Pipeline, zone: str) -> dict[str, str]:
    """Return what a new form begins with: a webhook's and an event's data under the names the pipeline asks for."""
    typed = {"kind": kind, "pipeline": pipeline.slug, "slug": "", "zone": zone, **plain.FIRST}
    for field in _fields(pipeline):
        typed[_PREFIX + field.name] = _read_from(kind, field.name) if kind in _FROM else _sample(field)
    return typed


def typed_of(trigger: Trigger) -> dict[str, str]:
    """Return what would have been typed to make this trigger."""
    own = {name: getattr(trigger, name) for name in ("kind", "slug", "zone", "topic", "secret")}
    typed = {**own, "pipeline": trigger.pipeline.slug, "version": str(trigger.version or "")}
    typed |= plain.typed_of(trigger.cron) if trigger.cron else plain.FIRST
    asked = _fields(trigger.pipeline)
    if isinstance(trigger.input, dict):
        shown = {_PREFIX + name: _text(value) for name, value in trigger.input.items()}
        if _means(asked, shown, trigger.input):
            return typed | shown
    return typed | {"input_json": json.dumps(trigger.input, indent=2, ensure_ascii=False)}


def rows(pipeline: Pipeline, typed: Typed) -> list[InputRow]:
    """Return the fields of the pipeline's start form as they were typed."""
    return [
        InputRow(field.name, field.label, typed.get(_PREFIX + field.name, ""), field.required, field.help)
        for field in _fields(pipeline)
    ]


def fields(pipeline: Pipeline, typed: Typed) -> TriggerFields:
    """Return what a posted form says; raise Invalid where it cannot be read. Empty fields are left out."""
    kind, version = typed.get("kind", ""), typed.get("version", "").strip()
    if version and not (version.isascii() and version.isdigit() and len(version) < 9):
        raise Invalid("Choose a version.", code="unknown_version", where="/version")
    schedule = kind == Trigger.Kind.SCHEDULE
    return TriggerFields(
        slug=typed.get("slug", "").strip(),
        kind=kind,
        pipeline=pipeline.slug,
        version=int(version) if version else None,
        input=_input(pipeline, typed),
        cron=plain.cron_of(typed) if schedule else None,
        zone=typed.get("zone", "").strip() or None if schedule else None,
        topic=typed.get("topic", "").strip() or None if kind == Trigger.Kind.EVENT else None,
        secret=typed.get("secret", "").strip() or None if kind == Trigger.Kind.WEBHOOK else None,
        reason=typed.get("reason", ""),
    )


def _input(pipeline: Pipeline, typed: Typed) -> Json:
    whole = typed.get("input_json", "").strip()
    if whole:
        return _json(whole, "/input_json")
    return dict(_values(_fields(pipeline), typed))


def _values(asked: Sequence[schema_form.Field], typed: Typed) -> Iterator[tuple[str, Json]]:
    for field in asked:
        text = typed.get(_PREFIX + field.name, "").strip().replace("\r\n", "\n")
        if text:
            yield field.name, _value(field, text)


def _value(field: schema_form.Field, text: str) -> Json:
    """Return what a text in this field means: itself, a value in JSON, or a template that is not JSON."""
    if _is_text(field):
        return text
    try:
        return _json(text, f"/input/{field.name}")
    except Invalid:
        if "${" in text:
            return text
        raise


def _is_text(field: schema_form.Field) -> bool:
    if field.kind == "select":
        return all(isinstance(option, str) for option in field.options)
    return field.kind in ("text", "area")


def _means(asked: Sequence[schema_form.Field], shown: Typed, template: Json) -> bool:
    """Tell whether fields that show a template would save the same one."""
    try:
        return canonical_json(dict(_values(asked, shown))) == canonical_json(template)
    except Invalid:
        return False


def _read_from(kind: str, name: str) -> str:
    """Return the template that reads this field from the event, "" where a template cannot name it."""
    source = _FROM[kind]
    for template in (f"${{{source}.{name}}}", f"${{{source}[{json.dumps(name, ensure_ascii=False)}]}}"):
        try:
            read = expressions.references(template)
        except expressions.ExpressionError:
            continue
        if [reference.root for reference in read] == ["event"]:
            return template
    return ""


def _sample(field: schema_form.Field) -> str:
    """Return the field's default or example as it is typed here: no template, and JSON where it is no text."""
    if field.value is None:
        return ""
    return _text(field.value).replace("${", "$${") if _is_text(field) else json.dumps(field.value, ensure_ascii=False)


def _json(text: str, where: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        message = "Write it as JSON, such as 7, true, [1, 2] or {}, or take it from the event with ${event…}."
        raise Invalid(message, code="bad_template", where=where) from None


def _fields(pipeline: Pipeline) -> list[schema_form.Field]:
    raw = pipeline.published.document if pipeline.published else pipeline.draft.document
    return schema_form.fields(parse(raw).inputs)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
