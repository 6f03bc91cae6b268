"""What browsers report of the content policy, a row for all that are alike."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_pipelines_for_some'),
    ]

    operations = [
        migrations.CreateModel(
            name='Violation',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('directive', models.CharField(max_length=32)),
                ('page', models.CharField(blank=True, max_length=200)),
                ('blocked', models.CharField(blank=True, max_length=300)),
                ('source', models.CharField(blank=True, max_length=300)),
                ('count', models.PositiveBigIntegerField(default=1)),
                ('first_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('workspace', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'directive', 'page', 'blocked', 'source'), name='one_row_for_violations_alike', nulls_distinct=False)],
            },
        ),
    ]
