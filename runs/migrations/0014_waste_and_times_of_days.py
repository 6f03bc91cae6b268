"""Days know unused and repeated work, how long steps took, and by whom, how and with which tags runs were started.

What was booked before does not say so; it is booked again.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# With the lock of the books: what a worker booked in between would lose its mark and be booked a second time.
AGAIN = """
SELECT pg_advisory_xact_lock(7305411);
DELETE FROM runs_runday;
DELETE FROM runs_spendday WHERE NOT is_sealed;
DELETE FROM runs_spendvisit WHERE NOT is_sealed;
UPDATE runs_run SET booked_at = NULL WHERE booked_at IS NOT NULL AND trimmed_at IS NULL;
"""
TRIMMED = """
INSERT INTO runs_runday (workspace_id, day, pipeline_id, state, is_child, rehearsal, person, trigger, tags,
  runs, cost, peak, unconfirmed, capped)
SELECT r.workspace_id, (r.created_at AT TIME ZONE b.zone)::date, r.pipeline_id, r.state, r.parent_id IS NOT NULL,
  r.rehearsal, r.started_by_id,
  CASE WHEN r.parent_id IS NOT NULL THEN 'pipeline' WHEN r.forked_from_id IS NOT NULL THEN 'fork'
    WHEN r.rehearsal AND r.via IN ('', 'form', 'api', 'command') THEN 'rehearsal'
    WHEN r.via <> '' THEN r.via WHEN r.started_by_id IS NULL THEN 'program' ELSE 'person' END,
  r.tags, count(*), sum(r.cost_micros), max(r.cost_micros), sum(r.unconfirmed_micros),
  count(*) FILTER (WHERE r.state = 'failed' AND coalesce(r.reason, '') LIKE '%budget%')
FROM runs_run r JOIN runs_spendbook b ON b.workspace_id = r.workspace_id WHERE r.trimmed_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('runs', '0013_how_runs_were_started'),
    ]

    operations = [
        migrations.RunSQL(AGAIN, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='StepDay',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField(help_text="of the book's zone, in which the step ended")),
                ('pipeline_id', models.UUIDField()),
                ('node', models.CharField(max_length=63)),
                ('kind', models.CharField(max_length=16)),
                ('state', models.CharField(max_length=16)),
                ('port', models.CharField(max_length=63, null=True)),
                ('part', models.CharField(max_length=8)),
                ('bucket', models.SmallIntegerField()),
                ('is_sealed', models.BooleanField(default=False, help_text='of runs whose events are gone')),
                ('times', models.BigIntegerField()),
                ('milliseconds', models.BigIntegerField()),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'day', 'pipeline_id', 'node', 'kind', 'state', 'port', 'part', 'bucket', 'is_sealed'), name='one_time_per_day_and_bucket', nulls_distinct=False)],
            },
        ),
        migrations.RemoveConstraint(model_name='runday', name='one_count_per_day_and_end'),
        migrations.AddField(
            model_name='runday',
            name='person',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='runday',
            name='tags',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), default=list, size=None),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='runday',
            name='trigger',
            field=models.CharField(default='', max_length=80),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='spendday',
            name='looped',
            field=models.BigIntegerField(default=0, help_text='part of the cost: second and later rounds of loops'),
        ),
        migrations.AddField(
            model_name='spendday',
            name='unused',
            field=models.BigIntegerField(default=0, help_text='part of the cost: of steps that came to nothing'),
        ),
        migrations.AlterField(
            model_name='spendday',
            name='trigger',
            field=models.CharField(max_length=80),
        ),
        migrations.AlterField(
            model_name='spendvisit',
            name='trigger',
            field=models.CharField(max_length=80),
        ),
        migrations.AddConstraint(
            model_name='runday',
            constraint=models.UniqueConstraint(fields=('workspace', 'day', 'pipeline_id', 'state', 'is_child', 'rehearsal', 'person', 'trigger', 'tags'), name='one_count_per_day_and_end', nulls_distinct=False),
        ),
        migrations.RunSQL(TRIMMED, migrations.RunSQL.noop),
    ]
