"""What the pages of connections show: the list, one with its form, its uses and tools, and what saving does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import Actor, Capability, get, scoped
from accounts.errors import Conflict, Invalid
from accounts.models import Secret
from accounts.safe import Use
from pipelines import connection_form, connection_uses
from pipelines.connection_form import ConnectionForm
from pipelines.graph.tools import Effect
from pipelines.library import circuits, connections, price_changes
from pipelines.library.models import MCP
from pipelines.models import Circuit, Connection, McpTool

KINDS = {
    "openai": ("OpenAI, or a server that speaks as it does", "Models of OpenAI, of a local server or of a gateway."),
    "anthropic": ("Anthropic", "Claude models."),
    "google": ("Google", "Gemini models."),
    MCP: ("MCP server", "Tools that a server offers; steps and agents call them."),
}
SHORT = {
    "openai": "Models, as OpenAI’s",
    "anthropic": "Models of Anthropic",
    "google": "Models of Google",
    MCP: "Tools",
}
EFFECTS = {
    str(Effect.IRREVERSIBLE): "cannot be undone",
    str(Effect.REVERSIBLE): "can be undone",
    str(Effect.NONE): "only reads",
}
DELIVERIES = {
    "neither": "never sent twice",
    "keyed": "sent again under its key",
    "idempotent": "may be sent again",
}


@dataclass(frozen=True, slots=True)
class Stopped:
    """Something behind a connection that is left alone for a while because it kept failing."""

    what: str
    retry_at: datetime | None

    @property
    def is_to_be_tried(self) -> bool:
        """Tell whether the next call finds out how it is."""
        return self.retry_at is not None and self.retry_at <= timezone.now()


@dataclass(frozen=True, slots=True)
class Line:
    """One connection of the list. `lacks_secret`: the secret that it names is not there."""

    row: Connection
    uses: Sequence[Use]
    stopped: Sequence[Stopped]
    tools: int = 0
    lacks_secret: bool = False

    @property
    def kind(self) -> str:
        return SHORT.get(self.row.kind, self.row.kind)

    @property
    def is_mcp(self) -> bool:
        return self.row.kind == MCP

    @property
    def host(self) -> str:
        """Where it leads, as people write it; "" for the provider's own address."""
        try:
            return urlsplit(self.row.base_url).netloc
        except ValueError:
            return self.row.base_url

    @property
    def used(self) -> str:
        """How many of what use it, in words: "1 agent, 2 pipelines"."""
        counts = Counter(use.what for use in self.uses)
        return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())

    @property
    def limits(self) -> list[str]:
        row = self.row
        named = ((row.max_concurrent, "at once"), (row.rpm, "calls a minute"), (row.tpm, "tokens a minute"))
        return [f"{value:,} {words}" for value, words in named if value is not None]


@dataclass(frozen=True, slots=True)
class Tool:
    """The newest registered version of a server's tool, in our words and the server's description."""

    name: str
    number: int
    effect: str
    delivery: str
    description: str
    is_irreversible: bool


def lines(actor: Actor) -> list[Line]:
    """Return the workspace's connections by name."""
    rows = list(scoped(Connection, actor).order_by("name"))
    used = connection_uses.uses(actor) if rows else {}
    opened, known = circuits.opened(actor.workspace.pk), _secrets(actor)
    counts: dict[str, int] = {}
    for connection in _newest(actor).values_list("connection", flat=True):
        counts[connection] = counts.get(connection, 0) + 1
    return [_line(row, used, opened, known, counts.get(row.name, 0)) for row in rows]


def operators(found: Sequence[Line]) -> list[str]:
    """Return the providers that the operator's environment has keys of, without those that a connection stands for."""
    own = {line.row.name for line in found}
    return [name for name, (key, _) in settings.PROVIDER_ENV.items() if key and name not in own]


def page(actor: Actor, name: str, form: ConnectionForm | None = None) -> dict[str, object]:
    """Return what the page of a connection shows; `form` is None for who may only read. NotFound."""
    row = get(Connection, actor, name=name)
    may_edit = actor.can(Capability.CONNECTIONS)
    opened = circuits.opened(actor.workspace.pk)
    line = _line(row, connection_uses.uses(actor), opened, _secrets(actor), 0)
    return {
        "line": line,
        "tools": tools(actor, name) if line.is_mcp and actor.sees_content else [],
        "form": (form or connection_form.of(row)) if may_edit else None,
        **(choices(actor, row.secret) if may_edit else {}),
    }


def choices(actor: Actor, held: str = "") -> dict[str, object]:
    """Return what a form offers; `held` is a secret that the connection names, there or not."""
    return {"kinds": KINDS, "secrets": sorted(_secrets(actor) | ({held} if held else set()))}


def create(actor: Actor, posted: Mapping[str, str]) -> tuple[Connection | None, ConnectionForm]:
    """Make a connection of a posted form; without one the form says what is wrong. Forbidden."""
    form = connection_form.typed(posted)
    try:
        return connections.create(actor, connection_form.read(form, _secrets(actor), None)), form
    except (Invalid, Conflict) as refused:
        return None, form.refused(refused)


def save(actor: Actor, name: str, posted: Mapping[str, str]) -> tuple[Connection | None, ConnectionForm]:
    """Save a posted form; without a connection the form says what is wrong. Forbidden, NotFound."""
    row = get(Connection, actor, name=name)
    form = connection_form.typed({**posted, "name": name})
    try:
        with transaction.atomic():
            before = price_changes.locked(actor, row)  # its prices may have been set meanwhile
            return connections.change(actor, before, connection_form.read(form, _secrets(actor), before)), form
    except (Invalid, Conflict) as refused:
        return None, form.refused(refused)


def tools(actor: Actor, connection: str) -> list[Tool]:
    """Return the registered tools of an MCP connection by name, each in its newest version."""
    return [
        Tool(
            row.remote,
            row.number,
            EFFECTS.get(row.effect, row.effect),
            DELIVERIES.get(row.delivery, row.delivery),
            row.description,
            row.effect == Effect.IRREVERSIBLE,
        )
        for row in _newest(actor).filter(connection=connection)
    ]


def _newest(actor: Actor) -> QuerySet[McpTool]:
    rows = McpTool.objects.order_by("connection", "remote", "-number").distinct("connection", "remote")
    return scoped(rows, actor)


def _secrets(actor: Actor) -> set[str]:
    return set(scoped(Secret, actor).values_list("name", flat=True))


def _line(
    row: Connection, used: Mapping[str, Sequence[Use]], opened: Sequence[Circuit], secrets: set[str], tools: int
) -> Line:
    stopped = [Stopped(what, one.retry_at) for one, what in circuits.of_connection(opened, row.name)]
    lacks = bool(row.secret) and row.secret not in secrets
    return Line(row, used.get(row.name, ()), stopped, tools, lacks)
