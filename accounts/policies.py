"""Row level security: which rows of every table of a workspace each database role sees (adr/0018).

The policies follow from the models: a table with a workspace shows the rows of the one that the connection is told of
(`accounts.second_line`), a table that leads to one by a foreign key the rows whose parent is shown. So a new table is
covered by the migration that makes it.
"""

import hashlib
from typing import Any

from django.apps import apps
from django.db.backends.utils import CursorWrapper
from django.db.models import ForeignKey, Model
from psycopg import sql

from accounts.models import Workspace
from accounts.second_line import EVERYWHERE, SETTING

_Rule = tuple[str, sql.Composed]
WEB, WORKER, OWNER = "web_sees_one_workspace", "worker_sees_all", "owner_sees_all"

# Each sub-select runs once a query. CASE keeps the planner from counting the first line's condition twice.
_WITHIN = sql.SQL(
    "CASE WHEN (SELECT current_setting({setting}, true) = {everywhere}) THEN true ELSE {column} = "
    "(SELECT CASE WHEN current_setting({setting}, true) <> {everywhere} "
    "THEN nullif(current_setting({setting}, true), '')::uuid END) END"
)
_PARENT = sql.SQL("EXISTS (SELECT FROM {parent} AS parent WHERE parent.{key} = {table}.{column})")
_OR_NOBODYS = sql.SQL("{column} IS NULL OR {rows}")

_STANDING = """
SELECT c.relname, current_user, c.relrowsecurity AND c.relforcerowsecurity,
    array(SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
    obj_description((SELECT oid FROM pg_policy WHERE polrelid = c.oid AND polname = %s), 'pg_policy')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) = current_user
"""
_SECURE = sql.SQL("""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS {web} ON {table};
DROP POLICY IF EXISTS {worker} ON {table};
DROP POLICY IF EXISTS {owner} ON {table};
CREATE POLICY {owner} ON {table} TO CURRENT_USER USING (true);
CREATE POLICY {worker} ON {table} TO baton_worker USING (true);
CREATE POLICY {web} ON {table} TO baton_web USING ({rows});
COMMENT ON POLICY {web} ON {table} IS {mark};
""")


def wanted() -> dict[str, _Rule]:
    """Return, by table, the column that leads to a workspace and the condition that the web's role is held to."""
    found: dict[type[Model], _Rule] = {Workspace: ("id", _within(Workspace, "id"))}
    models = [model for model in apps.get_models() if model._meta.managed and not model._meta.proxy]
    for also_null in (False, True):  # only what no other key leads to a workspace
        while fresh := {m: rule for m in models if m not in found and (rule := _rule(m, found, also_null))}:
            found |= fresh
    return {model._meta.db_table: rule for model, rule in found.items()}


def _rule(model: type[Model], known: dict[type[Model], _Rule], also_null: bool) -> _Rule | None:
    """Return the rule by the key that leads to a workspace; where that may be null, a row without one is nobody's."""
    keys = [field for field in model._meta.concrete_fields if isinstance(field, ForeignKey)]
    for field in sorted(keys, key=lambda field: (field.null, field.related_model is not Workspace)):
        is_root = field.related_model is Workspace
        if (field.null and not also_null) or not (is_root or field.related_model in known):
            continue
        rows = _within(model, field.column) if is_root else _below(model, field)
        name = sql.Identifier(model._meta.db_table, field.column)
        return field.column, _OR_NOBODYS.format(column=name, rows=rows) if field.null else rows
    return None


def _within(model: type[Model], column: str) -> sql.Composed:
    name = sql.Identifier(model._meta.db_table, column)
    return _WITHIN.format(setting=sql.Literal(SETTING), everywhere=sql.Literal(EVERYWHERE), column=name)


def _below(model: type[Model], field: "ForeignKey[Any, Any]") -> sql.Composed:
    return _PARENT.format(
        parent=sql.Identifier(field.related_model._meta.db_table),
        key=sql.Identifier(str(field.target_field.column)),
        table=sql.Identifier(model._meta.db_table),
        column=sql.Identifier(field.column),
    )


def secure(cursor: CursorWrapper) -> None:
    """Bring the policies of all tables that stand to what is wanted; a table that has them already is not locked."""
    rules = wanted()
    cursor.execute(_STANDING, [WEB])
    for table, owner, is_on, columns, mark in cursor.fetchall():
        column, rows = rules.get(table, ("", None))
        if rows is None or column not in columns:  # of no workspace, or on its way between two migrations
            continue
        digest = hashlib.sha256(f"{owner} {rows.as_string(cursor.connection)}".encode()).hexdigest()[:16]
        if is_on and mark == digest:
            continue
        names = {"web": WEB, "worker": WORKER, "owner": OWNER, "table": table}
        statement = _SECURE.format(
            **{name: sql.Identifier(value) for name, value in names.items()}, rows=rows, mark=sql.Literal(digest)
        )
        cursor.execute(statement.as_string(cursor.connection))


_UNSECURED = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND NOT (c.relrowsecurity AND c.relforcerowsecurity
    AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = %s))
ORDER BY c.relname
"""


def unsecured(cursor: CursorWrapper) -> list[str]:
    """Return the tables of a workspace whose rows are not guarded as they should be."""
    cursor.execute(_UNSECURED, [list(wanted()), WEB])
    return [name for (name,) in cursor.fetchall()]


_HIDDEN = """
SELECT c.relname FROM pg_roles AS who, pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE who.rolname = %s AND n.nspname = current_schema() AND c.relname = ANY(%s) AND c.relrowsecurity
    AND NOT (who.rolsuper OR who.rolbypassrls)
    AND (c.relforcerowsecurity OR NOT pg_has_role(who.oid, c.relowner, 'USAGE'))
    AND NOT EXISTS (
        SELECT FROM pg_policy AS p, unnest(p.polroles) AS given(oid)
        WHERE p.polrelid = c.oid AND p.polname = ANY(%s) AND pg_has_role(who.oid, given.oid, 'USAGE'))
ORDER BY c.relname
"""


def hidden(cursor: CursorWrapper, role: str) -> list[str]:
    """Return the tables of which a database role does not see all rows."""
    cursor.execute(_HIDDEN, [role, list(wanted()), [OWNER, WORKER]])
    return [name for (name,) in cursor.fetchall()]
