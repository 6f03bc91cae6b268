"""The OpenAI client without its second look at requests that are plain JSON already.

`chat.completions.create` walks every message through its type hints to encode dates, files and aliases; pydantic-ai
hands it none of those, and the walk is a seventh of the CPU of a call. This posts the same body through the client's
own `post`, which keeps its headers, errors and parsing.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from openai import NOT_GIVEN, AsyncOpenAI, NotGiven, omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion


class _Completions(AsyncCompletions):
    async def create(  # type: ignore[override]  # the same call with its many fields in `fields`
        self,
        *,
        extra_headers: Mapping[str, Any] | None = None,
        extra_body: Any = None,
        timeout: Any = NOT_GIVEN,
        **fields: Any,
    ) -> ChatCompletion:
        """Return the completion; raises what the client raises. Omitted fields are left out, as the client does."""
        body = {name: value for name, value in fields.items() if value is not omit and not isinstance(value, NotGiven)}
        options: Any = {"security": {"bearer_auth": True}}
        if extra_headers is not None:
            options["headers"] = extra_headers
        if extra_body is not None:
            options["extra_json"] = extra_body
        if not isinstance(timeout, NotGiven):
            options["timeout"] = timeout
        return await self._client.post("/chat/completions", cast_to=ChatCompletion, body=body, options=options)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class LeanOpenAI(AsyncOpenAI):
    """An AsyncOpenAI whose chat completions are posted as they are."""

    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)
