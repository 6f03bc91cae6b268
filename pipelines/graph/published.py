"""The document format as JSON Schema 2020-12, written from the same tables the parser reads by.

`python -m pipelines.graph.published` prints it; `pipeline.schema.json` beside this file is that text.
"""

import sys
from importlib.resources import files

import orjson

from pipelines.graph.common import COMMON
from pipelines.graph.composite import Record
from pipelines.graph.kinds import CONTAINERS, DOCUMENT, FIELDS, NAMED_RECORDS
from pipelines.graph.model import Json, Kind
from pipelines.graph.parse import EDGE, FORMAT, FORMAT_MAJOR, MAX_EDGES, MAX_NODES, NODE_NAME, SLUG

TITLE = "baton.pipeline 1.0"


def document_schema() -> dict[str, Json]:
    """Return the schema; what only the whole graph can tell (ports, cycles) is the parser's to say."""
    document = Record(DOCUMENT).schema()
    header = {
        "format": {"const": FORMAT},
        "format_version": {"type": "string", "pattern": f"^{FORMAT_MAJOR}\\.[0-9]+$", "maxLength": 20},
        "id": SLUG.schema(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **document,
        "required": ["format", "format_version", "id", "name", "graph"],
        "properties": {**header, **document["properties"], "graph": {"$ref": "#/$defs/graph"}},
        "$defs": {
            "graph": _graph(),
            "edge": EDGE.schema(),
            "node": _node(),
            **{f"node_{kind}": _kind(kind) for kind in Kind},
            **{record.name: record.definition() for record in NAMED_RECORDS},
        },
    }


def stored_schema() -> Json:
    """Return the schema as it is published with this package."""
    return orjson.loads(files(__package__).joinpath("pipeline.schema.json").read_bytes())


def encoded() -> bytes:
    return orjson.dumps(document_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _graph() -> dict[str, Json]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["nodes", "edges"],
        "properties": {
            "nodes": {
                "type": "object",
                "propertyNames": NODE_NAME.schema(),
                "additionalProperties": {"$ref": "#/$defs/node"},
                "maxProperties": MAX_NODES,
            },
            "edges": {"type": "array", "items": {"$ref": "#/$defs/edge"}, "maxItems": MAX_EDGES},
        },
    }


def _node() -> dict[str, Json]:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(Kind)}},
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/node_{kind}"}} for kind in Kind
        ],
    }


def _kind(kind: Kind) -> dict[str, Json]:
    found = Record({**COMMON, **FIELDS[kind]}).schema()
    required = ["kind", *found.get("required", ())]
    properties: dict[str, Json] = {"kind": {"const": kind}, **found["properties"]}
    if kind in CONTAINERS:
        required.append("graph")
        properties["graph"] = {"$ref": "#/$defs/graph"}
    return {**found, "required": required, "properties": properties}


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded())
