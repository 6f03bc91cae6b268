"""What an irreversible call must be approved as: its exact payload and the digest of that payload (engine.md §5)."""

from collections.abc import Mapping

from pipelines.graph.canonical import canonical_json, digest
from pipelines.graph.model import Json
from pipelines.graph.tools import Effect, ToolSpec

MOST_BYTES = 262_144
"""The largest call that can be approved, as canonical JSON."""


def payload(tool: ToolSpec, args: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a reviewer sees and what will run: {"tool": id@version, "args": {…}, "connection"?: its name}."""
    call: dict[str, Json] = {"tool": tool.id, "args": dict(args)}
    return {**call, "connection": tool.connection} if tool.connection else call


def payload_hash(call: Mapping[str, Json]) -> str:
    """Return the digest that binds an approval to one payload; raise TypeError for a value JSON does not have."""
    return digest(dict(call))


def is_too_large(call: Mapping[str, Json]) -> bool:
    """Say whether a call has more than a reviewer can be shown and an approval can hold."""
    return len(canonical_json(dict(call))) > MOST_BYTES


def needs_approval(tool: ToolSpec, args: Mapping[str, Json]) -> bool:
    """Say whether this call, with these arguments, cannot be undone."""
    return tool.effect_of(args) is Effect.IRREVERSIBLE
