"""The logins by which processes reach the database: the web's and the workers' own, from which no way leads up."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

WEB_NAME, WORKER_NAME = "baton web", "baton worker"

_OWNERS = """
SELECT DISTINCT application_name, usename FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE ANY(%s)
    AND pg_has_role(usesysid, (SELECT relowner FROM pg_class WHERE oid = 'accounts_workspace'::regclass), 'MEMBER')
ORDER BY application_name, usename
"""
# Of a login that the one who asks is no member of, PostgreSQL shows the name alone; the owner's own it shows whole.


def name_process(name: str) -> None:
    """Have the database know this process's connections by a name: `as_the_owner` finds them by it.

    What the address or the environment calls them stands after it. To be said before the first of them is opened.
    """
    own = connection.settings_dict["OPTIONS"].pop("application_name", os.environ.get("PGAPPNAME", ""))
    os.environ["PGAPPNAME"] = own if own.startswith(name) else ", ".join(filter(None, [name, own]))


def give(role: str, password: str | None) -> None:
    """Let a role sign in with this password, of which only a SCRAM verifier is sent; call as the owner.

    With None no password lets it in, nor one of before: the server has another way, as a certificate. Raises
    ImproperlyConfigured when the owner may not.
    """
    connection.ensure_connection()
    raw = connection.connection
    verifier = None
    if password is not None:
        verifier = raw.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    try:
        raw.execute(statement)
    except InsufficientPrivilege as error:
        raise ImproperlyConfigured(
            f"The owner may not give the role {role} a login. As a superuser: ALTER ROLE {role} LOGIN PASSWORD '…', or "
            "PASSWORD NULL for a login without one; then leave its password, and BATON_DATABASE_LOGINS, out here."
        ) from error


def as_the_owner() -> list[tuple[str, str]]:
    """Return the name and the login of each process now connected that could become the owner of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(_OWNERS, [[f"{name}%" for name in (WEB_NAME, WORKER_NAME)]])
        return [(name, login) for name, login in cursor.fetchall()]
