"""What the columns of a commit's rows can hold, as the models say it, and which of its values do not fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from runs.effects import Insert, StartRun
from runs.models import BudgetHold, CacheEntry, Call, Event, LedgerEntry, Run, Span, Step, Turn
from runs.store import Commit

PARTS: Mapping[str, type[models.Model]] = {
    "events": Event,
    "steps": Step,
    "calls": Call,
    "ledger": LedgerEntry,
    "spans": Span,
    "holds": BudgetHold,
    "results": CacheEntry,
    "turns": Turn,
}
# PostgreSQL takes no entry of an index that is larger than a third of a page.
LARGEST_ENTRY = 2_700


def misfits(commit: Commit) -> list[str]:
    """Return the values that a commit would write and the database would not take, each with its column."""
    return [f"{where}: {str(value)[:80]}" for model, row in _rows(commit) for where, value in _too_wide(model, row)]


def _rows(commit: Commit) -> Iterator[tuple[type[models.Model], Mapping[str, Any]]]:
    yield Run, commit.run
    for part, model in PARTS.items():
        for row in getattr(commit, part):
            yield model, row
    tables = {model._meta.db_table: model for model in apps.get_models()}
    for row in commit.rows:
        match row:
            case Insert(table, values):
                yield tables[table], values
            case StartRun(values):
                yield Run, values


def _too_wide(model: type[models.Model], row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    fields = {field.column: field for field in model._meta.concrete_fields}
    for name, value in row.items():
        if name in fields and not _fits(fields[name], value):
            yield f"{model.__name__}.{name}", value
    for columns in _indexed(model):
        texts = [row[name] for name in columns if isinstance(row.get(name), str)]
        if sum(len(text.encode()) for text in texts) > LARGEST_ENTRY:
            yield f"{model.__name__}'s index of {', '.join(columns)}", texts


def _fits(field: Any, value: Any) -> bool:
    if value is None or isinstance(field, models.JSONField):
        return True
    if isinstance(field, ArrayField):
        return all(_fits(field.base_field, one) for one in value)
    if isinstance(field, models.CharField):
        return field.max_length is None or len(value) <= field.max_length
    if isinstance(field, models.IntegerField):
        least, most = connection.ops.integer_field_range(field.get_internal_type())
        return (least is None or least <= value) and (most is None or value <= most)
    return True


def _indexed(model: type[models.Model]) -> Iterator[list[str]]:
    """Yield the columns of each of a model's indexes."""
    for index in (*model._meta.constraints, *model._meta.indexes):
        names = [name.lstrip("-") for name in (*getattr(index, "fields", ()), *(getattr(index, "include", None) or ()))]
        yield [str(model._meta.get_field(name).column) for name in names]  # type: ignore[union-attr]
    yield from ([field.column] for field in model._meta.concrete_fields if field.unique or field.db_index)
