"""Keyset paging: a cursor holds the last row's sort values, so that page 1,000 costs what page 1 does."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet

from accounts.errors import Invalid

M = TypeVar("M", bound=Model)
LIMIT = 50
MOST = 200
_SALT = "baton.cursor"


def page(
    queryset: QuerySet[M],
    cursor: str | None,
    limit: int | None,
    key: str | Sequence[str],
    show: Callable[[M], Any] | None = None,
) -> dict[str, Any]:
    """Return {"items": […], "next": cursor or null}; each item is the row, or what `show` makes of it.

    `key` names the columns of the order, all descending if the first starts with "-"; the primary key is added to
    make it total. Columns must not be null. `limit` is 50 unless given, at most 200. Raises Invalid (`bad_cursor`,
    `bad_limit`). One query.
    """
    size = _size(limit)
    names, descending = _order(queryset.model, [key] if isinstance(key, str) else list(key))
    rows = queryset.order_by(*(f"-{name}" if descending else name for name in names))
    if cursor:
        rows = rows.filter(_beyond(names, _values(queryset.model, names, cursor), "lt" if descending else "gt"))
    found = list(rows[: size + 1])
    more = len(found) > size
    items = found[:size]
    return {
        "items": [show(row) for row in items] if show else items,
        "next": _cursor(items[-1], names) if more else None,
    }


def _size(limit: int | None) -> int:
    if limit is None:
        return LIMIT
    if limit < 1:
        raise Invalid(f"A page has at least 1 item; limit is {limit}.", code="bad_limit", where="/limit")
    return min(limit, MOST)


def _order(model: type[Model], key: list[str]) -> tuple[list[str], bool]:
    names = [name.removeprefix("-") for name in key]
    primary = model._meta.pk.name
    if primary not in names and "pk" not in names:
        names.append(primary)
    return names, key[0].startswith("-")


def _beyond(names: list[str], values: list[Any], side: str) -> Q:
    """Return (a, b, …) < or > (x, y, …); the leading bound lets PostgreSQL start in the index."""
    after = Q()
    for place, name in enumerate(names):
        equal = {names[i]: values[i] for i in range(place)}
        after |= Q(**equal, **{f"{name}__{side}": values[place]})
    return Q(**{f"{names[0]}__{side}e": values[0]}) & after


def _field(model: type[Model], name: str) -> "Field[Any, Any]":
    return model._meta.pk if name == "pk" else model._meta.get_field(name)  # type: ignore[return-value]


def _cursor(row: Model, names: list[str]) -> str:
    return signing.dumps([_field(type(row), name).value_to_string(row) for name in names], salt=_SALT)


def _values(model: type[Model], names: list[str], cursor: str) -> list[Any]:
    try:
        texts = signing.loads(cursor, salt=_SALT)
        return [_field(model, name).to_python(text) for name, text in zip(names, texts, strict=True)]
    except (signing.BadSignature, ValidationError, ValueError, TypeError):
        raise Invalid(
            "That cursor does not belong to this list. Start again without a cursor.",
            code="bad_cursor",
            where="/cursor",
        ) from None
