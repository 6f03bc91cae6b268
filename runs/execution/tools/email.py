"""email.send@1: one plain-text message, handed over as EMAIL_URL says."""

import asyncio
from collections.abc import Mapping

from pipelines.graph.model import Json
from runs.execution import post
from runs.execution.context import ToolCall


async def send(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {message_id, to} once the message is handed over.

    The Message-ID follows from the idempotency key. Raise a `tool_error` Failure for addresses and headers that cannot
    be, and AnswerLost when the server fell silent after it had the message.
    """
    message = post.addressed(str(args["to"]), str(args["subject"]), call.idempotency_key)
    message.set_content(str(args["body"]))
    await asyncio.to_thread(post.deliver, message, call.timeout)
    return {"message_id": message["Message-ID"], "to": message["To"]}
