"""The OpenAI client on the short way: one request, made once, over our own transport.

What the client does around a request that is plain JSON already (a second look at every message through its type
hints, options copied for retries that we do not want, an answer built field by field) is a third of the CPU of a call.
This sends the same body with the same headers, raises the same errors, and hands any answer that does not fit the
client's own type to the client's own reading.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx2
import orjson
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, NotGiven, omit
from openai._models import FinalRequestOptions
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion
from pydantic import ValidationError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai._chat_completions import LenientChatCompletion
from pydantic_ai.usage import RequestUsage
from yarl import URL

from runs.execution.models.transport import GuardedTransport

_OPTIONS = FinalRequestOptions.construct(method="post", url="/chat/completions", security={"bearer_auth": True})


class LeanOpenAI(AsyncOpenAI):
    """An AsyncOpenAI whose chat completions are posted as they are, once, through `transport`."""

    def __init__(self, transport: GuardedTransport, **options: Any) -> None:
        client = httpx2.AsyncClient(transport=transport, timeout=None, follow_redirects=False, trust_env=False)
        super().__init__(http_client=client, max_retries=0, timeout=None, **options)
        # The client reads these from the environment, and they are nobody else's business.
        self.organization = self.project = None
        self._wire = transport
        address = self._prepare_url(_OPTIONS.url)
        self._address = URL(str(address), encoded=True)
        self._words = dict(self._build_headers(_OPTIONS).items())
        self._request = httpx2.Request("POST", address)

    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)

    async def complete(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ChatCompletion:
        """Post the body and return the completion; raise an APIStatusError, APITimeoutError or APIConnectionError."""
        words = {**self._words, **{name.lower(): value for name, value in headers.items()}}
        try:
            reply = await self._wire.send("POST", self._address, words, orjson.dumps(body))
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=self._request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=self._request) from error
        if not 200 <= reply.status < 300:
            raise self._make_status_error_from_response(reply.to(self._request))
        try:
            return LenientChatCompletion.model_validate_json(reply.body)
        except ValidationError:
            return await self._process_response(
                cast_to=ChatCompletion,
                options=_OPTIONS,
                response=reply.to(self._request),
                stream=False,
                stream_cls=None,
                retries_taken=0,
            )


class _Completions(AsyncCompletions):
    _client: LeanOpenAI

    async def create(  # type: ignore[override]  # the same call with its many fields in `fields`
        self,
        *,
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: Any = None,
        **fields: Any,
    ) -> ChatCompletion:
        """Return the completion; omitted fields are left out, as the client does. Whoever asks bounds the time."""
        body = {name: value for name, value in fields.items() if value is not omit and not isinstance(value, NotGiven)}
        return await self._client.complete({**body, **(extra_body or {})}, extra_headers or {})


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class LeanChatModel(OpenAIChatModel):
    """An OpenAIChatModel that does not read a second time what `LeanOpenAI` has read by its own, lenient type.

    Nor does it look in a book of prices for how this provider counts: the fields are the chat completions' own.
    """

    def _validate_completion(self, response: ChatCompletion) -> LenientChatCompletion:
        if isinstance(response, LenientChatCompletion):
            return response
        return super()._validate_completion(response)

    def _map_usage(self, response: ChatCompletion) -> RequestUsage:
        if (usage := response.usage) is None:
            return super()._map_usage(response)
        sent, written = usage.prompt_tokens_details, usage.completion_tokens_details
        return RequestUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=(sent.cached_tokens or 0) if sent else 0,
            output_reasoning_tokens=(written.reasoning_tokens or 0) if written else 0,
        )
