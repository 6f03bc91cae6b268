"""Books know what each hour cost, also of the runs that are in them and whose calls are still there."""

import django.db.models.deletion
from django.db import migrations, models


FILL = """
SELECT pg_advisory_xact_lock(7305411);
INSERT INTO runs_spendhour (workspace_id, hour, is_sealed, cost)
SELECT r.workspace_id, date_trunc('hour', s."end", 'UTC'), false, sum(s.cost_micros)
FROM runs_run r JOIN runs_span s ON s.run_id = r.id AND s.workspace_id = r.workspace_id
WHERE r.booked_at IS NOT NULL AND r.trimmed_at IS NULL AND s.model IS NOT NULL AND s.cost_micros > 0
GROUP BY 1, 2;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('runs', '0021_how_earlier_runs_were_started'),
    ]

    operations = [
        migrations.CreateModel(
            name='SpendHour',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(help_text='at which it begins')),
                ('is_sealed', models.BooleanField(default=False, help_text='of runs whose spans are gone')),
                ('cost', models.BigIntegerField()),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'hour', 'is_sealed'), name='one_line_per_hour')],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
