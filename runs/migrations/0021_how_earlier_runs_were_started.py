"""Of earlier runs it is known how those of other runs and forks were started.

They are written a few thousand at a time, each in a transaction of its own and without waiting for a row that a worker
has: runs go on meanwhile. It can be broken off and begun again.
"""

import time

from django.db import migrations

AT_ONCE = 5_000
_WITHOUT = "via = '' AND (parent_id IS NOT NULL OR forked_from_id IS NOT NULL)"
_SOME = f"""
UPDATE runs_run SET via = CASE WHEN parent_id IS NOT NULL THEN 'pipeline' ELSE 'fork' END WHERE id IN (
  SELECT id FROM runs_run WHERE {_WITHOUT} LIMIT {AT_ONCE} FOR NO KEY UPDATE SKIP LOCKED
)
"""
_LEFT = f"SELECT EXISTS (SELECT FROM runs_run WHERE {_WITHOUT})"


def say_how(apps, schema_editor):
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
        ('runs', '0020_prices_of_runs'),
    ]

    operations = [
        migrations.RunPython(say_how, migrations.RunPython.noop, elidable=True),
    ]
