"""Triggers, each time one went off, and the calls of webhooks that were turned away."""


import accounts.ids
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('pipelines', '0009_knowledge'),
        ('runs', '0015_spans_go_to_a_collector'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HookAttempt',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('client', models.CharField(max_length=64)),
                ('slug', models.CharField(max_length=63)),
                ('at', models.DateTimeField(db_index=True)),
            ],
            options={
                'indexes': [models.Index(fields=['client', 'at'], name='attempts_of_client')],
            },
        ),
        migrations.CreateModel(
            name='Trigger',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('slug', models.CharField(max_length=63)),
                ('kind', models.CharField(choices=[('webhook', 'Webhook'), ('schedule', 'Schedule'), ('event', 'Event')], max_length=16)),
                ('version', models.PositiveIntegerField(blank=True, null=True)),
                ('input', models.JSONField(default=dict)),
                ('cron', models.CharField(blank=True, max_length=120)),
                ('zone', models.CharField(blank=True, max_length=63)),
                ('topic', models.CharField(blank=True, max_length=200)),
                ('secret', models.CharField(blank=True, help_text='the name of the secret that signs', max_length=63)),
                ('enabled', models.BooleanField(default=True)),
                ('editors', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('next_at', models.DateTimeField(blank=True, help_text='when a schedule is due next', null=True)),
                ('last_fired_at', models.DateTimeField(blank=True, null=True)),
                ('last_error', models.JSONField(blank=True, null=True)),
                ('last_run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('pipeline', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='pipelines.pipeline')),
                ('runs_as', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('workspace', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
        ),
        migrations.CreateModel(
            name='Firing',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=500)),
                ('event', models.JSONField(help_text='what its input is made from; gone once that was done', null=True)),
                ('state', models.CharField(choices=[('due', 'Due'), ('started', 'Started'), ('refused', 'Refused')], default='due', max_length=8)),
                ('error', models.JSONField(null=True)),
                ('at', models.DateTimeField(db_index=True)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('sender', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('trigger', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='firings', to='runs.trigger')),
            ],
        ),
        migrations.AddIndex(
            model_name='trigger',
            index=models.Index(condition=models.Q(('enabled', True), ('next_at__isnull', False)), fields=['next_at'], name='schedules_due'),
        ),
        migrations.AddIndex(
            model_name='trigger',
            index=models.Index(condition=models.Q(('kind', 'event')), fields=['workspace', 'topic'], name='triggers_of_topic'),
        ),
        migrations.AddIndex(
            model_name='trigger',
            index=models.Index(condition=models.Q(('kind', 'webhook')), fields=['slug'], name='hooks_by_slug'),
        ),
        migrations.AddConstraint(
            model_name='trigger',
            constraint=models.UniqueConstraint(fields=('workspace', 'slug'), name='one_trigger_per_slug'),
        ),
        migrations.AddConstraint(
            model_name='trigger',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cron__gt', ''), ('kind', 'schedule'), ('secret', ''), ('topic', ''), ('zone__gt', '')), models.Q(('cron', ''), ('kind', 'webhook'), ('secret__gt', ''), ('topic', ''), ('zone', '')), models.Q(('cron', ''), ('kind', 'event'), ('secret', ''), ('topic__gt', ''), ('zone', '')), _connector='OR'), name='trigger_has_what_its_kind_needs'),
        ),
        migrations.AddIndex(
            model_name='firing',
            index=models.Index(condition=models.Q(('state', 'due')), fields=['id'], name='firings_to_start'),
        ),
        migrations.AddIndex(
            model_name='firing',
            index=models.Index(fields=['trigger', '-id'], name='firings_of_trigger'),
        ),
        migrations.AddConstraint(
            model_name='firing',
            constraint=models.UniqueConstraint(fields=('trigger', 'key'), name='one_firing_per_key'),
        ),
    ]
