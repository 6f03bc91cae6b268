"""What the web's and the workers' database roles may do with the owner's tables, and whose rows they see there."""

from typing import Any

from django.db import connections

from accounts import policies

WEB, WORKER = "baton_web", "baton_worker"
ROLES = (WEB, WORKER)

# Everything the owner owns, since it owns nothing but this application; default privileges would miss the tables
# of a test database, which another session made.
_GRANT = """
DO $$
DECLARE
    item record;
    may text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO baton_web, baton_worker', current_schema());
    FOR item IN
        SELECT c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
          AND pg_get_userbyid(c.relowner) = current_user
    LOOP
        may := CASE
            WHEN item.relkind = 'S' THEN 'USAGE, SELECT'
            WHEN item.relname = 'accounts_auditentry' THEN 'SELECT, INSERT'
            WHEN item.relname = 'django_migrations' OR item.relkind IN ('v', 'm') THEN 'SELECT'
            ELSE 'SELECT, INSERT, UPDATE, DELETE' END;
        EXECUTE format('GRANT %s ON %I TO baton_web, baton_worker', may, item.relname);
    END LOOP;
    -- What acts with the owner's rights is the workers' alone, and finds no table that a worker made up for itself:
    -- unless it is named last, a session's own temporary schema is looked into first.
    FOR item IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prosecdef AND pg_get_userbyid(proowner) = current_user
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO baton_worker', item.name);
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', item.name, current_schema());
    END LOOP;
END $$;
"""


def grant(using: str, **_: Any) -> None:
    """Give both roles what they need on every table that stands now; run after each migration."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
        if cursor.fetchone()[0] == len(ROLES):  # absent before the migration that makes them
            policies.secure(cursor)
            cursor.execute(_GRANT)
