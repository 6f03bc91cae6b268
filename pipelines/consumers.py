"""The live socket of a draft: who else is on its page, and that somebody has changed it. Changes go by HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async

from accounts import second_line, socket_token
from accounts.access import Actor, get, hidden_from
from accounts.errors import NotFound
from accounts.gate import Gate
from accounts.socket_access import NOT_YOURS, Answer, Knock, answers_about_content, knock, query_of
from pipelines.models import Pipeline
from pipelines.presence import Seat

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

Wanted = tuple[Knock, str]
"""What a socket shows, and the slug of the pipeline it asks for."""


def _answers(wanted: Sequence[Wanted]) -> list[Answer]:
    found = zip(wanted, answers_about_content([asked for asked, _ in wanted]), strict=True)
    return [NOT_YOURS if _is_kept(answer, slug) else answer for (_, slug), answer in found]


def _is_kept(answer: Answer, slug: str) -> bool:
    return isinstance(answer, Actor) and slug in hidden_from(answer).values()


GATE: Gate[Wanted] = Gate(_answers)


async def follow_draft(scope: Message, receive: Receive, send: Send) -> None:
    """`/ws/pipelines/{slug}?workspace=SLUG`: `{people}` and `{rev}`; the page says `{at}`, the step it has open."""
    asked = (knock(scope, query_of(scope).get("workspace")), scope["url_route"]["kwargs"]["slug"])
    await receive()  # websocket.connect
    answer = await GATE.admit(asked)
    if not isinstance(answer, int):
        second_line.enter(answer.workspace.pk)
    found = answer if isinstance(answer, int) else await database_sync_to_async(_pipeline)(answer, scope)
    await send(socket_token.acceptance(scope))
    if isinstance(found, int) or isinstance(answer, int):
        await send({"type": "websocket.close", "code": found})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    seat = Seat(send, answer, found)
    GATE.keep(seat, asked)
    try:
        await seat.sit(receive)
    finally:
        GATE.forget(seat)


def _pipeline(actor: Actor, scope: Message) -> UUID | int:
    try:
        return get(Pipeline, actor, slug=scope["url_route"]["kwargs"]["slug"]).pk
    except NotFound:
        return NOT_YOURS
