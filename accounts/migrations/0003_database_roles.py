"""Make the roles the web and the workers act as; `accounts.privileges` says what they may touch."""

from django.db import migrations

FORWARDS = """
DO $$
DECLARE
    wanted text;
    -- since PostgreSQL 16 a member may lack the right to act as the role
    acting text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['baton_web', 'baton_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server was being migrated at the same moment
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, acting) THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'The owner % may not create or act as the roles baton_web and baton_worker.', current_user
        USING ERRCODE = 'insufficient_privilege', HINT = format(
            'As a superuser: CREATE ROLE baton_web; CREATE ROLE baton_worker; GRANT baton_web, baton_worker TO %I;',
            current_user);
END $$;
"""


class Migration(migrations.Migration):
    """Not undone backwards: roles belong to the server, and another database may use them."""

    dependencies = [("accounts", "0002_audit_chain")]
    operations = [migrations.RunSQL(FORWARDS, migrations.RunSQL.noop)]
