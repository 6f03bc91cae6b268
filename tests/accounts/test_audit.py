"""The audit chain: numbered without gaps per workspace, changed by nobody, broken rows named."""

import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from accounts import audit
from accounts.models import AuditEntry, Workspace
from tests.people import Team, a_workspace


def a_chain(workspace: Workspace, entries: int = 3) -> None:
    for number in range(1, entries + 1):
        audit.record(workspace, "alice@example.com", "pipeline_published", f"outreach@{number}", {"number": number})


def tamper(sql: str, *values: object) -> None:
    """Change the table as its owner could who first switches the triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER USER")
        cursor.execute(sql, values)
        cursor.execute("ALTER TABLE accounts_auditentry ENABLE TRIGGER USER")


def test_entries_are_numbered_and_chained_per_workspace(team: Team) -> None:
    a_chain(team.workspace, 3)
    a_chain(team.elsewhere, 2)
    entries = list(AuditEntry.objects.filter(workspace=team.workspace).order_by("seq"))
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert bytes(entries[0].prev) == b"\0"
    assert [bytes(e.prev) for e in entries[1:]] == [bytes(e.hash) for e in entries[:-1]]
    assert audit.verify(team.workspace) is None
    assert audit.verify(team.elsewhere) is None
    assert audit.head(team.elsewhere) == (2, bytes(AuditEntry.objects.last().hash).hex())  # type: ignore[union-attr]


def test_a_record_keeps_who_what_and_when(team: Team) -> None:
    audit.record(team.workspace, team.dana, "member_added", "bob@example.com", {"roles": ["reviewer"], "naïve": "“x”"})
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.target) == ("dana@example.com", "member_added", "bob@example.com")
    assert entry.data == {"roles": ["reviewer"], "naïve": "“x”"}
    assert entry.at.year > 2000
    assert audit.verify(team.workspace) is None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE accounts_auditentry SET actor = 'nobody'",
        "DELETE FROM accounts_auditentry",
    ],
)
def test_even_the_owner_can_change_nothing(team: Team, sql: str) -> None:
    a_chain(team.workspace)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_even_the_owner_cannot_truncate(team: Team) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute("TRUNCATE accounts_auditentry")


@pytest.mark.parametrize("role", ["baton_web", "baton_worker"])
def test_the_application_roles_may_only_add_and_read(team: Team, role: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute("SELECT set_config('baton.workspace', %s, true)", [str(team.workspace.pk)])
        a_chain(team.workspace)
        assert AuditEntry.objects.count() == 3
        for sql in ("UPDATE accounts_auditentry SET seq = 9", "DELETE FROM accounts_auditentry"):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                cursor.execute(sql)
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            cursor.execute("TRUNCATE accounts_auditentry")
        with pytest.raises(DatabaseError, match="must be owner"), transaction.atomic():
            cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER ALL")


@pytest.mark.parametrize(
    ("sql", "seq", "why"),
    [
        ("UPDATE accounts_auditentry SET actor = 'mallory' WHERE seq = 2", 2, "changed after"),
        ("UPDATE accounts_auditentry SET data = '{\"number\": 9}' WHERE seq = 3", 3, "changed after"),
        ("UPDATE accounts_auditentry SET at = at - interval '1 microsecond' WHERE seq = 1", 1, "changed after"),
        ("UPDATE accounts_auditentry SET actor = actor || '|x', action = 'y' WHERE seq = 2", 2, "changed after"),
        ("DELETE FROM accounts_auditentry WHERE seq = 2", 3, "missing"),
        ("DELETE FROM accounts_auditentry WHERE seq = 1", 2, "missing"),
        (
            "UPDATE accounts_auditentry SET actor = 'm', "
            "hash = audit_hash(prev, seq, at, workspace_id, 'm', action, target, data) WHERE seq = 2",
            3,
            "does not follow",
        ),
    ],
)
def test_verify_names_the_first_broken_entry(team: Team, sql: str, seq: int, why: str) -> None:
    a_chain(team.workspace, 4)
    tamper(sql)
    broken = audit.verify(team.workspace)
    assert broken is not None
    assert broken.seq == seq
    assert why in broken.why


def test_a_database_that_hashes_as_its_owner_likes_is_not_believed(team: Team) -> None:
    a_chain(team.workspace, 3)
    tamper("UPDATE accounts_auditentry SET actor = 'mallory' WHERE seq = 2")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION audit_hash(prev bytea, seq bigint, at timestamptz, workspace uuid, actor text, "
            "action text, target text, data jsonb) RETURNS bytea LANGUAGE sql STABLE AS $$ SELECT entry.hash FROM "
            "accounts_auditentry AS entry WHERE entry.workspace_id = $4 AND entry.seq = $2 $$"
        )
    broken = audit.verify(team.workspace)
    assert broken is not None
    assert (broken.seq, broken.why) == (2, "it was changed after it was written")


def test_a_long_chain_is_read_in_parts(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 3)
    a_chain(team.workspace, 7)
    assert audit.verify(team.workspace) is None
    tamper("UPDATE accounts_auditentry SET actor = 'mallory' WHERE seq = 6")
    broken = audit.verify(team.workspace)
    assert broken is not None
    assert broken.seq == 6


def test_the_command_says_what_is_whole_and_what_is_broken(team: Team) -> None:
    a_chain(team.workspace, 3)
    a_chain(team.elsewhere, 1)
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "acme: 3 entries, whole" in out.getvalue()
    tamper("UPDATE accounts_auditentry SET actor = 'mallory' WHERE seq = 2 AND workspace_id = %s", team.workspace.pk)
    errors = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", stdout=StringIO(), stderr=errors)
    assert "acme: broken at entry 2" in errors.getvalue()
    call_command("verify_audit", workspace="globex", stdout=StringIO())
    with pytest.raises(CommandError, match="no workspace"):
        call_command("verify_audit", workspace="nowhere")


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_moment_do_not_fork_the_chain() -> None:
    workspace = a_workspace()
    start = threading.Barrier(4)

    def write() -> None:
        try:
            start.wait()
            for number in range(15):
                with transaction.atomic():
                    audit.record(workspace, "worker", "counted", str(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 61))
    assert audit.verify(workspace) is None


def test_many_rows_of_one_statement_chain_too(team: Team) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditentry (workspace_id, actor, action, target, data)"
            " SELECT %s, 'worker', 'counted', n::text, '{}' FROM generate_series(1, 50) n",
            [team.workspace.pk],
        )
    assert audit.head(team.workspace)[0] == 50
    assert audit.verify(team.workspace) is None
