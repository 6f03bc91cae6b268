"""What is asked of a model and what it answered, as values that are JSON in the journal, whoever the provider is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipelines.graph.lock import MAX_OUTPUT
from pipelines.graph.model import Json

# What routes and judges that name a model alone might answer with before they had the default.
FORMER_MAX_OUTPUT = 1024


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call the model wants. `args` is None when what it wrote is not a JSON object; `raw` is what it wrote."""

    id: str
    name: str
    args: Mapping[str, Json] | None
    raw: str = ""

    def as_json(self) -> dict[str, Json]:
        return {"id": self.id, "name": self.name, "args": self.args, "raw": self.raw}


@dataclass(frozen=True, slots=True)
class Message:
    """`role` is system, user, assistant or tool. A tool's message answers `tool_use`; `opaque` is the adapter's own."""

    role: str
    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    tool_use: ToolUse | None = None
    opaque: Json = None

    def as_json(self) -> dict[str, Json]:
        """Return what is sent, without the adapter's own part, which repeats it."""
        data: dict[str, Json] = {"role": self.role, "text": self.text}
        if self.tool_uses:
            data["tool_calls"] = [use.as_json() for use in self.tool_uses]
        if self.tool_use:
            data["tool_call_id"] = self.tool_use.id
            data["tool"] = self.tool_use.name
        return data


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the model sees it: a name of letters, digits, _ and -, and a JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to `model` (provider/model). `schema`, if any, is what the answer must be an instance of.

    `formerly` is what an older version would have said for `max_output`: what was answered to that is not asked again.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    schema: Json = None
    max_output: int = MAX_OUTPUT
    temperature: float | None = None
    formerly: int | None = None

    def as_json(self, generation: int) -> dict[str, Json]:
        """Return everything that is sent, as the journal keeps it and its hash covers it."""
        data: dict[str, Json] = {
            "model": self.model,
            "messages": [message.as_json() for message in self.messages],
            "max_output": self.max_output,
            "generation": generation,
        }
        if self.tools:
            data["tools"] = [
                {"name": tool.name, "description": tool.description, "schema": tool.schema} for tool in self.tools
            ]
        if self.schema is not None:
            data["schema"] = self.schema
        if self.temperature is not None:
            data["temperature"] = self.temperature
        return data


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. `cached` are part of `input`; `reasoning` are part of `output`."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """`finish` is stop, length, tool_call, content_filter or error. `usage` is None when the provider gave none."""

    text: str
    tool_uses: tuple[ToolUse, ...] = ()
    finish: str = "stop"
    model: str = ""
    usage: Usage | None = None
    response_id: str = ""
    opaque: Json = field(default=None, repr=False)

    def as_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {"text": self.text, "finish": self.finish, "model": self.model}
        if self.tool_uses:
            data["tool_calls"] = [use.as_json() for use in self.tool_uses]
        if self.response_id:
            data["id"] = self.response_id
        if self.opaque is not None:
            data["opaque"] = self.opaque
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "ModelAnswer":
        """Return the answer of a journal row (without its usage, which was settled when it came)."""
        return cls(
            text=data["text"],
            tool_uses=tuple(ToolUse(**use) for use in data.get("tool_calls", ())),
            finish=data["finish"],
            model=data["model"],
            response_id=data.get("id", ""),
            opaque=data.get("opaque"),
        )

    def as_message(self) -> Message:
        return Message("assistant", self.text, self.tool_uses, opaque=self.opaque)


class ModelAdapter(Protocol):
    """A way to one model. `provider` is its name in OpenTelemetry's registry."""

    provider: str

    async def ask(self, request: ModelRequest, idempotency_key: str, may_leave: asyncio.Event) -> ModelAnswer:
        """Return the answer, asked for once `may_leave` is set and not before.

        Raise failures.Failure (answered with an error) or AnswerLost (may have been charged).
        """
