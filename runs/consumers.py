"""The live sockets: each follows rows by seq and is told by the channel layer only that it should look again.

They are plain ASGI applications: a consumer of Channels has a channel of its own and looks after the database's
connections at every message, which a thousand sockets of one run would all do at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from accounts import second_line, socket_token
from accounts.access import Actor
from accounts.gate import Gate
from accounts.socket_access import query_of
from runs import live
from runs.audience import Audience, Follower, RunAudience, Send, WorkspaceAudience, joined
from runs.socket_access import Knock, answers, knock

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

GATE: Gate[Knock] = Gate(answers)


async def follow_run(scope: Message, receive: Receive, send: Send) -> None:
    """`/ws/runs/{id}?after=SEQ[&format=json]`: every event after SEQ once and in order, or the changed fragments."""
    run_id = scope["url_route"]["kwargs"]["run_id"]
    query = query_of(scope)
    follower = Follower(send, live.seq_of(query.get("after")), as_json=query.get("format") == "json")

    def make(actor: Actor) -> Audience:
        return RunAudience(run_id, actor)

    await _follow(scope, receive, send, (follower, knock(scope, run=run_id), make))


async def follow_workspace(scope: Message, receive: Receive, send: Send) -> None:
    """`/ws/workspace/{slug}`: that the counts which every page shows have changed."""
    slug = scope["url_route"]["kwargs"]["slug"]
    await _follow(scope, receive, send, (Follower(send), knock(scope, workspace=slug), WorkspaceAudience))


async def _follow(
    scope: Message, receive: Receive, send: Send, wanted: tuple[Follower, Knock, Callable[[Actor], Audience]]
) -> None:
    """Let a follower in, if they may, and keep them until they leave or are turned out."""
    follower, asked, make = wanted
    await receive()  # websocket.connect
    answer = await GATE.admit(asked)
    await send(socket_token.acceptance(scope))
    if isinstance(answer, int):
        await send({"type": "websocket.close", "code": answer})
        await _left(receive)
        return
    second_line.enter(answer.workspace.pk)
    GATE.keep(follower, asked)
    try:
        async with joined(make(answer), follower):
            await _left(receive)
    finally:
        GATE.forget(follower)


async def _left(receive: Receive) -> None:
    """Wait until the other side has gone. What it says is ignored: commands go by HTTP."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
