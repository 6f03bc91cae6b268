"""The second line of defence: which workspace's rows the web's database role may see at this moment.

The first line is `accounts.access.scoped`. Should a query forget it, PostgreSQL shows the role `baton_web` the rows of
one workspace alone (`accounts.policies`): the one this context has entered, and without one none. adr/0018 says why.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection
from psycopg.pq import TransactionStatus

SETTING = "baton.workspace"
NOWHERE, EVERYWHERE = "", "any"

_place: ContextVar[str] = ContextVar("baton_workspace", default=NOWHERE)


def enter(workspace_id: UUID) -> None:
    """See this workspace's rows from now on, until `leave`: for a request or a socket that knows its actor."""
    _place.set(str(workspace_id))


def leave() -> None:
    """See no workspace's rows."""
    _place.set(NOWHERE)


@contextmanager
def within(workspace_id: UUID) -> Iterator[None]:
    """See this workspace's rows inside, and afterwards what was seen before."""
    before = _place.set(str(workspace_id))
    try:
        yield
    finally:
        _place.reset(before)


@contextmanager
def everywhere() -> Iterator[None]:
    """See all workspaces' rows inside: to find out whose request this is, and for nothing that is shown."""
    before = _place.set(EVERYWHERE)
    try:
        yield
    finally:
        _place.reset(before)


@dataclass(slots=True)
class _Told:
    """What a connection was told: for its whole session, and whether its transaction was told otherwise, what last."""

    session: str = NOWHERE
    in_transaction: bool = False
    transaction: str | None = None  # None: to be said again


_told: WeakKeyDictionary[Connection[Any], _Told] = WeakKeyDictionary()


def tell(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Tell the connection where this context is, if it was told otherwise, before it executes a statement."""
    raw = context["connection"].connection
    told = _told.setdefault(raw, _Told())
    first_words = sql[:16].lower() if isinstance(sql, str) else ""
    if first_words.startswith(("rollback to", "set transaction ")):
        # Nothing may be said before the second, which PostgreSQL takes at the beginning only.
        told.transaction = None
    elif raw.info.transaction_status != TransactionStatus.INERROR:
        _tell(raw, told, _place.get())
    return execute(sql, params, many, context)


def _tell(raw: Connection[Any], told: _Told, place: str) -> None:
    """A setting of the session would be undone by a rollback without a word here, so a transaction gets its own.

    It ends with the transaction, or with the rollback to a savepoint; after one it is said again.
    """
    idle = raw.info.transaction_status == TransactionStatus.IDLE
    told.in_transaction = told.in_transaction and not idle
    if place == (told.transaction if told.in_transaction else told.session):
        return
    local = not (idle and raw.autocommit)
    raw.execute("SELECT set_config(%s, %s, %s)", [SETTING, place, local])
    if local:
        told.in_transaction, told.transaction = True, place
    else:
        told.session = place


def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have every statement of this connection told where it is; called when the web's process connects."""
    if tell not in connection.execute_wrappers:
        connection.execute_wrappers.append(tell)
