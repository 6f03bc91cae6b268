"""Approvals that can be taken back for a while, and questions to colleagues beside them; a rule may leave that time."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


TAKE = """
CREATE OR REPLACE FUNCTION approvals_take_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rules := '[]';
    IF NEW.kind IN ('approve', 'edit') THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', r.id, 'name', r.name, 'tool', r.tool, 'effect', r.effect,
            'amount_at', r.amount_at, 'amount_least', r.amount_least::text, 'least', r.least, 'levels', r.levels,
            'remind_half', r.remind_half, 'remind_before', r.remind_before, 'hold', r.hold,
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
"""

DECISIONS = """
CREATE OR REPLACE FUNCTION decisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL
       AND to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at'
       AND EXISTS (SELECT FROM approvals_approval a WHERE a.id = OLD.approval_id AND a.state = 'open') THEN
        RETURN NEW;  -- taken back before anybody was told
    END IF;
    RAISE EXCEPTION 'Decision % is recorded and cannot change.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""

DECISIONS_AS_BEFORE = """
CREATE OR REPLACE FUNCTION decisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Decision % is recorded and cannot change.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""

AS_BEFORE = """
CREATE OR REPLACE FUNCTION approvals_take_rules() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('approvals', '0003_rules_and_absences'),
        ('pipelines', '0009_knowledge'),
        ('runs', '0012_runs_to_trim'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='decisionrecord',
            name='one_decision_per_person',
        ),
        migrations.AddField(
            model_name='approval',
            name='held_until',
            field=models.DateTimeField(blank=True, help_text='approved by all it takes; the run is told then, unless it is taken back', null=True),
        ),
        migrations.AddField(
            model_name='comment',
            name='answered_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='comment',
            name='asked_of',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='decisionrecord',
            name='withdrawn_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='rule',
            name='hold',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='seconds for which an approval can still be taken back'),
        ),
        migrations.AddIndex(
            model_name='approval',
            index=models.Index(condition=models.Q(('held_until__isnull', False), ('state', 'open')), fields=['held_until'], name='approvals_held'),
        ),
        migrations.AddIndex(
            model_name='comment',
            index=models.Index(condition=models.Q(('answered_at', None), ('asked_of__isnull', False)), fields=['asked_of'], name='comments_asking'),
        ),
        migrations.AddConstraint(
            model_name='decisionrecord',
            constraint=models.UniqueConstraint(condition=models.Q(('withdrawn_at', None)), fields=('approval', 'by'), name='one_standing_decision_per_person'),
        ),
        migrations.RunSQL(TAKE, AS_BEFORE),
        migrations.RunSQL(DECISIONS, DECISIONS_AS_BEFORE),
    ]
