"""What was answered stays as it was answered, whichever program writes."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION approvals_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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

CREATE TRIGGER approvals_stay BEFORE UPDATE ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION approvals_stay();

CREATE FUNCTION decisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Decision % is recorded and cannot change.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER decisions_stay BEFORE UPDATE ON approvals_decisionrecord
    FOR EACH ROW EXECUTE FUNCTION decisions_stay();
"""

BACKWARDS = """
DROP TRIGGER decisions_stay ON approvals_decisionrecord;
DROP FUNCTION decisions_stay();
DROP TRIGGER approvals_stay ON approvals_approval;
DROP FUNCTION approvals_stay();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
