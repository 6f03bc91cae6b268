"""What agents say in sessions that outlive runs."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_database_roles'),
        ('runs', '0005_child_runs'),
    ]

    operations = [
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.CharField(help_text='sha256: and 64 hex digits over canonical JSON', max_length=71)),
                ('path', models.CharField(max_length=400)),
                ('prompt', models.TextField()),
                ('answer', models.TextField()),
                ('trust', models.CharField(max_length=8)),
                ('created_at', models.DateTimeField(db_index=True)),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='runs.run')),
                ('workspace', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'indexes': [models.Index(fields=['workspace', 'key', 'id'], name='turns_of_session')],
                'constraints': [models.UniqueConstraint(fields=('run', 'path'), name='one_turn_per_step')],
            },
        ),
    ]
