"""One moment of the database for everything that a page or an answer adds up."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Make all that is read inside one moment, so that totals and rows agree. Nothing can be written inside.

    Inside another snapshot it is that one. Inside another transaction (a test's) the level is that one's: PostgreSQL
    takes it only as the first statement.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read, read only")
        yield
