"""What models cost from which moment on, as people said: written once, never dated back, never changed.

A connection's own prices are what holds now; a change that was set for later enters them when its moment comes. What a
run pays does not wait for that: its worker reads the changes themselves when it first claims the run.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat, Now
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.clock import database_now
from accounts.errors import Invalid
from pipelines.budgets import checked_reason
from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.library import prices
from pipelines.models import Connection, PriceChange

FARTHEST = dt.timedelta(days=731)
_LATE = dt.timedelta(days=31)
"""How long after its moment a change may still find that no worker was there to apply it."""


@dataclass(frozen=True, slots=True)
class PriceFields:
    """Dollars per million tokens as text; `from_at` is None for at once."""

    model: str
    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None = None
    from_at: dt.datetime | None = None
    reason: str = ""


def history(actor: Actor) -> QuerySet[PriceChange]:
    """Return what was said of the workspace's prices, newest first."""
    return scoped(PriceChange, actor).select_related("by").order_by("-id")


@transaction.atomic
def set_price(actor: Actor, connection: Connection, fields: PriceFields) -> PriceChange:
    """Say what a model of a connection costs, at once or from a later moment on.

    Runs that have begun keep their prices, and nothing that was booked changes. Raises Forbidden, Invalid naming the
    field: `reason_needed`, `dated_back`.
    """
    require(actor, Capability.MANAGE)
    reason = checked_reason(fields.reason, is_needed=True)
    row = locked(actor, connection)
    price = _price_of(fields, row)
    if fields.from_at is None:
        row.prices = {**row.prices, fields.model: _entry(price, row.prices.get(fields.model))}
        row.save(update_fields=["prices"])
    else:
        _refuse_past(fields.from_at)
    change = _change(actor, row.name, fields.model, price, reason)
    if fields.from_at is not None:
        change.from_at = fields.from_at
    change.save()
    change.refresh_from_db()
    told = {**_told(price), "from": change.from_at.isoformat(), "reason": reason}
    audit.record(actor.workspace, actor.user, "price.set", f"{row.name}/{fields.model}"[:254], told)
    return change


@transaction.atomic
def withdraw(actor: Actor, connection: Connection, model: str, reason: str) -> None:
    """Take the connection's own word on a price back: from now on the packaged price holds, or none is known."""
    require(actor, Capability.MANAGE)
    reason = checked_reason(reason, is_needed=True)
    row = locked(actor, connection)
    if model not in row.prices:
        raise Invalid(f"{row.name} says no price of {model[:128]} itself.", where="/model")
    before = dict(row.prices)
    row.prices = {name: price for name, price in before.items() if name != model}
    row.save(update_fields=["prices"])
    keep(actor, row, before, reason)
    audit.record(actor.workspace, actor.user, "price.withdrawn", f"{row.name}/{model}"[:254], {"reason": reason})


def locked(actor: Actor, connection: Connection) -> Connection:
    """Return a connection as it is now, kept from others' changes until the transaction ends; NotFound once removed."""
    return get(Connection.objects.select_for_update(), actor, pk=connection.pk)


def keep(actor: Actor, connection: Connection, before: Mapping[str, Json], reason: str = "") -> None:
    """Write down how a connection's own prices differ from those before, as changes from now on."""
    after = connection.prices
    for model in sorted({*before, *after}):
        if model in after and (model not in before or prices.own(before[model]) != prices.own(after[model])):
            _change(actor, connection.name, model, prices.own(after[model]), reason).save()
        elif model not in after:
            packaged = prices.price_among({connection.name: connection}, f"{connection.name}/{model}")
            change = _change(actor, connection.name, model, packaged, reason)
            change.own = False
            change.save()


def apply_due() -> None:
    """Bring changes whose moment has come into their connections' own prices. Each worker's poll calls it."""
    since = timezone.now() - _LATE
    due = PriceChange.objects.filter(from_at__gt=F("at"), from_at__lte=Now()).filter(from_at__gt=since)
    wanted = set(due.values_list("workspace_id", "connection", "model"))
    for workspace, name, model in sorted(wanted, key=str):
        if _is_behind(Connection.objects.filter(workspace=workspace, name=name).first(), model) is None:
            continue
        with transaction.atomic():
            row = Connection.objects.select_for_update().filter(workspace=workspace, name=name).first()
            price = _is_behind(row, model)
            if row is not None and price is not None:
                row.prices = {**row.prices, model: _entry(price, row.prices.get(model))}
                row.save(update_fields=["prices"])


def _is_behind(row: Connection | None, model: str) -> Price | None:
    """Return the price that holds of a model where its connection says another one, or none."""
    if row is None:
        return None
    held = in_force(row.workspace_id, [f"{row.name}/{model}"]).get(f"{row.name}/{model}")
    price = price_of(held) if held is not None and held.own else None
    if price is None or (model in row.prices and prices.own(row.prices[model]) == price):
        return None
    return price


def in_force(workspace: UUID, refs: Iterable[str]) -> dict[str, PriceChange]:
    """Return the change that holds now of each of these models (`connection/model`), where there is one. One query."""
    wanted = set(refs)
    rows = PriceChange.objects.filter(workspace=workspace, from_at__lte=Now())
    rows = rows.filter(connection__in={ref.partition("/")[0] for ref in wanted})
    rows = rows.alias(ref=Concat("connection", Value("/"), "model")).filter(ref__in=wanted)
    newest = rows.order_by("connection", "model", "-from_at", "-id").distinct("connection", "model")
    return {f"{row.connection}/{row.model}": row for row in newest.select_related("by")}


def to_come(actor: Actor) -> list[PriceChange]:
    """Return the changes that are set for later, the next one first."""
    return list(scoped(PriceChange, actor).filter(from_at__gt=Now()).select_related("by").order_by("from_at", "id"))


def price_of(change: PriceChange) -> Price | None:
    if change.input is None or change.output is None:
        return None
    return Price(change.input, change.output, change.cached_input)


def _change(actor: Actor, connection: str, model: str, price: Price | None, reason: str) -> PriceChange:
    now = database_now()
    return PriceChange(
        workspace=actor.workspace,
        connection=connection,
        model=model,
        input=price.input if price else None,
        output=price.output if price else None,
        cached_input=price.cached_input if price else None,
        at=now,
        from_at=now,
        reason=reason,
        by=actor.user,
    )


def _refuse_past(moment: dt.datetime) -> None:
    now = database_now()
    if moment <= now:
        message = "A price is never dated back, because calls were paid at the one before. Choose a later moment."
        raise Invalid(message, code="dated_back", where="/from")
    if moment > now + FARTHEST:
        raise Invalid("A price can be set for the next two years.", where="/from")


def _price_of(fields: PriceFields, row: Connection) -> Price:
    if row.kind == "mcp":
        raise Invalid("A server of tools has no prices.", where="/model")
    entry = {
        "input_per_million": fields.input_per_million,
        "output_per_million": fields.output_per_million,
        "cached_input_per_million": fields.cached_input_per_million or None,
    }
    prices.check_price(fields.model, entry, "")
    return prices.own(entry)


def _entry(price: Price, before: Json) -> dict[str, Json]:
    """Return a price as a connection keeps it, with the context window that was known."""
    entry: dict[str, Json] = dict(_told(price))
    if before and before.get("context_window") is not None:
        entry["context_window"] = before["context_window"]
    return entry


def _told(price: Price) -> dict[str, str | None]:
    told = {"input_per_million": dollars(price.input), "output_per_million": dollars(price.output)}
    if price.cached_input is not None:
        told["cached_input_per_million"] = dollars(price.cached_input)
    return told
