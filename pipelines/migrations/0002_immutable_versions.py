"""Versions of pipelines and agents never change, whoever connects to the database.

The one thing that may still happen to a row is that its author's account goes: the column named in the trigger's
argument may become null.
"""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION immutable_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
        AND to_jsonb(NEW) -> TG_ARGV[0] = 'null'::jsonb
        AND to_jsonb(NEW) - TG_ARGV[0] = to_jsonb(OLD) - TG_ARGV[0]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'A row of % never changes: % refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END;
$$;
"""


def trigger(table: str, author: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"CREATE TRIGGER immutable_version BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION immutable_version('{author}');",
        f"DROP TRIGGER immutable_version ON {table};",
    )


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION immutable_version();"),
        trigger("pipelines_pipelineversion", "published_by_id"),
        trigger("pipelines_agentversion", "created_by_id"),
    ]
