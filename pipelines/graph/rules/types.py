"""What type a step's output has, as far as schemas tell, and where a path into it leads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pipelines.graph.model import Graph, Json, Kind, Node
from pipelines.graph.rules.subject import Subject

Schema = Mapping[str, Json]
UNKNOWN: Schema = {}
TEXT: Schema = {"type": "string"}
_ANY_TYPE = frozenset({"string", "number", "integer", "boolean", "null", "array", "object"})
# Keywords that may widen or move what `type` and `properties` say.
_COMBINING = frozenset({"$ref", "anyOf", "oneOf", "allOf", "if", "not"})
WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


class Verdict(Enum):
    FOUND = "found"
    UNDECLARED = "undeclared"
    ABSENT = "absent"
    WRONG_TYPE = "wrong_type"


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a path led: its schema, or at which segment it could not go on and what stood there."""

    verdict: Verdict
    schema: Schema = field(default_factory=dict)
    segment: str | int = ""
    stood: str = ""


def output_schema(subject: Subject, node: Node, graph: Graph) -> Schema:
    """Return the schema of a step's output; UNKNOWN where nothing is declared."""
    if isinstance(node.output_schema, dict):
        return subject.lawful(node.output_schema)
    declared = _DECLARED.get(node.kind)
    return declared(subject, node, graph) if declared else UNKNOWN


def follow(schema: Schema, segments: tuple[str | int, ...]) -> Reached:
    """Return where a path leads through a schema."""
    undeclared: Reached | None = None
    for segment in segments:
        types = types_of(schema)
        if ("array" if isinstance(segment, int) else "object") not in types:
            return Reached(Verdict.WRONG_TYPE, segment=segment, stood=words(types))
        if isinstance(segment, int):
            schema = _schema(schema.get("items"))
            continue
        found = _property(schema, segment)
        if found is None:
            return Reached(Verdict.ABSENT, segment=segment)
        if undeclared is None and not _COMBINING & schema.keys():
            is_loose = "properties" in schema and "additionalProperties" not in schema
            if is_loose and segment not in schema["properties"]:
                undeclared = Reached(Verdict.UNDECLARED, segment=segment)
        schema = found
    return undeclared or Reached(Verdict.FOUND, schema)


def types_of(schema: Schema) -> frozenset[str]:
    """Return the JSON types a schema allows."""
    if _COMBINING & schema.keys():
        return _ANY_TYPE
    if "type" in schema:
        named = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return frozenset(named) | ({"integer"} if "number" in named else frozenset())
    if "enum" in schema:
        return frozenset(type_of(value) for value in schema["enum"])
    return frozenset({type_of(schema["const"])}) if "const" in schema else _ANY_TYPE


def type_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def words(types: frozenset[str]) -> str:
    """Return types as a person would say them."""
    kept = types - {"integer"} if "number" in types else types
    return " or ".join(sorted(WORDS.get(kind, kind) for kind in kept))


def _property(schema: Schema, name: str) -> Schema | None:
    declared = schema.get("properties", {})
    if isinstance(declared, Mapping) and name in declared:
        return _schema(declared[name])
    further = schema.get("additionalProperties", True)
    if further is False and not _COMBINING & schema.keys():
        return None
    return _schema(further)


def _merged(_subject: Subject, node: Node, graph: Graph) -> Schema:
    match node.config["merge"]:
        case "object":
            sources = dict.fromkeys(graph.edges[index].source for index in graph.ins[node.id])
            # A branch that was left out, or stands as null, has another type than its step.
            return _closed(dict.fromkeys(sources, UNKNOWN))
        case "list":
            return {"type": "array"}
        case _:
            return UNKNOWN


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _schema(found: Json) -> Schema:
    return found if isinstance(found, dict) else UNKNOWN


def _of_agent(subject: Subject, node: Node, _graph: Graph) -> Schema:
    agent = subject.agent(node.config["agent"])
    return (agent.output_schema or TEXT) if agent else UNKNOWN


def _of_tool(subject: Subject, node: Node, _graph: Graph) -> Schema:
    tool = subject.tool(node.config["tool"])
    return tool.result_schema if tool else UNKNOWN


def _of_human(subject: Subject, node: Node, _graph: Graph) -> Schema:
    return subject.lawful(node.config["form"]) if node.config["mode"] == "answer" else UNKNOWN


def _of_repeat(subject: Subject, node: Node, _graph: Graph) -> Schema:
    """Return what a Repeat gives where its result is just one step's output."""
    result = node.config["result"]
    for name, inner in node.graph.nodes.items() if node.graph else ():
        if node.graph and result == f"${{steps.{name}.output}}":
            return output_schema(subject, inner, node.graph)
    return UNKNOWN


_DECLARED: Mapping[Kind, Callable[[Subject, Node, Graph], Schema]] = {
    Kind.INPUT: lambda subject, _node, _graph: subject.lawful(subject.document.inputs),
    Kind.AGENT: _of_agent,
    Kind.TOOL: _of_tool,
    Kind.TRANSFORM: lambda _subject, node, _graph: _closed(dict.fromkeys(node.config["set"], UNKNOWN)),
    Kind.EACH: lambda _subject, _node, _graph: {"type": "array"},
    Kind.REPEAT: _of_repeat,
    Kind.COMBINE: _merged,
    Kind.DECIDE: lambda _subject, _node, _graph: _closed(dict.fromkeys(("chosen", "reason", "confidence"), UNKNOWN)),
    Kind.HUMAN: _of_human,
}
