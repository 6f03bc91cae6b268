"""The page of what an MCP server offers: asked anew each time, and registered as an admin says what each tool does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, Capability, actor_of, get, require, signed_in
from accounts.errors import Invalid, Refused
from accounts.onward import back
from pipelines.connection_pages import EFFECTS
from pipelines.graph.model import Json
from pipelines.graph.tools import Delivery, Effect
from pipelines.library import mcp as library
from pipelines.library.mcp import Definition, Said
from pipelines.library.models import MCP
from pipelines.models import Connection, McpTool
from runs.execution.mcp import listing


@dataclass(frozen=True, slots=True)
class Row:
    """A tool that a server offers, in its own words. `effect` is what an admin said of these words, or the worst.

    `args` is the JSON Schema of its arguments as text: models read what it says too.
    """

    name: str
    description: str
    args: str
    pin: str
    state: str
    effect: str
    is_ticked: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers now: the tools that can be taken, and why others cannot. `gone` are no longer offered."""

    rows: Sequence[Row]
    refused: Mapping[str, str]
    gone: Sequence[str]


@require_http_methods(["GET", "POST"])
@signed_in
def tools(request: HttpRequest, name: str) -> HttpResponse:
    """What a server offers; a POST registers what was ticked. A server that is away is said to be, on the page."""
    actor = actor_of(request)
    require(actor, Capability.CONNECTIONS)
    connection = get(Connection, actor, name=name, kind=MCP)
    offered: list[dict[str, Json]] | None = None
    try:
        offered = listing.offered(connection)
        if request.method == "GET":
            return _page(request, connection, offered, None)
        count = _register(actor, connection, offered, request.POST)
    except Refused as refused:
        return _page(request, connection, offered, refused)
    messages.success(request, f"{count} tool{'' if count == 1 else 's'} of {name} can be used by steps and agents.")
    return back(actor, "connection", name)


def _page(
    request: HttpRequest, connection: Connection, offered: Sequence[Mapping[str, Json]] | None, refused: Refused | None
) -> HttpResponse:
    typed = request.POST if request.method == "POST" else None
    offer = None if offered is None else _offer(connection, offered, typed)
    context = {"connection": connection, "offer": offer, "refused": refused, "effects": EFFECTS}
    return render(request, "runs/mcp_tools.html", context, status=refused.status if refused else 200)


def _offer(connection: Connection, offered: Sequence[Mapping[str, Json]], typed: QueryDict | None) -> Offer:
    found, registered = library.definitions(connection.name, offered)
    known = library.newest_of(connection.workspace, connection.name)
    rows = [_row(one, known.get(name), typed) for name, one in sorted(found.items())]
    return Offer(rows, registered.refused, sorted(known.keys() - found.keys() - registered.refused.keys()))


def _row(one: Definition, known: McpTool | None, typed: QueryDict | None) -> Row:
    state = "new" if known is None else "same" if known.pin == one.pin else "changed"
    effect = known.effect if known is not None and state == "same" else str(Effect.IRREVERSIBLE)
    is_ticked = state == "same"
    if typed is not None:  # what was said of other words does not count for these
        was_read = typed.get(f"pin-{one.remote}") == one.pin
        is_ticked = was_read and one.remote in typed.getlist("tool")
        effect = typed.get(f"effect-{one.remote}", effect) if was_read else effect
    args = json.dumps(one.args_schema)  # escaped, since nobody sees some letters that models read
    return Row(one.remote, one.description, args, one.pin, state, effect, is_ticked)


def _register(actor: Actor, connection: Connection, offered: Sequence[Mapping[str, Json]], typed: QueryDict) -> int:
    """Register the tools that were ticked, if the server still says of them what was read; return how many."""
    found, _ = library.definitions(connection.name, offered)
    known = library.newest_of(connection.workspace, connection.name)
    chosen = list(dict.fromkeys(typed.getlist("tool")))
    if not chosen:
        raise Invalid("Tick the tools that pipelines may use.", where="/tools")
    other = [name for name in chosen if name not in found or found[name].pin != typed.get(f"pin-{name}")]
    if other:
        raise Invalid(
            f"{connection.name} says something else of {other[0][:80]!r} than when this page was read. Read it again.",
            code="tool_changed",
            where="/tools",
        )
    said = {name: _said(typed.get(f"effect-{name}", ""), found[name], known.get(name)) for name in chosen}
    return len(library.register(actor, connection, offered, said).tools)


def _said(effect: str, one: Definition, known: McpTool | None) -> Said:
    """Return what was chosen of a tool; how safely it is sent again stays while its words and its effect do."""
    if effect not in EFFECTS:
        raise Invalid(f"Choose what {one.remote} does.", where="/tools")
    if known is not None and (known.pin, known.effect) == (one.pin, effect):
        return Said(effect, known.delivery)
    return Said(effect, str(Delivery.IDEMPOTENT if effect == Effect.NONE else Delivery.NEITHER))
