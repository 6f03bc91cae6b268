"""Backup and restore: the whole database in one file, beside it what has to be true of it once it is back."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.conninfo import make_conninfo

from accounts import audit, policies, secrets
from accounts.models import Secret, Workspace
from orchestrator_site.embedded import postgres

FORMAT = 1
DUMP, PROOF = "database.dump", "proof.json"
_OWN = (" POLICY ", " ROW SECURITY ", " COMMENT - POLICY ", " COMMENT - EXTENSION ")
"""What a restore does not take from the dump: policies name the owner, and are made anew for the one there is."""

_HEADS = """
SELECT w.slug, w.id, coalesce(last.seq, 0), coalesce(encode(last.hash, 'hex'), '') FROM accounts_workspace AS w
LEFT JOIN LATERAL (
    SELECT seq, hash FROM accounts_auditentry WHERE workspace_id = w.id ORDER BY seq DESC LIMIT 1
) AS last ON true ORDER BY w.slug
"""
_LEDGER = (
    "SELECT kind, count(*), coalesce(sum(amount_micros), 0)::bigint FROM runs_ledgerentry GROUP BY kind ORDER BY kind"
)


class CannotKeep(Exception):
    """A backup or a restore is not possible, or is not what it should be; the message says why."""


def back_up(file: Path) -> dict[str, Any]:
    """Write the database and its proof, both of the same moment, to a new file (mode 0600); return the proof."""
    if file.exists():
        raise CannotKeep(f"{file} exists. Name a new file.")
    _refuse_blind()
    with tempfile.TemporaryDirectory(dir=file.parent) as folder, _snapshot() as name:
        dump = Path(folder, DUMP)
        asked = ["--format=custom", "--no-owner", "--no-privileges", "--enable-row-security", f"--snapshot={name}"]
        _run("pg_dump", [*asked, f"--file={dump}"])
        proof = _proof(_tables()) | {"format": FORMAT, "dump": _digest(dump), "key": _key()}
        draft = Path(folder, "draft")
        draft.touch(mode=0o600)
        with tarfile.open(draft, "w") as archive:
            archive.add(dump, DUMP)
            said = json.dumps(proof, indent=1).encode()
            entry = tarfile.TarInfo(PROOF)
            entry.size = len(said)
            archive.addfile(entry, io.BytesIO(said))
        draft.rename(file)
    return proof


def restore(file: Path) -> dict[str, Any]:
    """Bring a backup into this installation's empty database, then to what this code expects; return its proof.

    Raises CannotKeep when the database is not empty, the file is broken, or what came back is not what was there.
    """
    _refuse_full()
    with tempfile.TemporaryDirectory() as folder:
        proof = _unpacked(file, Path(folder))
        with connection.cursor() as cursor:
            cursor.execute(import_module("accounts.migrations.0003_database_roles").FORWARDS)
        contents = _run("pg_restore", ["--list", str(Path(folder, DUMP))], connects=False)
        wanted = Path(folder, "contents")
        wanted.write_text("\n".join(line for line in contents.splitlines() if not any(own in line for own in _OWN)))
        asked = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", f"--use-list={wanted}"]
        _run("pg_restore", [*asked, f"--dbname={_address()}", str(Path(folder, DUMP))])
    differ = [name for name, value in _came_back(list(proof["rows"])).items() if value != proof[name]]
    if differ:
        raise CannotKeep(f"What came back differs from what was kept: {', '.join(differ)}. Empty the database again.")
    call_command("migrate", interactive=False, verbosity=0)
    return proof


def unreadable() -> list[str]:
    """Return the secrets that none of this installation's keys opens, as workspace/name."""
    found = []
    for secret in Secret.objects.select_related("workspace").order_by("workspace__slug", "name").iterator():
        try:
            secrets.unseal(bytes(secret.ciphertext))
        except ImproperlyConfigured:
            found.append(f"{secret.workspace.slug}/{secret.name}")
    return found


@contextmanager
def _snapshot() -> Iterator[str]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def _tables() -> list[str]:
    """Return the tables of the models that stand."""
    standing = set(connection.introspection.table_names())
    models = apps.get_models(include_auto_created=True)
    return sorted({model._meta.db_table for model in models} & standing)


def _proof(tables: list[str]) -> dict[str, Any]:
    """Return what a backup and what comes of it must agree in.

    It asks for nothing by a model: what came back is as it was kept, and today's models may have more columns.
    """
    with connection.cursor() as cursor:
        rows = {table: _counted(cursor, table) for table in tables}
        cursor.execute(_HEADS)
        heads = cursor.fetchall()
        cursor.execute(_LEDGER)
        ledger = {kind: [count, total] for kind, count, total in cursor.fetchall()}
    return {
        "rows": rows,
        "audit": {slug: [seq, digest] for slug, _, seq, digest in heads},
        "audit_broken": {slug: found.why for slug, pk, *_ in heads if (found := audit.verify(Workspace(pk=pk)))},
        "ledger": ledger,
    }


def _counted(cursor: CursorWrapper, table: str) -> int:
    asked = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    cursor.execute(asked.as_string(cursor.connection))
    (count,) = cursor.fetchone()
    return int(count)


def _came_back(tables: list[str]) -> dict[str, Any]:
    """Return the proof over the tables that were kept; raise CannotKeep when one of them, or a column, is not there."""
    missing = sorted(set(tables) - set(connection.introspection.table_names()))
    if missing:
        raise CannotKeep(f"These tables did not come back: {', '.join(missing)}. Empty the database again.")
    try:
        return _proof(tables)
    except DatabaseError as error:
        raise CannotKeep(f"What came back cannot be read: {str(error).splitlines()[0]}. Empty it again.") from error


def _key() -> str:
    """Return a fingerprint of the key that encrypts here, so that a restore can say which key is wanted."""
    named = settings.ENCRYPTION_KEYS[0] if settings.ENCRYPTION_KEYS else settings.SECRET_KEY
    return hashlib.sha256(b"baton key " + named.encode()).hexdigest()[:12]


def _refuse_blind() -> None:
    """pg_dump, which connects as the login, leaves out without a word what row level security hides from it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        (login,) = cursor.fetchone()
        hidden = policies.hidden(cursor, login)
    if hidden:
        raise CannotKeep(
            f"The database role {login} does not see all rows of {len(hidden)} tables ({', '.join(hidden[:3])}"
            f"{', …' if hidden[3:] else ''}), so the backup would lack some. Back up as the owner of the tables; "
            "if that is another one than it was, run manage.py migrate first."
        )


def _refuse_full() -> None:
    standing = connection.introspection.table_names()
    if standing:
        raise CannotKeep(
            f"The database {connection.settings_dict['NAME']} is not empty ({len(standing)} tables). Create a new one, "
            "and name it in DATABASE_URL."
        )


def _unpacked(file: Path, folder: Path) -> dict[str, Any]:
    try:
        with tarfile.open(file) as archive:
            for name in (DUMP, PROOF):
                archive.extract(name, folder, filter="data")
        proof: dict[str, Any] = json.loads(Path(folder, PROOF).read_text())
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise CannotKeep(f"{file} is no backup of Baton, or is cut off: {error}") from error
    if proof.get("format") != FORMAT or proof.get("dump") != _digest(Path(folder, DUMP)):
        raise CannotKeep(f"{file} is damaged: its dump is not the one its proof tells of.")
    return proof


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _address() -> str:
    """Return libpq's words for the database, without its password."""
    parameters = connection.get_connection_params()
    known = ("dbname", "user", "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey")
    return make_conninfo(**{name: value for name, value in parameters.items() if name in known and value})


def _run(program: str, arguments: list[str], *, connects: bool = True) -> str:
    """Run one of PostgreSQL's programs; the password goes by its environment, where no list of processes shows it."""
    if connects and program == "pg_dump":
        arguments = [*arguments, f"--dbname={_address()}"]
    environment = {**os.environ, "PGPASSWORD": str(connection.settings_dict["PASSWORD"])}
    done = subprocess.run([_program(program), *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotKeep(f"{program} failed: {done.stderr.strip()}")
    return done.stdout


def _program(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
        (server,) = cursor.fetchone()
    found = postgres.program(name, server) or shutil.which(name)
    if not found:
        raise CannotKeep(f"There is no {name} on this machine. Install PostgreSQL's client programs.")
    return str(found)
