"""What a question showed may go once retention has marked its run; what was decided, and its fingerprint, stays."""

from django.db import migrations

APPROVALS = """
CREATE OR REPLACE FUNCTION approvals_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{first}
    IF OLD.state <> 'open' AND
       (OLD.state, OLD.payload, OLD.payload_hash, OLD.asked, OLD.decided_at, OLD.barred, OLD.request, OLD.run_id)
       IS DISTINCT FROM
       (NEW.state, NEW.payload, NEW.payload_hash, NEW.asked, NEW.decided_at, NEW.barred, NEW.request, NEW.run_id) THEN
        RAISE EXCEPTION 'Approval % is % already and cannot change.', OLD.id, OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.payload IS DISTINCT FROM NEW.payload AND OLD.payload_hash = NEW.payload_hash THEN
        RAISE EXCEPTION 'Approval %: a payload cannot change under its fingerprint.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""
SHOWN = """
    IF OLD.state <> 'open' AND OLD.kind <> 'budget'
       AND NEW.payload IS NOT DISTINCT FROM (CASE WHEN OLD.payload IS NOT NULL THEN '{}'::jsonb END)
       AND NEW.asked IS NOT DISTINCT FROM (CASE WHEN OLD.asked IS NOT NULL THEN '{}'::jsonb END)
       AND (OLD.state, OLD.payload_hash, OLD.decided_at, OLD.barred, OLD.request, OLD.run_id)
       IS NOT DISTINCT FROM
       (NEW.state, NEW.payload_hash, NEW.decided_at, NEW.barred, NEW.request, NEW.run_id)
       AND EXISTS (SELECT FROM runs_run r WHERE r.id = OLD.run_id AND r.content_removed_at IS NOT NULL) THEN
        RETURN NEW;  -- retention removes what it showed
    END IF;"""

DECISIONS = """
CREATE OR REPLACE FUNCTION decisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL
       AND to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at'
       AND EXISTS (SELECT FROM approvals_approval a WHERE a.id = OLD.approval_id AND a.state = 'open') THEN
        RETURN NEW;  -- taken back before anybody was told
    END IF;{second}
    RAISE EXCEPTION 'Decision % is recorded and cannot change.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
SENT = """
    IF NEW.payload = '{}' AND OLD.payload IS NOT NULL AND to_jsonb(NEW) - 'payload' = to_jsonb(OLD) - 'payload'
       AND EXISTS (SELECT FROM approvals_approval a JOIN runs_run r ON r.id = a.run_id
                   WHERE a.id = OLD.approval_id AND r.content_removed_at IS NOT NULL) THEN
        RETURN NEW;  -- retention removes what was sent with it
    END IF;"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0007_one_open_question"), ("runs", "0028_when_content_was_removed")]
    operations = [
        migrations.RunSQL(APPROVALS.replace("{first}", SHOWN), APPROVALS.replace("{first}", "")),
        migrations.RunSQL(DECISIONS.replace("{second}", SENT), DECISIONS.replace("{second}", "")),
    ]
