"""How many runs began on a day, for the figures of pipelines and the list of runs."""

import django.db.models.deletion
from django.db import migrations, models

# What was booked before has no counts; it is booked again.
AGAIN = """
DELETE FROM runs_spendday;
DELETE FROM runs_spendvisit;
UPDATE runs_run SET booked_at = NULL WHERE booked_at IS NOT NULL;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_hosts_of_secrets'),
        ('runs', '0010_daily_books'),
    ]

    operations = [
        migrations.CreateModel(
            name='RunDay',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField(help_text="of the book's zone, in which the run was created")),
                ('pipeline_id', models.UUIDField()),
                ('state', models.CharField(max_length=16)),
                ('is_child', models.BooleanField(help_text="started by another run's step")),
                ('rehearsal', models.BooleanField()),
                ('runs', models.IntegerField()),
                ('cost', models.BigIntegerField()),
                ('peak', models.BigIntegerField(help_text='what the dearest one cost')),
                ('unconfirmed', models.BigIntegerField()),
                ('capped', models.IntegerField(help_text='how many a budget stopped')),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'day', 'pipeline_id', 'state', 'is_child', 'rehearsal'), name='one_count_per_day_and_end')],
            },
        ),
        migrations.RunSQL(AGAIN, migrations.RunSQL.noop),
    ]
