"""References: every value a step reads exists, has been made by then, and has the type it is used as."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.graph.common import COMMON
from pipelines.graph.expressions import ExpressionError, Reference, check, expression_references, references
from pipelines.graph.model import Graph, Json, Kind
from pipelines.graph.parse import node_record
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem, Severity
from pipelines.graph.rules.subject import Subject
from pipelines.graph.rules.types import Reached, Schema, Verdict, follow, output_schema
from pipelines.graph.shape import Hole

_ALWAYS = frozenset({"input", "steps", "board"})
_VALUES = ("output", "meta")
RESERVED = frozenset({*_ALWAYS, "round", "turn", "value", "event", "true", "false", "null", "in", "item_index"})


@dataclass(frozen=True, slots=True)
class _Level:
    """A scope that can be seen: its graph, the step in it that asks (None: its end), and its dotted prefix."""

    graph: Graph
    asking: str | None
    prefix: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One reference of a step with all that is needed to judge it."""

    subject: Subject
    place: Place
    hole: Hole
    reference: Reference

    def problem(self, severity: Severity, code: str, message: str) -> Problem:
        where = self.hole.where + self.reference.at
        return Problem(code, severity, where, self.place.name, message, str(self.reference))

    @property
    def levels(self) -> Iterator[_Level]:
        """Yield the scopes this reference sees, innermost first."""
        place = self.place
        if self.hole.inner and place.node.graph:
            yield _Level(place.node.graph, None, f"{place.name}.")
        above: Place | None = place
        while above is not None:
            prefix = f"{above.parent.name}." if above.parent else ""
            yield _Level(above.graph, above.node.id, prefix)
            above = above.parent

    @property
    def containers(self) -> Iterator[Place]:
        if self.hole.inner:
            yield self.place
        yield from self.place.enclosing


def check_references(subject: Subject) -> Iterator[Problem]:
    """Yield the problems of every template and expression."""
    for place in subject.places:
        for hole in holes(place):
            try:
                found = _references(hole)
            except ExpressionError as error:
                yield Problem(error.code, "error", hole.where, place.name, error.message)
                continue
            for reference in found:
                yield from _judged(Reading(subject, place, hole, reference))


def holes(place: Place) -> Iterator[Hole]:
    """Yield every template and expression of a step."""
    node = place.node
    values = {**node.config, "checks": node.checks, "cache": node.cache, "lock": node.lock}
    known = {name: value for name, value in values.items() if name in node.config or name in COMMON}
    yield from node_record(node.kind).holes(known, place.where)


def schema_at(subject: Subject, place: Place, template: Json) -> Schema | None:
    """Return the schema of a template that is exactly one path, or None when it is not or is not known."""
    if not isinstance(template, str) or not (template.startswith("${") and template.endswith("}")):
        return None
    try:
        found = references(template)
        if len(found) != 1 or f"${{{found[0]}}}" != template:
            return None
    except ExpressionError:
        return None
    reading = Reading(subject, place, Hole(place.where, "template", template), found[0])
    schema = _schema_of(reading)
    if schema is None:
        return None
    skip = 2 if found[0].root == "steps" else 0
    reached = follow(schema, found[0].segments[skip:])
    return reached.schema if reached.verdict is Verdict.FOUND else None


def _references(hole: Hole) -> tuple[Reference, ...]:
    if hole.form == "template":
        return references(hole.value)
    check(hole.value)
    return expression_references(hole.value)


def _judged(reading: Reading) -> Iterator[Problem]:
    root, segments = reading.reference.root, reading.reference.segments
    if root == "steps":
        yield from _step(reading)
    elif root == "input":
        yield from _input(reading)
    elif root == "round":
        yield from _round(reading)
    elif root not in _names(reading):
        known = ", ".join(sorted(_names(reading)))
        advice = f" Write steps.{root} for the step's output." if _level_of(reading, root) else f" Known are: {known}."
        yield reading.problem("error", "unknown_reference", f"There is no value {root!r} here.{advice}")
    elif root == "board" and not segments:
        yield reading.problem("error", "unknown_reference", "Name what to read from the board, as in board.topic.")


def _names(reading: Reading) -> frozenset[str]:
    names = {*_ALWAYS, *reading.hole.extra}
    for container in reading.containers:
        if container.node.kind is Kind.EACH:
            names |= {"item", "item_index", str(container.node.config["as"])}
        if container.node.kind is Kind.REPEAT:
            names.add("round")
    return frozenset(names)


def _step(reading: Reading) -> Iterator[Problem]:
    segments = reading.reference.segments
    if not segments:
        yield reading.problem("error", "unknown_step", "Name a step, as in steps.research.output.")
        return
    level = _level_of(reading, segments[0])
    if level is None:
        yield reading.problem("error", "unknown_step", _unknown_step(reading, str(segments[0])))
        return
    yield from _order(reading, level, str(segments[0]))
    if len(segments) > 1 and segments[1] not in _VALUES:
        message = f"steps.{segments[0]} has output and meta, not {segments[1]!r}. Write steps.{segments[0]}.output."
        yield reading.problem("error", "unknown_field", message)
    elif len(segments) > 2 and segments[1] == "output":
        node = level.graph.nodes[str(segments[0])]
        schema = output_schema(reading.subject, node, level.graph)
        yield from _path(reading, follow(schema, segments[2:]), f"The output of {node.id!r}")


def _level_of(reading: Reading, name: object) -> _Level | None:
    return next((level for level in reading.levels if name in level.graph.nodes), None)


def _order(reading: Reading, level: _Level, name: str) -> Iterator[Problem]:
    reach = reading.subject.reach(level.graph, level.prefix)
    if name == level.asking:
        yield reading.problem("error", "not_before", f"The step {name!r} cannot read its own output.")
    elif level.asking is not None and not reach.is_before(name, level.asking):
        message = (
            f"{level.asking!r} does not wait for {name!r}, so it cannot read its output. Draw a line between them."
        )
        yield reading.problem("error", "not_before", message)
    elif not reading.reference.optional and not reach.is_certain(name, level.asking):
        advice = "add | default(…)" if reading.hole.form == "template" else f"ask has(steps.{name}.output) first"
        message = f"{name!r} may have been skipped by then, so its output may be missing: {advice}."
        # A container's item without a value is a failed item, for which the container has its own policy.
        yield reading.problem("warning" if level.asking is None else "error", "needs_default", message)


def _unknown_step(reading: Reading, name: str) -> str:
    visible = (known for level in reading.levels for known in level.graph.nodes)
    close = reading.subject.closest(name, visible)
    hint = f" Did you mean {close!r}?" if close else " A step sees those before it, not those inside a container."
    return f"There is no step {name[:63]!r} to be seen from here.{hint}"


def _input(reading: Reading) -> Iterator[Problem]:
    segments, inputs = reading.reference.segments, reading.subject.lawful(reading.subject.document.inputs)
    if not segments:
        return
    properties = inputs.get("properties")
    name = str(segments[0])
    if not isinstance(properties, dict) or (name not in properties and inputs.get("additionalProperties")):
        return
    if name not in properties:
        message = f"The start form has no field {name[:63]!r}. It has: {', '.join(list(properties)[:20]) or 'none'}."
        yield reading.problem("error", "unknown_input", message)
        return
    yield from _path(reading, follow(inputs, segments), "The input")
    is_given = name in inputs.get("required", ()) or "default" in _as_dict(properties[name])
    if not is_given and not reading.reference.optional:
        message = f"The field {name!r} of the start form may be left empty: make it required or give it a default."
        yield reading.problem("warning", "optional_input", message)


def _round(reading: Reading) -> Iterator[Problem]:
    repeat = next((place for place in reading.containers if place.node.kind is Kind.REPEAT), None)
    segments = reading.reference.segments
    if repeat is None or repeat.node.graph is None:
        yield reading.problem("error", "unknown_reference", "round exists only inside a Repeat.")
    elif not segments or segments[0] not in ("n", "previous"):
        yield reading.problem("error", "unknown_field", "round has n and previous.")
    elif segments[0] == "previous":
        yield from _previous(reading, repeat.node.graph)


def _previous(reading: Reading, graph: Graph) -> Iterator[Problem]:
    segments = reading.reference.segments
    if len(segments) < 2:
        yield reading.problem("error", "unknown_step", "Name a step, as in round.previous.review.output.")
    elif segments[1] not in graph.nodes:
        yield reading.problem("error", "unknown_step", f"There is no step {segments[1]!r} in this Repeat.")
    elif segments[2:3] not in (("output",), ("meta",)):
        message = f"round.previous.{segments[1]} has output and meta. Write round.previous.{segments[1]}.output."
        yield reading.problem("error", "unknown_field", message)
    else:
        if not reading.reference.optional:
            message = "There is no previous round in the first one: add | default(…)."
            yield reading.problem("error", "needs_default", message)
        if segments[2] == "output":
            schema = output_schema(reading.subject, graph.nodes[str(segments[1])], graph)
            yield from _path(reading, follow(schema, segments[3:]), f"The output of {segments[1]!r}")


def _path(reading: Reading, reached: Reached, what: str) -> Iterator[Problem]:
    match reached.verdict:
        case Verdict.ABSENT:
            yield reading.problem("error", "unknown_field", f"{what} has no field {reached.segment!r}.")
        case Verdict.UNDECLARED:
            message = f"{what} does not declare the field {reached.segment!r}; it may be missing."
            yield reading.problem("warning", "undeclared_field", message)
        case Verdict.WRONG_TYPE:
            step = f"entry {reached.segment}" if isinstance(reached.segment, int) else f"field {reached.segment!r}"
            message = f"{what} is {reached.stood} there, which has no {step}."
            yield reading.problem("error", "type_mismatch", message)
        case Verdict.FOUND:
            pass


def _schema_of(reading: Reading) -> Schema | None:
    reference = reading.reference
    if reference.root == "input":
        return reading.subject.lawful(reading.subject.document.inputs)
    if reference.root == "steps" and len(reference.segments) > 1 and reference.segments[1] == "output":
        level = _level_of(reading, reference.segments[0])
        if level:
            return output_schema(reading.subject, level.graph.nodes[str(reference.segments[0])], level.graph)
    return None


def _as_dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
