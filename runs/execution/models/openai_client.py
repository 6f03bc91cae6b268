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

_OPTIONS = FinalRequestOptions.construct(method="post", url="/chat/completions", security={"bearer_auth": True})


class LeanOpenAI(AsyncOpenAI):
    """An AsyncOpenAI whose chat completions are posted as they are, once, through `transport`."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, **options: Any) -> None:
        client = httpx2.AsyncClient(transport=transport, timeout=None, follow_redirects=False, trust_env=False)
        super().__init__(http_client=client, max_retries=0, timeout=None, **options)
        # The client reads these from the environment, and they are nobody else's business.
        self.organization = self.project = None
        self._wire = transport
        self._address = self._prepare_url(_OPTIONS.url)
        self._words = self._build_headers(_OPTIONS)

    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)

    async def complete(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ChatCompletion:
        """Post the body and return the completion; raise an APIStatusError, APITimeoutError or APIConnectionError."""
        words = httpx2.Headers(self._words)
        words.update(headers)
        request = httpx2.Request("POST", self._address, headers=words, content=orjson.dumps(body))
        try:
            response = await self._wire.handle_async_request(request)
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=request) from error
        if not response.is_success:
            raise self._make_status_error_from_response(response)
        try:
            return ChatCompletion.model_validate_json(response.content)
        except ValidationError:
            return await self._process_response(
                cast_to=ChatCompletion,
                options=_OPTIONS,
                response=response,
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
