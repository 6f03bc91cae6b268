"""What an irreversible call must be approved as: its exact payload and the digest of that payload (engine.md §5)."""

from collections.abc import Mapping

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.graph.tools import Effect, ToolSpec


def payload(tool: ToolSpec, args: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a reviewer sees and what will run: {"tool": id@version, "args": {…}}."""
    return {"tool": tool.id, "args": dict(args)}


def payload_hash(call: Mapping[str, Json]) -> str:
    """Return the digest that binds an approval to one payload; raise TypeError for a value JSON does not have."""
    return digest(dict(call))


def needs_approval(tool: ToolSpec, args: Mapping[str, Json]) -> bool:
    """Say whether this call, with these arguments, cannot be undone."""
    return tool.effect_of(args) is Effect.IRREVERSIBLE
