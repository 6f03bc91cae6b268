"""Daily books of spending, which runs are in them, and which calls asked again."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_hosts_of_secrets'),
        ('pipelines', '0009_knowledge'),
        ('runs', '0009_board_requests'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SpendBook',
            fields=[
                ('workspace', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='accounts.workspace')),
                ('zone', models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='SpendDay',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField(help_text="of the book's zone, in which the call ended")),
                ('pipeline_id', models.UUIDField()),
                ('agent', models.CharField(max_length=80, null=True)),
                ('node', models.CharField(max_length=63, null=True)),
                ('model', models.CharField(max_length=128)),
                ('person', models.UUIDField(null=True)),
                ('trigger', models.CharField(max_length=16)),
                ('outcome', models.CharField(max_length=16)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None)),
                ('is_sealed', models.BooleanField(default=False, help_text='of runs whose spans are gone')),
                ('cost', models.BigIntegerField()),
                ('unconfirmed', models.BigIntegerField(help_text='what lost calls may have cost')),
                ('saved', models.BigIntegerField(help_text='what kept results would have cost')),
                ('retried', models.BigIntegerField(help_text='part of the cost: asked again after a failure')),
                ('repaired', models.BigIntegerField(help_text='part of the cost: asked again for an answer that could be used')),
                ('calls', models.BigIntegerField()),
                ('failed_calls', models.BigIntegerField()),
                ('priced', models.BigIntegerField()),
                ('unpriced', models.BigIntegerField()),
                ('input_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
                ('milliseconds', models.BigIntegerField()),
                ('runs', models.IntegerField()),
                ('runs_a', models.IntegerField()),
                ('runs_n', models.IntegerField()),
                ('runs_m', models.IntegerField()),
                ('runs_an', models.IntegerField()),
                ('runs_am', models.IntegerField()),
                ('runs_nm', models.IntegerField()),
                ('runs_anm', models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='SpendVisit',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField(help_text="of the book's zone, in which the call ended")),
                ('pipeline_id', models.UUIDField()),
                ('agent', models.CharField(max_length=80, null=True)),
                ('node', models.CharField(max_length=63, null=True)),
                ('model', models.CharField(max_length=128)),
                ('person', models.UUIDField(null=True)),
                ('trigger', models.CharField(max_length=16)),
                ('outcome', models.CharField(max_length=16)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None)),
                ('is_sealed', models.BooleanField(default=False, help_text='of runs whose spans are gone')),
            ],
        ),
        migrations.AddField(
            model_name='run',
            name='booked_at',
            field=models.DateTimeField(blank=True, help_text='when it came into the daily books of spending', null=True),
        ),
        migrations.AddField(
            model_name='run',
            name='trimmed_at',
            field=models.DateTimeField(blank=True, help_text='when retention removed its events and spans', null=True),
        ),
        migrations.AddField(
            model_name='span',
            name='again',
            field=models.CharField(help_text='of a call: retry or repair of an earlier attempt', max_length=8, null=True),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(condition=models.Q(('kind__in', ['unconfirmed', 'cache_hit'])), fields=['at'], name='entries_beside_cost'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('booked_at__isnull', True)), fields=['workspace'], name='runs_not_booked'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('booked_at__isnull', True), ('owner__isnull', True), models.Q(('state__in', ['queued', 'running', 'waiting', 'paused', 'cancelling']), _negated=True)), fields=['finished_at'], name='runs_to_book'),
        ),
        migrations.AddField(
            model_name='spendday',
            name='workspace',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace'),
        ),
        migrations.AddField(
            model_name='spendvisit',
            name='run',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='runs.run'),
        ),
        migrations.AddField(
            model_name='spendvisit',
            name='workspace',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace'),
        ),
        migrations.AddConstraint(
            model_name='spendday',
            constraint=models.UniqueConstraint(fields=('workspace', 'day', 'pipeline_id', 'agent', 'node', 'model', 'person', 'trigger', 'outcome', 'tags', 'is_sealed'), name='one_line_per_day_and_place', nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name='spendvisit',
            index=models.Index(fields=['workspace', 'day'], name='visits_by_day'),
        ),
        migrations.AddIndex(
            model_name='spendvisit',
            index=models.Index(fields=['run'], name='visits_of_run'),
        ),
    ]
