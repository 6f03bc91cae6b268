"""Paths, what is made of them, and the ports that a step took are of any length: they follow from names that have limits.

Nothing is written anew but three indexes of few rows. Each table is altered by itself, so that nobody waits for two. A
worker keeps its statements prepared, and one that reads these columns would fail from then on: of the tables that it
reads so, the connections that knew the old columns are cut in the same transaction, and the worker asks again. What
Django asks is never prepared, so a connection whose last statement it wrote is left alone.
"""

from django.db import migrations, models

# What workers read by prepared statements, with what it was before.
READ = {
    "run": {"parent_path": 400},
    "step": {"path": 400, "port": 63},
    "call": {"key": 440, "path": 400, "idempotency_key": 440},
    "cacheentry": {"path": 400},
}
_ALTER = """
DO $$ BEGIN
    ALTER TABLE runs_{table} {columns};
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND pg_has_role(usesysid, 'USAGE') AND query !~ '^(SELECT|INSERT|UPDATE|DELETE) ';
END $$
"""


def _altered(table: str) -> migrations.RunSQL:
    forwards = ", ".join(f"ALTER {name} TYPE text" for name in READ[table])
    back = ", ".join(f"ALTER {name} TYPE varchar({most}) USING {name}::varchar({most})" for name, most in READ[table].items())
    return migrations.RunSQL(_ALTER.format(table=table, columns=forwards), _ALTER.format(table=table, columns=back))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0024_months_of_events_and_spans")]
    operations = [
        migrations.SeparateDatabaseAndState(
            [_altered("run")],
            [
                migrations.AlterField("run", "parent_path", models.TextField(blank=True, help_text="the step that started it", null=True)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [_altered("step")],
            [
                migrations.AlterField("step", "path", models.TextField()),
                migrations.AlterField("step", "port", models.TextField(blank=True, help_text="several of a Route are joined by commas", null=True)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [_altered("call")],
            [
                migrations.AlterField("call", "idempotency_key", models.TextField()),
                migrations.AlterField("call", "key", models.TextField()),
                migrations.AlterField("call", "path", models.TextField()),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [_altered("cacheentry")],
            [
                migrations.AlterField("cacheentry", "path", models.TextField()),
            ],
        ),
        migrations.AlterField("boardentry", "path", models.TextField()),
        migrations.AlterField("boardentry", "request", models.TextField(help_text="of a shared board: path@attempt that changed it", null=True)),
        migrations.AlterField("budgethold", "call", models.TextField()),
        migrations.AlterField("connectionuse", "call", models.TextField()),
        migrations.AlterField("event", "path", models.TextField(blank=True, null=True)),
        migrations.AlterField("eventwait", "request", models.TextField()),
        migrations.AlterField("ledgerentry", "call", models.TextField()),
        migrations.AlterField("ledgerentry", "path", models.TextField(help_text="path@attempt")),
        migrations.AlterField("note", "idempotency_key", models.TextField(unique=True)),
        migrations.AlterField("sentevent", "key", models.TextField()),
        migrations.AlterField("span", "path", models.TextField(blank=True, null=True)),
        migrations.AlterField("stepday", "port", models.TextField(null=True)),
        migrations.AlterField("steplock", "request", models.TextField()),
        migrations.AlterField("turn", "path", models.TextField()),
    ]
