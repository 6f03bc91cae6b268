"""Empties the database after a transactional test: rows are deleted where little was written, else tables truncated."""

import time
from typing import Any

from django.db import OperationalError, connections, transaction
from django.test import TransactionTestCase

KEPT = ("django_migrations", "django_content_type", "auth_permission")
"""What migrations wrote and no test changes: without it each emptying would have to send `post_migrate`."""

MUCH_BYTES = 1024 * 1024

_TABLES = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> ALL(%s) ORDER BY relname
"""
_WRITTEN = """
SELECT name, pg_table_size(name::regclass) FROM unnest(%s::text[]) AS name WHERE pg_relation_size(name::regclass) > 0
"""


def empty_database(alias: str) -> None:
    """Empty every table; whoever still writes meanwhile ends first, and what they wrote goes too."""
    for attempt in range(5):
        try:
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                _empty(cursor)
            return
        except OperationalError:  # a deadlock with a worker that polls meanwhile
            if attempt == 4:
                raise
            time.sleep(0.2)


def _empty(cursor: Any) -> None:
    cursor.execute("SET LOCAL session_replication_role = replica")  # the audit log refuses it to everybody else
    cursor.execute(_TABLES, [list(KEPT)])
    tables = [name for (name,) in cursor.fetchall()]
    cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    cursor.execute(_WRITTEN, [tables])
    written = dict(cursor.fetchall())
    if max(written.values(), default=0) > MUCH_BYTES:  # what is deleted leaves its pages behind
        cursor.execute(f"TRUNCATE {', '.join(tables)}")
    elif written:
        cursor.execute("; ".join(f"DELETE FROM {name}" for name in written))


def empties_after_a_test(case: TransactionTestCase) -> None:
    """Stand in for `TransactionTestCase._fixture_teardown`."""
    for alias in case._databases_names(include_mirrors=False):
        empty_database(alias)
