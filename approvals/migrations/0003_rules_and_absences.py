"""Rules, absences, calendars and notices; a question takes the rules of its workspace as it is written.

A trigger does that, so that no program can ask without them, and the handler that writes questions stays pure. It also
fills the other new columns, so that a worker of the version before can go on asking while this one is installed.
"""

import accounts.ids
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


TAKE = """
CREATE FUNCTION approvals_take_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rules := '[]';
    IF NEW.kind IN ('approve', 'edit') THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', r.id, 'name', r.name, 'tool', r.tool, 'effect', r.effect,
            'amount_at', r.amount_at, 'amount_least', r.amount_least::text, 'least', r.least, 'levels', r.levels,
            'remind_half', r.remind_half, 'remind_before', r.remind_before,
            'calendar', CASE WHEN c.id IS NOT NULL THEN
                jsonb_build_object('name', c.name, 'zone', c.zone, 'week', c.week, 'holidays', c.holidays) END
        ) ORDER BY r.name, r.id), '[]') INTO NEW.rules
        FROM approvals_rule r LEFT JOIN approvals_calendar c ON c.id = r.calendar_id
        WHERE r.workspace_id = NEW.workspace_id AND (r.pipeline_id IS NULL OR r.pipeline_id = NEW.pipeline_id);
    END IF;
    NEW.turns := coalesce(NEW.turns, '{}');
    NEW.also_roles := coalesce(NEW.also_roles, '{}');
    NEW.also_people := coalesce(NEW.also_people, '{}');
    NEW.wakes_at := coalesce(NEW.wakes_at, NEW.created_at);
    RETURN NEW;
END $$;

CREATE TRIGGER approvals_take_rules BEFORE INSERT ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION approvals_take_rules();

CREATE FUNCTION approvals_keep_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Approval %: its rules are those of the moment at which it was asked.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER approvals_keep_rules BEFORE UPDATE ON approvals_approval
    FOR EACH ROW WHEN (OLD.rules IS DISTINCT FROM NEW.rules) EXECUTE FUNCTION approvals_keep_rules();
"""

LEAVE = """
DROP TRIGGER approvals_keep_rules ON approvals_approval;
DROP FUNCTION approvals_keep_rules();
DROP TRIGGER approvals_take_rules ON approvals_approval;
DROP FUNCTION approvals_take_rules();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_hosts_of_secrets'),
        ('approvals', '0002_answers_stay'),
        ('pipelines', '0009_knowledge'),
        ('runs', '0009_board_requests'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Absence',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Calendar',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=60)),
                ('zone', models.CharField(max_length=60)),
                ('week', models.JSONField(help_text='{"mon": [["09:00", "17:00"]]}')),
                ('holidays', models.JSONField(default=list, help_text='["2026-12-25"]')),
            ],
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('reminder', 'Reminder'), ('escalated', 'Escalated'), ('expired', 'Expired')], max_length=16)),
                ('mark', models.CharField(blank=True, max_length=100)),
                ('audience', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=254), default=list, help_text='roles, and addresses with an @', size=None)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('taken_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Rule',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=80)),
                ('tool', models.CharField(blank=True, max_length=200)),
                ('effect', models.CharField(blank=True, max_length=16)),
                ('amount_at', models.CharField(blank=True, help_text="JSON pointer into the call's arguments", max_length=200)),
                ('amount_least', models.DecimalField(blank=True, decimal_places=6, max_digits=24, null=True)),
                ('least', models.PositiveSmallIntegerField(default=1, help_text='how many different people')),
                ('levels', models.JSONField(help_text='[{"roles": ["manager"], "people": [], "within": 14400}]')),
                ('remind_half', models.BooleanField(default=True)),
                ('remind_before', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), default=list, help_text="seconds before a level's end", size=None)),
            ],
        ),
        migrations.AddField(
            model_name='approval',
            name='also_people',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.EmailField(max_length=254), default=list, size=None),
        ),
        migrations.AddField(
            model_name='approval',
            name='also_roles',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=16), default=list, help_text='whom the rules ask beside', size=None),
        ),
        migrations.AddField(
            model_name='approval',
            name='rules',
            field=models.JSONField(default=list, help_text="the workspace's rules as they stood when this was asked; the database puts them here"),
        ),
        migrations.AddField(
            model_name='approval',
            name='turns',
            field=models.JSONField(default=dict, help_text="rule → its level now and when each level's time is up"),
        ),
        migrations.AddField(
            model_name='approval',
            name='wakes_at',
            field=models.DateTimeField(blank=True, help_text='when the clock next has something to do: first plan, remind, escalate', null=True),
        ),
        migrations.AddField(
            model_name='decisionrecord',
            name='stands_for',
            field=models.ForeignKey(blank=True, help_text='the absent colleague in whose place they answered', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='approval',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['wakes_at'], name='approvals_waking'),
        ),
        migrations.AddField(
            model_name='absence',
            name='delegate',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='stands_in', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='absence',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='absences', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='absence',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace'),
        ),
        migrations.AddField(
            model_name='calendar',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace'),
        ),
        migrations.AddField(
            model_name='notice',
            name='approval',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='approvals.approval'),
        ),
        migrations.AddField(
            model_name='rule',
            name='calendar',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='approvals.calendar'),
        ),
        migrations.AddField(
            model_name='rule',
            name='pipeline',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, to='pipelines.pipeline'),
        ),
        migrations.AddField(
            model_name='rule',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace'),
        ),
        migrations.AddIndex(
            model_name='absence',
            index=models.Index(fields=['delegate', 'ends_at'], name='absences_by_delegate'),
        ),
        migrations.AddConstraint(
            model_name='absence',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='an_absence_has_a_length'),
        ),
        migrations.AddConstraint(
            model_name='absence',
            constraint=models.CheckConstraint(condition=models.Q(('person', models.F('delegate')), _negated=True), name='nobody_stands_for_themselves'),
        ),
        migrations.AddConstraint(
            model_name='calendar',
            constraint=models.UniqueConstraint(fields=('workspace', 'name'), name='one_calendar_per_name'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('taken_at', None)), fields=['id'], name='notices_to_send'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('approval', 'kind', 'mark'), name='one_notice_per_mark'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.UniqueConstraint(fields=('workspace', 'name'), name='one_rule_per_name'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('least__gte', 1)), name='a_rule_asks_somebody'),
        ),
        migrations.RunSQL(TAKE, LEAVE),
    ]
