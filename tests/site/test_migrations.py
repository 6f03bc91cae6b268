"""Migrations keep to what the operator's guide promises: the version before goes on while they run, and afterwards."""

import re
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Now, Random

from tests.conftest import ROOT
from tests.migration_rules import CONTRACTS, GROWING, broken

KEPT_SINCE = {
    "accounts": "0015_attempts_by_client",
    "approvals": "0005_paths_of_any_length",
    "evals": "0004_judges_of_all_pipelines_are_for_admins",
    "notices": "0003_alert_rules",
    "pipelines": "0012_probes_of_any_length",
    "runs": "0026_pipelines_above_runs",
}
"""The newest migration of each app when the rules began to be checked. It stays: what came before has been run."""

RELEASED = re.findall(r"^## (?!Unreleased)\[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_every_migration_since_keeps_to_the_rules() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    assert all((app, name) in loader.disk_migrations for app, name in KEPT_SINCE.items())
    for app in KEPT_SINCE:
        for key in newer(loader, app):
            before = loader.project_state(key, at_end=False)
            assert broken(loader.disk_migrations[key], before, RELEASED) == [], key


def newer(loader: MigrationLoader, app: str) -> list[tuple[str, str]]:
    mine = sorted(key for key in loader.disk_migrations if key[0] == app)
    return mine[mine.index((app, KEPT_SINCE[app])) + 1 :]


def test_every_app_of_ours_is_looked_at_and_every_table_that_grows_is_one() -> None:
    ours = {config.label for config in apps.get_app_configs() if (ROOT / config.name / "migrations").is_dir()}
    assert set(KEPT_SINCE) == ours
    assert {model._meta.label_lower for model in apps.get_models()} >= GROWING


# The rules, each on a migration made up for it


def before() -> ProjectState:
    """A run and a calendar: one table that grows with every run, one that does not."""
    state = ProjectState()
    key = ("id", models.BigAutoField(primary_key=True))
    fields = [key, ("name", models.CharField(max_length=20)), ("note", models.TextField(null=True))]
    state.add_model(ModelState("runs", "Run", fields))
    state.add_model(ModelState("runs", "Calendar", fields))
    return state


def said_of(*operations: Any, released: tuple[str, ...] = (), **attributes: Any) -> str:
    migration = type("Migration", (Migration,), {"operations": list(operations), **attributes})("made_up", "runs")
    return "; ".join(broken(migration, before(), released))


ONE = models.CheckConstraint(condition=models.Q(name__gt=""), name="named")
INDEX = models.Index(fields=["name"], name="by_name")
ALLOWED = {
    "a column that may be null": migrations.AddField("Run", "spare", models.TextField(null=True)),
    "a column with a default of the database": migrations.AddField("Run", "spare", models.IntegerField(db_default=7)),
    "a moment as default": migrations.AddField("Run", "spare", models.DateTimeField(db_default=Now())),
    "a table": migrations.CreateModel("Extra", [("id", models.BigAutoField(primary_key=True))]),
    "an index, concurrently": AddIndexConcurrently("Run", INDEX),
    "an index on few rows": migrations.AddIndex("Calendar", INDEX),
    "a check, not valid": AddConstraintNotValid("Run", ONE),
    "the validation of an older check": ValidateConstraint("Run", "older"),
    "a wider column of few rows": migrations.AlterField("Calendar", "name", models.TextField()),
    "another word of help": migrations.AlterField("Run", "name", models.CharField(max_length=20, help_text="whose")),
    "a column that may be null from now on": migrations.AlterField(
        "Run", "name", models.CharField(max_length=20, null=True)
    ),
    "only the state": migrations.SeparateDatabaseAndState([], [migrations.RemoveField("Run", "note")]),
    "an index by SQL": migrations.RunSQL("create index concurrently x on runs_run (name)"),
    "a check by SQL": migrations.RunSQL("ALTER TABLE runs_run ADD CONSTRAINT x CHECK (name > '') NOT VALID"),
    "few rows by SQL": migrations.RunSQL([("UPDATE runs_calendar SET name = %s", ["x"])]),
    "a type, with a cut": migrations.RunSQL(
        "ALTER TABLE runs_run ALTER name TYPE text; SELECT pg_terminate_backend(1)"
    ),
}
REFUSED = {
    "removed": migrations.RemoveField("Run", "note"),
    "dropped": migrations.DeleteModel("Calendar"),
    "may be null no longer": migrations.AlterField("Calendar", "note", models.TextField()),
    "SQL says DROP COLUMN": migrations.RunSQL("alter table runs_run drop column note"),
    "SQL says DROP TABLE": migrations.RunSQL("DROP TABLE runs_calendar"),
    "SQL says SET NOT NULL": migrations.RunSQL("ALTER TABLE runs_run ALTER note SET NOT NULL"),
    "runs.run: RenameField takes a name": migrations.RenameField("Run", "name", "title"),
    "runs.calendar: RenameModel takes a name": migrations.RenameModel("Calendar", "Almanac"),
    "runs.run: AlterModelTable takes a name": migrations.AlterModelTable("Run", "all_runs"),
    "needs null or db_default": migrations.AddField("Calendar", "spare", models.TextField(default="x")),
    "made for each row": migrations.AddField("Run", "spare", models.FloatField(db_default=Random())),
    "brings an index": migrations.AddField("Run", "spare", models.TextField(null=True, db_index=True)),
    "brings an index or a foreign key": migrations.AddField(
        "Run", "spare", models.ForeignKey("runs.Calendar", models.CASCADE, null=True, db_index=False)
    ),
    "gets another column": migrations.AlterField("Run", "name", models.CharField(max_length=20, db_column="title")),
    "statements that workers prepared": migrations.AlterField("Run", "name", models.TextField()),
    "becomes varchar(9)": migrations.AlterField("Calendar", "name", models.CharField(max_length=9)),
    "runs.run.name gets an index": migrations.AlterField("Run", "name", models.CharField(max_length=20, db_index=True)),
    "by_name under a lock": migrations.AddIndex("Run", INDEX),
    "gets named and is read": migrations.AddConstraint("Calendar", ONE),
    "AlterUniqueTogether makes or drops": migrations.AlterUniqueTogether("Run", {("name", "note")}),
    "say CONCURRENTLY": migrations.RunSQL("create unique index x on runs_run (name)"),
    "say NOT VALID": migrations.RunSQL("ALTER TABLE runs_run ADD CONSTRAINT x CHECK (name > '')"),
    "UPDATE RUNS_RUN SET: rows": migrations.RunSQL([("UPDATE runs_run SET name = %s", ["x"])]),
    "DELETE FROM RUNS_RUN: rows": migrations.RunSQL("delete from runs_run where name = ''"),
    "SQL says RENAME": migrations.RunSQL("ALTER TABLE runs_run RENAME name TO title"),
    "cuts nobody's connections": migrations.RunSQL("ALTER TABLE runs_run ALTER COLUMN name TYPE text"),
    "SQL says DROP COLUMN ": migrations.SeparateDatabaseAndState(
        [migrations.RunSQL("ALTER TABLE x DROP COLUMN y")], []
    ),
}
CONTRACTING = ("removed", "dropped", "may be null no longer", "SQL says DROP", "SQL says SET NOT NULL")


@pytest.mark.parametrize("operation", ALLOWED.values(), ids=ALLOWED)
def test_what_the_code_before_survives_is_allowed(operation: Any) -> None:
    assert said_of(operation) == ""


@pytest.mark.parametrize(("words", "operation"), REFUSED.items(), ids=REFUSED)
def test_what_the_code_before_would_not_survive_is_refused(words: str, operation: Any) -> None:
    assert words.strip() in said_of(operation)


def test_a_check_is_validated_in_a_later_migration() -> None:
    assert "validated by the migration that adds it" in said_of(
        AddConstraintNotValid("Run", ONE), ValidateConstraint("Run", "named")
    )


def test_a_table_that_the_migration_itself_makes_may_be_made_in_steps() -> None:
    made = migrations.CreateModel("Turn", [("id", models.BigAutoField(primary_key=True)), ("old", models.TextField())])
    steps = (
        migrations.AddIndex("Turn", models.Index(fields=["id"], name="x")),
        migrations.RenameField("Turn", "old", "new"),
    )
    assert said_of(made, *steps) == ""


@pytest.mark.parametrize(("model", "is_refused"), [("Run", True), ("Calendar", False)])
def test_python_over_a_table_that_grows_is_refused(tmp_path: Any, model: str, is_refused: bool) -> None:
    file = tmp_path / "filling.py"
    file.write_text(f"def fill(apps, editor):\n    apps.get_model('runs', '{model}').objects.update(name='')\n")
    module = ModuleType("filling")
    module.__file__ = str(file)
    exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
    said = said_of(migrations.RunPython(module.fill, migrations.RunPython.noop))
    assert ("batches by the workers' poll" in said) is is_refused


@pytest.mark.parametrize(("words", "operation"), REFUSED.items(), ids=REFUSED)
def test_the_contract_half_names_the_release_since_which_nobody_needs_what_goes(words: str, operation: Any) -> None:
    is_right = words.startswith(CONTRACTING)
    assert (said_of(operation, released=("1.4",), **{CONTRACTS: "1.4"}) == "") is is_right
    assert "names 1.5, which was not released" in said_of(operation, released=("1.4",), **{CONTRACTS: "1.5"})
