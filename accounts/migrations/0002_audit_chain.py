"""Number, time and chain every audit entry in the database, and refuse every change of one."""

from django.db import migrations

FORWARDS = r"""
CREATE FUNCTION audit_hash(
    prev bytea, seq bigint, at timestamptz, workspace uuid, actor text, action text, target text, data jsonb
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(prev || convert_to(jsonb_build_array(
        seq, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), workspace, actor, action, target, data
    )::text, 'UTF8'))
$$;

CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
BEGIN
    -- One writer per workspace: two that read the same last entry would fork the chain.
    PERFORM pg_advisory_xact_lock(hashtextextended('audit:' || new.workspace_id, 0));
    SELECT entry.seq, entry.hash INTO last FROM accounts_auditentry AS entry
        WHERE entry.workspace_id = new.workspace_id ORDER BY entry.seq DESC LIMIT 1;
    new.seq := coalesce(last.seq, 0) + 1;
    new.prev := coalesce(last.hash, '\x00'::bytea);
    new.at := clock_timestamp();
    new.hash := audit_hash(
        new.prev, new.seq, new.at, new.workspace_id, new.actor, new.action, new.target, new.data
    );
    RETURN new;
END $$;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only.' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_chain BEFORE INSERT ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_chain();
CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_untruncated BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

BACKWARDS = """
DROP TRIGGER audit_untruncated ON accounts_auditentry;
DROP TRIGGER audit_unchanged ON accounts_auditentry;
DROP TRIGGER audit_chain ON accounts_auditentry;
DROP FUNCTION audit_refuse();
DROP FUNCTION audit_chain();
DROP FUNCTION audit_hash(bytea, bigint, timestamptz, uuid, text, text, text, jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
