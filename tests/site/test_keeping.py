"""A backup comes back whole, into a database of another owner, or says what is missing."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts import audit, second_line, secrets
from orchestrator_site import keeping
from orchestrator_site.keeping import CannotKeep
from tests.api.world import a_world
from tests.conftest import ROOT, database_url
from tests.web_role import as_the_web

pytestmark = pytest.mark.django_db(transaction=True)
COPY, KEEPER = "baton_kept", "baton_keeper"


def _manage(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def empty() -> Iterator[str]:
    """Return the address of an empty database, whose owner is no superuser."""
    name = f"{COPY}_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"DROP ROLE IF EXISTS {KEEPER}")
        cursor.execute(f"CREATE ROLE {KEEPER} LOGIN PASSWORD 'kept' IN ROLE baton_web, baton_worker")
        cursor.execute(f"CREATE DATABASE {name} OWNER {KEEPER}")
    parts = urlsplit(database_url())
    yield urlunsplit(parts._replace(netloc=f"{KEEPER}:kept@", path=f"/{name}"))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP ROLE {KEEPER}")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a backup of a workspace with one of everything."""
    world = a_world()
    secrets.put(world.team.workspace, "crm-key", "the value of it")
    for number in range(3):
        audit.record(world.team.workspace, world.team.dana, "noted", data={"number": number})
    file = tmp_path / "kept.tar"
    keeping.back_up(file)
    return file


def test_a_backup_comes_back_whole_and_can_be_backed_up_again(kept: Path, empty: str, tmp_path: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    done = _manage("restore", str(kept), DATABASE_URL=empty)
    assert done.returncode == 0, done.stderr
    assert "rows came back; the audit logs and the sums of the ledger are what they were" in done.stdout
    assert _manage("verify_audit", DATABASE_URL=empty).returncode == 0
    assert _manage("spending", DATABASE_URL=empty).returncode == 0
    again = tmp_path / "again.tar"
    done = _manage("backup", str(again), DATABASE_URL=empty)
    assert done.returncode == 0, done.stderr
    first, second = (keeping._unpacked(file, tmp_path) for file in (kept, again))
    for name in ("audit", "ledger"):
        assert first[name] == second[name]
    assert first["audit"]["acme"][0] >= 3
    assert first["ledger"]
    with psycopg.connect(empty) as there:
        there.execute("SET ROLE baton_web")
        assert there.execute("SELECT count(*) FROM accounts_secret").fetchone() == (0,)


def test_a_restore_says_which_key_is_missing(kept: Path, empty: str) -> None:
    done = _manage(
        "restore",
        str(kept),
        DATABASE_URL=empty,
        SECRET_KEY="x" * 50,
        BATON_ENCRYPTION_KEYS=Fernet.generate_key().decode(),
    )
    assert done.returncode == 1
    assert "No key here opens acme/" in done.stderr
    assert f"fingerprint {keeping._key()}" in done.stderr


def test_a_full_database_and_a_damaged_file_are_left_alone(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotKeep, match="is not empty"):
        keeping.restore(kept)
    with pytest.raises(CannotKeep, match="exists"):
        keeping.back_up(kept)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(kept.read_bytes()[:20_000])
    with pytest.raises(CannotKeep, match="no backup of Baton, or is cut off"):
        keeping._unpacked(cut, tmp_path)
    other = tmp_path / "other.tar"
    with tarfile.open(kept) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / keeping.DUMP).write_bytes(b"another")
    with tarfile.open(other, "w") as archive:
        for name in (keeping.DUMP, keeping.PROOF):
            archive.add(tmp_path / name, name)
    with pytest.raises(CannotKeep, match="damaged"):
        keeping._unpacked(other, tmp_path)


# Who keeps


def test_a_command_in_the_webs_environment_sees_every_workspace(kept: Path, tmp_path: Path) -> None:
    around = {"DATABASE_URL": database_url(), "BATON_DATABASE_ROLE": "baton_web"}
    done = _manage("rotate_secrets", **around)
    assert not done.stdout.startswith("0 "), done.stderr
    assert "acme: " in _manage("verify_audit", **around).stdout
    file = tmp_path / "from-the-web.tar"
    assert _manage("backup", str(file), **around).returncode == 0
    assert keeping._unpacked(file, tmp_path)["rows"]["accounts_secret"] > 0


@pytest.mark.parametrize("command", ["rotate_secrets", "verify_audit", "spending", "backup x.tar", "restore x.tar"])
def test_a_command_that_would_miss_rows_is_refused(command: str) -> None:
    with as_the_web(), second_line.everywhere(), pytest.raises(CommandError, match="does not see all rows of"):
        call_command(*command.split())


def test_tables_whose_policies_name_another_owner_are_not_kept(kept: Path, empty: str, tmp_path: Path) -> None:
    assert _manage("restore", str(kept), DATABASE_URL=empty).returncode == 0
    with psycopg.connect(empty) as there:
        there.execute("DROP POLICY worker_sees_all ON accounts_secret")
        there.execute("ALTER POLICY owner_sees_all ON accounts_secret TO pg_monitor")
    done = _manage("backup", str(tmp_path / "blind.tar"), DATABASE_URL=empty)
    assert done.returncode == 1
    assert "does not see all rows of accounts_secret," in done.stderr
    assert not (tmp_path / "blind.tar").exists()

    with connection.cursor() as cursor:
        cursor.execute("SET SESSION AUTHORIZATION baton_web")
        try:
            with pytest.raises(CannotKeep, match=r"does not see all rows of \d+ tables \("):
                keeping.back_up(tmp_path / "of-the-web.tar")
        finally:
            cursor.execute("RESET SESSION AUTHORIZATION")


# An older backup


def _told(file: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return the backup with a proof that says something else."""
    proof = keeping._unpacked(file, folder)
    change(proof)
    (folder / keeping.PROOF).write_text(json.dumps(proof))
    other = folder / "other.tar"
    with tarfile.open(other, "w") as archive:
        for name in (keeping.DUMP, keeping.PROOF):
            archive.add(folder / name, name)
    return other


def test_only_what_was_kept_is_compared(kept: Path, empty: str, tmp_path: Path) -> None:
    older = _told(kept, tmp_path, lambda proof: proof["rows"].pop("accounts_secret"))
    done = _manage("restore", str(older), DATABASE_URL=empty)
    assert done.returncode == 0, done.stderr


def test_a_table_that_did_not_come_back_is_named(kept: Path, empty: str, tmp_path: Path) -> None:
    other = _told(kept, tmp_path, lambda proof: proof["rows"].update(accounts_gone=1))
    done = _manage("restore", str(other), DATABASE_URL=empty)
    assert done.returncode == 1
    assert "did not come back: accounts_gone" in done.stderr


def test_a_proof_needs_no_column_but_its_own_and_names_the_one_that_is_missing(kept: Path, tmp_path: Path) -> None:
    tables = list(keeping._unpacked(kept, tmp_path)["rows"])
    for change, lacks in (
        ("ALTER TABLE accounts_workspace DROP COLUMN zone", ""),
        ("ALTER TABLE runs_ledgerentry RENAME COLUMN amount_micros TO amount", "amount_micros"),
    ):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(change)
            if lacks:
                with pytest.raises(CannotKeep, match=lacks):
                    keeping._came_back(tables)
            else:
                assert keeping._came_back(tables)["rows"]["accounts_secret"] > 0
            transaction.set_rollback(True)
