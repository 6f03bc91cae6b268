"""The form of one step: its fields from the raw document, and the raw step back from what was posted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accounts.access import Actor, Capability, require
from accounts.errors import Invalid, NotFound
from pipelines import drafts, schema_fields
from pipelines.editor import forms, picking, policy
from pipelines.editor.choices import Choices, choices_of
from pipelines.editor.desk import node_at
from pipelines.editor.forms import Input
from pipelines.editor.sections import LABELS, OWN_LABELS, is_relevant, plan_of
from pipelines.editor.view import Card, Editor
from pipelines.graph.composite import Field, Record
from pipelines.graph.model import Json, Kind
from pipelines.graph.parse import node_record
from pipelines.graph.places import Place, places
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject
from pipelines.graph.shape import Template
from pipelines.library.library import library_of
from pipelines.models import Draft
from pipelines.schema_fields import Fields

Raw = dict[str, Any]
Posted = Mapping[str, Sequence[str]]
SCHEMA = "schema"
ANSWER_FORM = "form"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    inputs: Sequence[Input]
    open: bool = False

    @property
    def is_used(self) -> bool:
        return any(one.is_set for one in self.inputs)


@dataclass(frozen=True, slots=True)
class Inspector:
    """One step's form. `schema` are the rows of what comes out, of what the start form or a person is asked for."""

    card: Card
    sections: Sequence[Section]
    sources: Sequence[picking.Source]
    policy: Sequence[policy.Part]
    problems: Sequence[Problem]
    title: str
    schema: Fields | None = None
    schema_title: str = ""


def inspector_of(actor: Actor, editor: Editor, where: str, posted: Posted | None = None) -> Inspector:
    """Return the form of the step at a dotted place, or as it was `posted` by a button of its rows; NotFound when there
    is no such step.
    """
    card = editor.card(where)
    if card is None:
        raise NotFound(f"There is no step {where[:80]!r} in this draft any more.")
    raw = raw_step(editor.draft, where)
    place = next(one for one in places(editor.document) if one.name == where)
    subject = Subject(editor.document, editor.library)
    titles = {one.node.id: picking.titled(one.node) for one in places(editor.document)}
    dress = _Dresser(choices_of(actor), place, titles, editor.problems)
    record = _record(place, subject)
    kind, config = place.node.kind, place.node.config
    if posted is not None:
        raw = _typed(record, raw, posted)
    sections = [
        Section(plan.title, [dress(_called(kind, one)) for one in forms.shown(record, names, raw, LABELS)], plan.open)
        for plan in plan_of(kind)
        if (names := [name for name in plan.names if is_relevant(kind, name, config, name in raw)]) or plan.open
    ]
    schema, words = _schema(editor, raw, place.node.kind)
    return Inspector(
        card=card,
        sections=sections,
        sources=picking.sources(subject, place) if place.node.kind is not Kind.INPUT else (),
        policy=policy.sentence(place.node, card.safe),
        problems=[problem for problem in editor.problems if problem.node == where],
        title=raw.get("title", ""),
        schema=schema if posted is None else schema_fields.typed(posted, SCHEMA),
        schema_title=words,
    )


def _called(kind: Kind, one: Input) -> Input:
    return replace(one, label=OWN_LABELS.get((kind, one.where.removeprefix("/")), one.label))


def save(actor: Actor, draft: Draft, where: str, posted: Posted, rev: int, op_id: str) -> Draft:
    """Write what was posted into the step; return the draft. Raises as `drafts.change`, NotFound."""
    require(actor, Capability.EDIT, draft.pipeline)
    old = raw_step(draft, where)
    kind = Kind(old["kind"])
    document = drafts.parsed_or_invalid(draft.document)
    place = next(one for one in places(document) if one.name == where)
    node = _typed(_record(place, Subject(document, library_of(actor, document))), old, posted)
    ops: list[Raw] = []
    if any(key.startswith(f"{SCHEMA}-") for key in posted):
        schema = _read_schema(posted)
        if kind is Kind.INPUT:
            if schema != draft.document.get("inputs"):
                ops.append({"op": "set_document", "fields": {"inputs": schema}})
        else:
            _put(node, ANSWER_FORM if kind is Kind.HUMAN else "output_schema", schema)
    if node != old:
        ops.append({"op": "set_node", "node": where, "value": node})
    if not ops:
        return draft
    return drafts.change(actor, draft.pipeline, drafts.Edit(rev, op_id, ops, merge=True))


def is_to_be_shown_again(posted: Posted) -> bool:
    """Say whether the form was sent by a button of its rows, which saves nothing."""
    return schema_fields.was_changed(posted, SCHEMA)


def _typed(record: Record, old: Raw, posted: Posted) -> Raw:
    node = forms.read(record, old, posted)
    if "title" in posted:
        _put(node, "title", posted["title"][0].strip() or None)
    return node


def raw_step(draft: Draft, place: str) -> Raw:
    """Return the raw step at a dotted place; NotFound when there is none."""
    try:
        return node_at(draft.document, place)
    except (KeyError, TypeError):
        raise NotFound(f"There is no step {place[:80]!r} in this draft any more.") from None


def _put(node: Raw, name: str, value: Json) -> None:
    if value is None:
        node.pop(name, None)
    else:
        node[name] = value


def _schema(editor: Editor, raw: Raw, kind: Kind) -> tuple[Fields | None, str]:
    match kind:
        case Kind.INPUT:
            return schema_fields.shown(editor.draft.document.get("inputs"), SCHEMA), "What the start form asks for"
        case Kind.HUMAN:
            if raw.get("mode") != "answer":
                return None, ""
            return schema_fields.shown(raw.get(ANSWER_FORM), SCHEMA), "What the person is asked for"
        case Kind.AGENT | Kind.TEAM | Kind.SUPERVISOR:
            return schema_fields.shown(raw.get("output_schema"), SCHEMA), "What comes out"
        case _:
            return None, ""


def _read_schema(posted: Posted) -> Json:
    schema, fields = schema_fields.read(schema_fields.typed(posted, SCHEMA))
    if not fields.is_fine:
        wrong = fields.error or next(row.error for row in fields.rows if row.error)
        raise Invalid(wrong, code="bad_schema", where=f"/{SCHEMA}")
    return schema


def _record(place: Place, subject: Subject) -> Record:
    """Return the fields of a step, those of an action's arguments or a child's input by their own schema."""
    record = node_record(place.node.kind)
    name, schema = _given(place, subject)
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not name or not isinstance(properties, dict) or not properties:
        return record
    required = schema.get("required") or ()
    fields = {key: _argument(rule, key in required) for key, rule in properties.items() if "." not in key}
    return Record({**record.fields, name: Field(Record(fields), record.fields[name].default)})


def _given(place: Place, subject: Subject) -> tuple[str, Json]:
    config = place.node.config
    if place.node.kind is Kind.TOOL:
        tool = subject.tool(str(config["tool"]))
        return "args", tool.args_schema if tool else None
    if place.node.kind is Kind.PIPELINE:
        reference = str(config["pipeline"])
        known = subject.library.pipelines
        exact = next((one for one in known if one == reference or one.partition("@")[0] == reference), None)
        return "inputs", known[exact].inputs if exact else None
    return "", None


def _argument(rule: Json, required: bool) -> Field:
    rule = rule if isinstance(rule, dict) else {}
    words = str(rule.get("description") or rule.get("title") or "")
    return Field(Template(text=rule.get("type") == "string" and "enum" not in rule), required=required, means=words)


class _Dresser:
    """Gives inputs what only this step and workspace know: choices, the values a text reads, what is wrong."""

    def __init__(self, choices: Choices, place: Place, titles: Mapping[str, str], problems: Sequence[Problem]) -> None:
        self._choices, self._place, self._titles = choices, place, titles
        self._errors = [one for one in problems if one.severity == "error" and one.where.startswith(f"{place.where}/")]

    def __call__(self, one: Input) -> Input:
        parts = [self(part) for part in one.parts]
        rows = [self(row) for row in one.rows]
        blank = self(one.blank) if one.blank else None
        errors = [error for error in self._errors if error.where == self._place.where + one.where]
        found = replace(
            one, parts=parts, rows=rows, blank=blank, error=" ".join(dict.fromkeys(e.message for e in errors))
        )
        if offered := self._choices.options(one, self._place):
            found = replace(found, kind=offered.kind, options=offered.options)
        if found.kind in ("prompt", "value") and "${" in found.text:
            found = replace(found, chips=picking.chips(found.text, self._titles, {e.reads: e.message for e in errors}))
        return found
