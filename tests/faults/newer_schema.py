"""The schema of a newer version: a migration of every kind that the rules allow, on the tables that grow most."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from accounts import privileges
from tests.migration_rules import broken

WIDENED = import_module("runs.migrations.0025_paths_and_ports_of_any_length")
WRITTEN = ("run", "step", "call", "event", "span", "inbox", "ledgerentry")
NOT_BELOW_ZERO = models.Q(cost_micros__gte=0)


def migrations() -> Iterator[Migration]:
    """Yield them in the order in which a newer version would bring them."""
    spare, number = models.TextField(null=True), models.IntegerField(db_default=7)
    yield _migration("nullable", *(operations.AddField(name, "spare", spare) for name in WRITTEN))
    yield _migration("defaults", *(operations.AddField(name, "spare_number", number) for name in WRITTEN))
    key, run = models.BigAutoField(primary_key=True), models.ForeignKey("runs.Run", models.CASCADE)
    yield _migration("table", operations.CreateModel("Extra", [("id", key), ("run", run)]))
    yield _migration("indexes", *(AddIndexConcurrently(name, _index(name)) for name in ("run", "step", "call")))
    checked = ("run", "step", "call")
    yield _migration("checks", *(AddConstraintNotValid(name, _check(name)) for name in checked))
    yield _migration("checked", *(ValidateConstraint(name, _check(name).name) for name in checked))
    yield _migration("wider", _wider("step", title=200), _wider("call", name=128))
    yield _migration("versions", operations.AddField("pipelineversion", "spare", spare), app="pipelines")


def _migration(name: str, *steps: Any, app: str = "runs") -> Migration:
    made = Migration(f"9999_{name}", app)
    made.operations, made.atomic = list(steps), False
    return made


def _index(model: str) -> models.Index:
    return models.Index(fields=["spare", "cost_micros"], name=f"{model}_by_spare")


def _check(model: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=NOT_BELOW_ZERO, name=f"{model}_costs_not_below_zero")


def _wider(table: str, **columns: int) -> operations.RunSQL:
    """Widen columns as the code of this version did with others, and cut who had prepared statements on them."""
    forwards = ", ".join(f"ALTER {name} TYPE text" for name in columns)
    back = ", ".join(f"ALTER {name} TYPE varchar({most})" for name, most in columns.items())
    return operations.RunSQL(*(WIDENED._ALTER.format(table=table, columns=said) for said in (forwards, back)))


class Schema:
    """The schema of the test database, which grows under those who work with it, and is put back afterwards."""

    def __init__(self) -> None:
        self._state: ProjectState = MigrationLoader(connection).project_state()
        self._applied: list[tuple[Migration, ProjectState]] = []

    def grow(self, migration: Migration) -> None:
        """Apply one, as `prepare` does; fail when the rules would not have let it in."""
        assert broken(migration, self._state) == []
        self._applied.append((migration, self._state))
        with connection.schema_editor(atomic=False) as editor:
            self._state = migration.apply(self._state.clone(), editor)
        MigrationRecorder(connection).record_applied(migration.app_label, migration.name)
        privileges.grant("default")

    def put_back(self) -> None:
        for migration, before in reversed(self._applied):
            with connection.schema_editor(atomic=False) as editor:
                migration.unapply(before.clone(), editor)
            MigrationRecorder(connection).record_unapplied(migration.app_label, migration.name)
