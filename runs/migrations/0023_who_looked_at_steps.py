"""When somebody last looked at what a step of a pipeline gave."""


import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('runs', '0022_hours_of_spending'),
    ]

    operations = [
        migrations.CreateModel(
            name='StepReading',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pipeline_id', models.UUIDField()),
                ('node', models.CharField(max_length=63)),
                ('read_at', models.DateTimeField()),
                ('workspace', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('pipeline_id', 'node'), name='one_reading_per_step')],
            },
        ),
    ]
