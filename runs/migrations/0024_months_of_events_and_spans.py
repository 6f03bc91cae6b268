"""Events and spans lie in one table per month, told by the time with which a run's id begins (adr/0009).

What stands becomes the part of the present month, as it is; whoever writes waits while its rows are read once.
"""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION runs_first_id(month timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM month) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE FUNCTION runs_month_of(part name) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT make_timestamptz(y::int, m::int, 1, 0, 0, 0, 'UTC')
    FROM regexp_match(part, '_y(\\d{4})m(\\d\\d)$') AS told(named), LATERAL (SELECT named[1], named[2]) AS parts(y, m)
$$;

CREATE FUNCTION runs_open_month(whole text, day timestamptz) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
    month timestamptz := date_trunc('month', day, 'UTC');
    first uuid := runs_first_id(month);
    next uuid := runs_first_id(date_trunc('month', month + interval '32 days', 'UTC'));
    part text := whole || to_char(month AT TIME ZONE 'UTC', '"_y"YYYY"m"MM');
BEGIN
    IF whole NOT IN ('runs_event', 'runs_span') THEN
        RAISE EXCEPTION 'The table % does not lie in months.', whole;
    END IF;
    IF to_regclass(part) IS NOT NULL OR NOT pg_try_advisory_xact_lock(hashtext('runs_months')) THEN
        RETURN;
    END IF;
    -- Another worker may have opened it between the look and the lock.
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I)', part, whole);
    -- What was written before its month was open.
    EXECUTE format('WITH early AS (DELETE FROM %I WHERE run_id >= %L AND run_id < %L RETURNING *)
        INSERT INTO %I SELECT * FROM early', whole || '_other', first, next, part);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', whole, part, first, next);
END $$;

CREATE FUNCTION runs_drop_empty_month(whole text, before timestamptz) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
    part text;
    is_empty boolean;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE whole IN ('runs_event', 'runs_span') AND i.inhparent = to_regclass(whole)
            AND date_trunc('month', runs_month_of(c.relname) + interval '32 days', 'UTC') < before
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
        CONTINUE WHEN NOT is_empty OR NOT pg_try_advisory_xact_lock(hashtext('runs_months'));
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE NOWAIT', whole);
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
        CONTINUE WHEN NOT is_empty;
        EXECUTE format('DROP TABLE %I', part);
        RETURN part;
    END LOOP;
    RETURN NULL;
END $$;
"""

# The copies of what the old table had come with it; its own key would be a second one beside the months' constraint.
_PART = """
DO $$
DECLARE
    part text := '{table}' || to_char(now() AT TIME ZONE 'UTC', '"_y"YYYY"m"MM');
    first uuid := runs_first_id(date_trunc('month', now(), 'UTC'));
    next uuid := runs_first_id(date_trunc('month', date_trunc('month', now(), 'UTC') + interval '32 days', 'UTC'));
    start text := quote_literal(first);
    policy name;
    newest bigint;
BEGIN
    LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
    -- Never below a number that was given before: what is sent on is told by it.
    newest := nextval(pg_get_serial_sequence('{table}', 'id'));
    IF EXISTS (SELECT FROM {table} WHERE run_id < first) THEN
        start := 'MINVALUE';
    END IF;
    EXECUTE format('ALTER TABLE {table} RENAME TO %I', part);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT {table}_pkey, ALTER COLUMN id DROP IDENTITY', part);
    EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT {constraint} TO %I', part, part || '_key');
    EXECUTE format('ALTER INDEX {index} RENAME TO %I', part || '_index');
    FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = part::regclass LOOP
        EXECUTE format('DROP POLICY %I ON %I', policy, part);
    END LOOP;
    EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('REVOKE ALL ON %I FROM baton_web, baton_worker', part);

    EXECUTE format('CREATE TABLE {table} (LIKE %I) PARTITION BY RANGE (run_id)', part);
    CREATE SEQUENCE {table}_id_seq OWNED BY {table}.id;
    PERFORM setval('{table}_id_seq', newest, false);
    ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{table}_id_seq'),
        ADD CONSTRAINT {constraint} UNIQUE ({key});
    {indexes};
    CREATE TABLE {table}_other PARTITION OF {table} DEFAULT;
    EXECUTE format('WITH other AS (DELETE FROM %I WHERE run_id >= %L RETURNING *) INSERT INTO {table} SELECT * FROM other',
        part, next);
    EXECUTE format('ALTER TABLE {table} ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', part, start, next);

    -- Until the policies are made anew, right after the migrations: workers go on, the web sees nothing.
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY worker_sees_all ON {table} TO baton_worker USING (true);
    CREATE POLICY owner_sees_all ON {table} TO CURRENT_USER USING (true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO baton_web, baton_worker;
    GRANT USAGE, SELECT ON SEQUENCE {table}_id_seq TO baton_web, baton_worker;
END $$;
"""
_WHOLE = """
ALTER TABLE {table} RENAME TO {table}_months;
ALTER TABLE {table}_months RENAME CONSTRAINT {constraint} TO {table}_months_key;
ALTER INDEX {index} RENAME TO {table}_months_index;
ALTER SEQUENCE {table}_id_seq RENAME TO {table}_months_id_seq;
ALTER TABLE {table}_months ALTER COLUMN id DROP DEFAULT;
CREATE TABLE {table} (LIKE {table}_months, PRIMARY KEY (id));
ALTER TABLE {table} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY;
INSERT INTO {table} SELECT * FROM {table}_months;
SELECT setval('{table}_id_seq', nextval('{table}_months_id_seq'), false);
ALTER TABLE {table} ADD CONSTRAINT {constraint} UNIQUE ({key});
{indexes};
DROP TABLE {table}_months;
"""
_WAITS = "CREATE INDEX events_of_waits ON runs_event (run_id) WHERE type = 'step_waiting'"
_COSTS = """CREATE INDEX spans_that_cost ON runs_span (workspace_id, "end")
    INCLUDE (pipeline_id, agent, node, model, status, run_id, cost_micros, input_tokens, output_tokens)
    WHERE model IS NOT NULL"""
_BY_ID = "CREATE INDEX spans_by_id ON runs_span (id)"
EVENTS = {"table": "runs_event", "key": "run_id, seq", "constraint": "one_event_per_seq", "index": "events_of_waits"}
SPANS = {"table": "runs_span", "key": "run_id, span_id", "constraint": "one_span_per_id", "index": "spans_that_cost"}


class Migration(migrations.Migration):
    dependencies = [("runs", "0023_who_looked_at_steps"), ("accounts", "0003_database_roles")]
    operations = [
        migrations.RunSQL(
            FUNCTIONS,
            "DROP FUNCTION runs_drop_empty_month, runs_open_month, runs_month_of, runs_first_id",
        ),
        migrations.RunSQL(_PART.format(**EVENTS, indexes=_WAITS), _WHOLE.format(**EVENTS, indexes=_WAITS)),
        migrations.RunSQL(
            _PART.format(**SPANS, indexes=f"{_COSTS}; {_BY_ID}"), _WHOLE.format(**SPANS, indexes=_COSTS)
        ),
    ]
