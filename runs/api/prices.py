"""What models cost, for programs: the list, its changes, past calls at today's prices, and a month on another model."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts import sheets
from accounts.access import Actor, Capability, actor_of, get, require
from accounts.paging import page
from accounts.schemas import Body
from accounts.sheets import Form
from pipelines.budgets import LONGEST_REASON
from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.library import price_changes
from pipelines.library.price_changes import PriceFields
from pipelines.models import Connection, Pipeline, PriceChange
from runs import price_list, what_if
from runs.api.shapes import time

router = Router(tags=["prices"])

_AMOUNTS = ("input_per_million", "output_per_million", "cached_input_per_million")
PRICES = (
    *("model", "source", *_AMOUNTS, "since", "next_from", *(f"next_{name}" for name in _AMOUNTS)),
    *("calls", "unpriced_calls", "cost_usd"),
)
CHANGES = ("at", "by", "model", "own", *_AMOUNTS, "from", "reason")
REPRICED = (
    *("model", "calls", "unpriced_calls", "input_tokens", "output_tokens", "cost_usd", "at_today_usd"),
    "difference_usd",
)
RANGE = (
    *("low_usd", "same_tokens_usd", "high_usd", "booked_usd", "calls", "unpriced_calls", "input_tokens"),
    *("output_tokens", "days"),
)


class PriceBody(Body):
    model: str = Field(max_length=200, description="CONNECTION/model, as agents name it")
    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None = None
    from_at: dt.datetime | None = Field(None, alias="from", description="a moment to come; null for at once")
    reason: str = Field(max_length=LONGEST_REASON)


class WhatIfQuery(Schema):
    to: str
    month: Literal["this", "last"] = "last"
    pipeline: str | None = None
    model: str | None = None
    form: Literal["json", "csv"] = Field("json", alias="format")


@router.get(
    "/prices",
    response=Any,
    summary="List what models in use cost; unknown prices first",
    openapi_extra=sheets.OR_A_SHEET,
)
def list_prices(request: HttpRequest, form: Form = "json") -> Any:
    items = [_line(one) for one in price_list.listed(_reader(request), timezone.now())]
    if form == "csv":
        return sheets.of_items("prices", PRICES, map(_flat, items))
    return {"items": items, "next": None}


@router.get(
    "/prices/changes",
    response=Any,
    summary="List what was said of prices, newest first",
    openapi_extra=sheets.OR_A_SHEET,
)
def list_changes(request: HttpRequest, cursor: str | None = None, limit: int | None = None, form: Form = "json") -> Any:
    rows = price_changes.history(_reader(request))
    if form == "csv":
        return sheets.of_rows("price-changes", CHANGES, rows, _change)
    return page(rows, cursor, limit, "-id", _change)


@router.post("/prices", response={201: Any}, summary="Say what a model costs, at once or from a moment on")
def set_price(request: HttpRequest, body: PriceBody) -> Status[Any]:
    """Runs that have begun keep their prices, and nothing that was booked changes."""
    actor = actor_of(request)
    require(actor, Capability.MANAGE)
    name, _, model = body.model.partition("/")
    moment = body.from_at
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    fields = PriceFields(
        model, body.input_per_million, body.output_per_million, body.cached_input_per_million, moment, body.reason
    )
    return Status(201, _change(price_changes.set_price(actor, get(Connection, actor, name=name), fields)))


@router.get(
    "/prices/recalculation",
    response=Any,
    summary="Past calls at today's prices: a report, nothing changes",
    openapi_extra=sheets.OR_A_SHEET,
)
def recalculation(request: HttpRequest, month: Literal["this", "last"] = "this", form: Form = "json") -> Any:
    actor = _reader(request)
    between = _between(actor, month)
    items = [_repriced(one) for one in price_list.repriced(actor, between)]
    if form == "csv":
        return sheets.of_items(f"prices-recalculation-{between[0]:%Y-%m}", REPRICED, items)
    return {**_times(between), "items": items, "next": None}


@router.get(
    "/what-if",
    response=Any,
    summary="What a month would have cost on another model, as a range",
    openapi_extra=sheets.OR_A_SHEET,
)
def another_model(request: HttpRequest, asked: Query[WhatIfQuery]) -> Any:
    """Computed from tokens in the books; no call is made. `range` is null where there were no calls."""
    actor = _reader(request)
    between = _between(actor, asked.month)
    chosen = get(Pipeline, actor, slug=asked.pipeline) if asked.pipeline is not None else None
    found = what_if.ask_of(actor, what_if.Asked(asked.to, between, chosen, asked.model))
    about: dict[str, Json] = {"to": asked.to, "pipeline": asked.pipeline, "model": asked.model}
    told = _range(found) if found else None
    if asked.form == "csv":
        columns = ("month", *about, *RANGE)
        rows = [{"month": f"{between[0]:%Y-%m}", **about, **told}] if told else []
        return sheets.of_items("what-if", columns, rows)
    return {**_times(between), **about, "range": told}


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor


def _between(actor: Actor, month: str) -> what_if.Between:
    last, this = price_list.months(actor.workspace, timezone.now())
    return last if month == "last" else this


def _times(between: what_if.Between) -> dict[str, Json]:
    return {"from": time(between[0].astimezone(dt.UTC)), "to": time(between[1].astimezone(dt.UTC))}


def _line(one: price_list.Line) -> dict[str, Json]:
    return {
        "model": one.ref,
        "source": one.source,
        **_amounts(one.price),
        "since": time(one.held.from_at) if one.held else None,
        "next": _change(one.next) if one.next else None,
        "calls": one.spending.calls,
        "unpriced_calls": one.spending.unpriced,
        "cost_usd": dollars(one.spending.cost),
    }


def _flat(line: Mapping[str, Json]) -> dict[str, Json]:
    """Return a line of the list with the price to come beside the present one."""
    coming = line["next"] if isinstance(line["next"], dict) else {}
    return {**line, **{f"next_{name}": coming.get(name) for name in ("from", *_AMOUNTS)}}


def _repriced(one: price_list.Repriced) -> dict[str, Json]:
    return {
        "model": one.ref,
        "calls": one.spending.calls,
        "unpriced_calls": one.spending.unpriced,
        "input_tokens": one.spending.input_tokens,
        "output_tokens": one.spending.output_tokens,
        "cost_usd": dollars(one.spending.cost),
        "at_today_usd": dollars(one.at_today),
        "difference_usd": dollars(one.difference),
    }


def _range(found: what_if.WhatIf) -> dict[str, Json]:
    return {
        "low_usd": dollars(found.low),
        "same_tokens_usd": dollars(found.middle),
        "high_usd": dollars(found.high),
        "booked_usd": dollars(found.booked),
        "calls": found.calls,
        "unpriced_calls": found.unpriced,
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "days": found.days,
    }


def _change(change: PriceChange) -> dict[str, Json]:
    return {
        "model": f"{change.connection}/{change.model}",
        "own": change.own,
        **_amounts(price_changes.price_of(change)),
        "from": time(change.from_at),
        "reason": change.reason,
        "by": change.by.email if change.by else None,
        "at": time(change.at),
    }


def _amounts(price: Price | None) -> dict[str, Json]:
    return {
        "input_per_million": dollars(price.input) if price else None,
        "output_per_million": dollars(price.output) if price else None,
        "cached_input_per_million": dollars(price.cached_input) if price else None,
    }
