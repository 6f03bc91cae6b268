"""Models behind pydantic-ai's model layer: OpenAI-compatible servers, Anthropic and Google.

Only this module speaks to it. Importing it costs seconds of CPU, so the registry does that once, beside the loop.
Retries are ours: the SDKs make each request once.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import httpx2
from pydantic_ai import direct
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as ProviderRequest
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from accounts import secrets
from pipelines.graph.model import Json
from pipelines.library.models import ModelRoute
from runs.execution.egress import connection_guard
from runs.execution.models.provider_errors import failure_of
from runs.execution.models.transport import MAY_LEAVE, GuardedTransport
from runs.execution.models.values import Message, ModelAnswer, ModelRequest, Tool, ToolUse, Usage

PROVIDER_NAMES = {"openai": "openai", "anthropic": "anthropic", "google": "gcp.gemini"}
NO_KEY = "none"
# What a provider says of its answer must not be more than the books can hold.
MOST_TOKENS = 10**12
_FINISHES = {"stop": "stop", "length": "length", "content_filter": "content_filter", "tool_call": "tool_call"}


class ProviderModel:
    """One model over one connection, with its client kept open."""

    def __init__(self, route: ModelRoute, key: str) -> None:
        self._transport = GuardedTransport(connection_guard(route.base_url, route.trusted_address))
        self._model = _MAKERS[route.kind](route, key, self._transport)
        self._ref, self._key = route.ref, key
        self._keeps_parts = route.kind != "openai"
        self.provider = PROVIDER_NAMES[route.kind]

    async def ask(self, request: ModelRequest, idempotency_key: str, may_leave: asyncio.Event) -> ModelAnswer:
        """Return the answer; raise a Failure named by the reaction wanted (see provider_errors)."""
        MAY_LEAVE.set(may_leave)
        native = request.schema is not None and self._can_constrain(request)
        messages = _messages(request, instruct=request.schema is not None and not native)
        try:
            response = await direct.model_request(
                self._model,
                messages,
                model_settings=_settings(request, idempotency_key),
                model_request_parameters=_parameters(request, native),
                instrument=False,
            )
        except Exception as error:  # the SDKs raise many families; each is named, none is swallowed
            raise failure_of(error, self._ref, self._redacted) from error
        return self._answer(response)

    async def close(self) -> None:
        await self._transport.aclose()

    def _redacted(self, text: str) -> str:
        """Return the text without the key, should a server have sent it back; very short keys are no secrets."""
        return secrets.redact(text, [self._key]) if len(self._key) >= secrets.SHORTEST else text

    def _can_constrain(self, request: ModelRequest) -> bool:
        """Say whether the provider can hold the answer to the schema itself; else the prompt asks for it.

        Constrained answers must be objects, and Google does not combine them with tools on all its models.
        """
        is_object = isinstance(request.schema, dict) and request.schema.get("type") == "object"
        combines = not request.tools or self.provider != PROVIDER_NAMES["google"]
        return is_object and combines and bool(self._model.profile.get("supports_json_schema_output"))

    def _answer(self, response: ModelResponse) -> ModelAnswer:
        uses = tuple(self._tool_use(part) for part in response.parts if isinstance(part, ToolCallPart))
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        usage = response.usage
        parts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.output_reasoning_tokens)
        counted = Usage(*(min(max(tokens, 0), MOST_TOKENS) for tokens in parts))
        details = response.provider_details or {}
        return ModelAnswer(
            text=self._redacted(text or str(details.get("refusal", ""))),
            tool_uses=uses,
            finish="tool_call" if uses else _FINISHES.get(str(response.finish_reason), "stop"),
            model=self._redacted(response.model_name or ""),
            usage=counted if counted.input or counted.output else None,
            response_id=self._redacted(response.provider_response_id or ""),
            opaque=secrets.within(_dump(response), self._redacted) if uses and self._keeps_parts else None,
        )

    def _tool_use(self, part: ToolCallPart) -> ToolUse:
        raw = part.args if isinstance(part.args, str) else json.dumps(part.args or {}, ensure_ascii=False)
        raw, name, id = map(self._redacted, (raw, part.tool_name, part.tool_call_id))
        return ToolUse(id, name, _object(raw), raw)


def _openai(route: ModelRoute, key: str, transport: GuardedTransport) -> Model[Any]:
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    from runs.execution.models.openai_client import LeanChatModel, LeanOpenAI

    sdk = LeanOpenAI(transport, api_key=key or NO_KEY, base_url=route.base_url or "https://api.openai.com/v1")
    if not route.base_url:
        return LeanChatModel(route.model, provider=OpenAIProvider(openai_client=sdk))
    # Servers that only look like OpenAI know `max_tokens`; few of them know its successor.
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    provider = OpenAICompatibleProvider(route.connection or "openai", openai_client=sdk, profile=profile)
    return LeanChatModel(route.model, provider=provider)


def _anthropic(route: ModelRoute, key: str, transport: GuardedTransport) -> Model[Any]:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    sdk = AsyncAnthropic(
        api_key=key or NO_KEY,
        base_url=route.base_url or "https://api.anthropic.com",
        http_client=_client(transport),
        max_retries=0,
        timeout=None,
    )
    return AnthropicModel(route.model, provider=AnthropicProvider(anthropic_client=sdk))


def _google(route: ModelRoute, key: str, transport: GuardedTransport) -> Model[Any]:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(api_key=key or NO_KEY, http_client=_client(transport), base_url=route.base_url or None)
    return GoogleModel(route.model, provider=provider)


def _client(transport: GuardedTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=transport, timeout=None, follow_redirects=False, trust_env=False)


_MAKERS = {"openai": _openai, "anthropic": _anthropic, "google": _google}


def _settings(request: ModelRequest, idempotency_key: str) -> ModelSettings:
    settings = ModelSettings(
        max_tokens=request.max_output, extra_headers={"Idempotency-Key": ascii(idempotency_key)[1:-1]}
    )
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    return settings


def _parameters(request: ModelRequest, native: bool) -> ModelRequestParameters:
    tools = [_tool(tool) for tool in request.tools]
    if not native:
        return ModelRequestParameters(function_tools=tools, output_mode="text", allow_text_output=True)
    wanted = OutputObjectDefinition(json_schema=request.schema, name="answer")
    return ModelRequestParameters(
        function_tools=tools, output_mode="native", output_object=wanted, allow_text_output=True
    )


def _tool(tool: Tool) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=dict(tool.schema), strict=False
    )


def _messages(request: ModelRequest, *, instruct: bool) -> list[ModelMessage]:
    """Return the provider's form of the messages; a run of ours that is not the model's becomes one request."""
    found: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    for message in request.messages:
        if message.role == "assistant":
            found += [ProviderRequest(parts=parts), _response(message)]
            parts = []
        else:
            parts.append(_part(message))
    if instruct:
        schema = json.dumps(request.schema, ensure_ascii=False)
        parts.append(UserPromptPart(f"Answer with JSON only, without any other text, that fits this schema: {schema}"))
    return [*found, ProviderRequest(parts=parts)]


def _part(message: Message) -> ModelRequestPart:
    if message.role == "system":
        return SystemPromptPart(message.text)
    if message.tool_use is not None:
        return ToolReturnPart(message.tool_use.name, message.text, tool_call_id=message.tool_use.id)
    return UserPromptPart(message.text)


def _response(message: Message) -> ModelResponse:
    if message.opaque is not None:
        return cast(ModelResponse, ModelMessagesTypeAdapter.validate_python([message.opaque])[0])
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text else []
    for use in message.tool_uses:
        args = use.raw if use.args is None else dict(use.args)
        parts.append(ToolCallPart(use.name, args, tool_call_id=use.id))
    return ModelResponse(parts=parts)


def _object(raw: str) -> Mapping[str, Json] | None:
    try:
        value = json.loads(raw or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _dump(response: ModelResponse) -> Json:
    return ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]
