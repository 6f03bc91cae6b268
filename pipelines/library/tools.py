"""The registry of built-in tools: their arguments, what they do to the world, and how safely they are sent again.

`runs.execution.tools` carries them out; nothing here acts. A tool's id is name@version and never changes meaning.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.graph.model import Json
from pipelines.graph.tools import Delivery, Effect, ToolSpec

HEADER_VALUE = "^([A-Za-z][A-Za-z0-9-]{0,19} )?[a-z0-9][a-z0-9_-]{0,62}$"
"""What stands for a header with a secret: its name of a secret, perhaps after one word and a space."""


def _arguments(required: tuple[str, ...], **properties: Json) -> dict[str, Json]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _result(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties}


_HTTP_REQUEST = ToolSpec(
    id="http.request@1",
    title="Call a web address",
    description="Sends one HTTP request and returns the answer. Reading (GET, HEAD) changes nothing; all else may.",
    args_schema=_arguments(
        ("method", "url"),
        method={
            "type": "string",
            "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            "title": "Method",
        },
        url={"type": "string", "minLength": 1, "maxLength": 4_000, "title": "Address"},
        headers={
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 8_000},
            "maxProperties": 50,
            "title": "Headers",
        },
        secret_headers={
            "type": "object",
            "additionalProperties": {"type": "string", "pattern": HEADER_VALUE},
            "maxProperties": 10,
            "title": "Headers with secrets",
            "description": "By header, the name of a secret, perhaps after a word such as Bearer: “Bearer crm-key”.",
        },
        json={"title": "Body as JSON"},
        body={"type": "string", "title": "Body as text"},
        idempotency_header={
            "type": "string",
            "pattern": "^[A-Za-z0-9-]{1,64}$",
            "title": "Header that carries the key",
            "description": "Name the header under which the other side recognises a repeated request.",
        },
    ),
    result_schema=_result(
        status={"type": "integer"},
        headers={"type": "object", "additionalProperties": {"type": "string"}},
        json={},
        text={"type": "string"},
    ),
    effect=Effect.IRREVERSIBLE,
    delivery=Delivery.NEITHER,
    safe_methods=("GET", "HEAD"),
    key_argument="idempotency_header",
)

_EMAIL_SEND = ToolSpec(
    id="email.send@1",
    title="Send an email",
    description="Sends one plain-text email. It cannot be taken back, so a person approves exactly what is sent.",
    args_schema=_arguments(
        ("to", "subject", "body"),
        to={"type": "string", "minLength": 3, "maxLength": 254, "title": "To"},
        subject={"type": "string", "minLength": 1, "maxLength": 300, "title": "Subject"},
        body={"type": "string", "minLength": 1, "maxLength": 100_000, "title": "Text"},
    ),
    result_schema=_result(message_id={"type": "string"}, to={"type": "string"}),
    effect=Effect.IRREVERSIBLE,
    delivery=Delivery.NEITHER,
)

_CRM_LOG = ToolSpec(
    id="crm.log@1",
    title="Log to CRM",
    description="Writes a note about a contact into the built-in sample CRM.",
    args_schema=_arguments(
        ("contact", "note"),
        contact={"type": "string", "minLength": 1, "maxLength": 254, "title": "Contact"},
        note={"type": "string", "minLength": 1, "maxLength": 20_000, "title": "Note"},
    ),
    result_schema=_result(id={"type": "string"}),
    effect=Effect.REVERSIBLE,
    delivery=Delivery.KEYED,
)

_NOTES_APPEND = ToolSpec(
    id="notes.append@1",
    title="Add a note",
    description="Adds a line to the workspace's notebook.",
    args_schema=_arguments(("text",), text={"type": "string", "minLength": 1, "maxLength": 20_000, "title": "Text"}),
    result_schema=_result(id={"type": "string"}),
    effect=Effect.REVERSIBLE,
    delivery=Delivery.KEYED,
)

_KNOWLEDGE_SEARCH = ToolSpec(
    id="knowledge.search@1",
    title="Search own documents",
    description="Finds the passages of a collection of documents that answer a question best. Changes nothing.",
    args_schema=_arguments(
        ("collection", "query"),
        collection={"type": "string", "minLength": 1, "maxLength": 63, "title": "Collection"},
        query={"type": "string", "minLength": 1, "maxLength": 2_000, "title": "What to look for"},
        limit={"type": "integer", "minimum": 1, "maximum": 20, "default": 5, "title": "Most passages"},
    ),
    result_schema={
        "type": "object",
        "required": ["passages"],
        "properties": {
            "passages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["text", "document", "place", "score"],
                    "properties": {
                        "text": {"type": "string"},
                        "document": {"type": "string"},
                        "place": {"type": "string"},
                        "score": {"type": "number"},
                    },
                },
            }
        },
    },
    effect=Effect.NONE,
    delivery=Delivery.IDEMPOTENT,
)

TOOLS: Mapping[str, ToolSpec] = MappingProxyType(
    {tool.id: tool for tool in (_HTTP_REQUEST, _EMAIL_SEND, _CRM_LOG, _NOTES_APPEND, _KNOWLEDGE_SEARCH)}
)
