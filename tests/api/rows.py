"""What is in the database, counted, and a way to leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import connection, transaction


@contextmanager
def undone() -> Iterator[None]:
    """Roll back what happens inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rows() -> dict[str, int]:
    """Return how many rows each table has; one query."""
    tables = sorted(model._meta.db_table for model in apps.get_models() if model._meta.app_label != "sessions")
    with connection.cursor() as cursor:
        cursor.execute("select " + ", ".join(f'(select count(*) from "{table}")' for table in tables))
        return dict(zip(tables, cursor.fetchone(), strict=True))
