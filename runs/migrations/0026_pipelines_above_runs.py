"""Child runs say which pipelines stand above them, whose budgets hold what they spend; calls how many tokens they held.

Later ones learn it from their first owner. Of those under way or ended in the last two months it is written here, a few
thousand at a time, each in a transaction of its own and without waiting for a row that a worker has: budgets begin with
what a period has spent. It can be broken off and begun again.
"""

import time

import django.contrib.postgres.fields
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

AT_ONCE = 5_000
_WITHOUT = "above IS NULL AND parent_id IS NOT NULL AND (finished_at IS NULL OR finished_at > now() - interval '62 days')"
_SOME = f"""
WITH found AS (
  SELECT id FROM runs_run WHERE {_WITHOUT} LIMIT {AT_ONCE} FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs_run r SET above = (
  WITH RECURSIVE up AS (
    SELECT p.pipeline_id, p.parent_id FROM runs_run p WHERE p.id = r.parent_id
    UNION ALL
    SELECT p.pipeline_id, p.parent_id FROM up JOIN runs_run p ON p.id = up.parent_id
  )
  SELECT coalesce(array_agg(DISTINCT up.pipeline_id) FILTER (WHERE up.pipeline_id <> r.pipeline_id), '{{}}') FROM up
) FROM found WHERE r.id = found.id
"""
_LEFT = f"SELECT EXISTS (SELECT FROM runs_run WHERE {_WITHOUT})"


def say_what_is_above(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_SOME)
            if cursor.rowcount:
                continue
            cursor.execute(_LEFT)
            if not cursor.fetchone()[0]:
                return
            time.sleep(0.1)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('runs', '0025_paths_and_ports_of_any_length'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='above',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, help_text='of a child: the other pipelines whose runs stand above it, from its first claim on; see claims', null=True, size=None),
        ),
        migrations.AddField(
            model_name='call',
            name='reserved_tokens',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('above__isnull', False)), fields=['workspace', 'finished_at'], name='runs_below_pipelines'),
        ),
        migrations.RunPython(say_what_is_above, migrations.RunPython.noop, elidable=True),
    ]
