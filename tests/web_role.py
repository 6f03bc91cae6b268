"""The database role of the web, taken on in a test's own connection: what it may not do or see, the test cannot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from psycopg.pq import TransactionStatus

from accounts import second_line


@contextmanager
def as_the_web() -> Iterator[None]:
    """Act as `baton_web` inside, told of the workspace as the web's connections are. A test without a database may."""
    taken: list[Any] = []

    def acting(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        raw = context["connection"].connection
        if raw not in taken and raw.info.transaction_status != TransactionStatus.INERROR:
            taken.append(raw)
            raw.execute("SET ROLE baton_web")
            _take_nothing_as_said(raw)
        return second_line.tell(execute, sql, params, many, context)

    with connection.execute_wrapper(acting):
        try:
            yield
        finally:
            for raw in taken:
                if not raw.closed and raw.info.transaction_status != TransactionStatus.INERROR:
                    raw.execute("RESET ROLE")


def _take_nothing_as_said(raw: Any) -> None:
    """Have the workspace said again: since the last request the test may have gone back to a savepoint."""
    if told := second_line._told.get(raw):
        told.transaction = None
