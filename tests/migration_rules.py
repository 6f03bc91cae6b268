"""What a migration may do while the code of the version before it serves: the operator guide's rules as a function."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now

GROWING = frozenset(
    {
        *("accounts.auditentry", "approvals.approval", "approvals.comment", "approvals.decisionrecord"),
        *("evals.result", "notices.delivery", "notices.event", "notices.notice"),
        *("pipelines.draftedit", "pipelines.passage", "pipelines.pipelineversion"),
        *("runs.artifact", "runs.boardentry", "runs.cacheentry", "runs.call", "runs.event", "runs.inbox"),
        *("runs.ledgerentry", "runs.note", "runs.run", "runs.sentevent", "runs.span", "runs.step", "runs.takenevent"),
        *("runs.turn",),
    }
)
"""Tables that grow with every run, change or message: nothing may read or lock the whole of one."""

CONTRACTS = "contracts"
"""A migration's attribute. `contracts = "1.4"` says that since that release nothing reads or leaves out what goes."""

Made = set[str]
_Rule = Callable[[Any, str, ProjectState, Made], Iterator[str]]


def broken(migration: Migration, before: ProjectState, released: Iterable[str] = ()) -> list[str]:
    """Return what the migration does that the code before it, or those who wait for a table, would not survive.

    `before` is the state that it begins with; `released` are the versions that a contract half may name.
    """
    named = getattr(migration, CONTRACTS, None)
    found = [] if named is None or named in released else [f"{CONTRACTS} names {named}, which was not released"]
    state, made = before.clone(), set[str]()
    for operation in migration.operations:
        said = _said_of(operation, migration.app_label, state, made)
        found += [words for words, is_contract in said if not (is_contract and named)]
        operation.state_forwards(migration.app_label, state)
    return found


def _said_of(operation: Operation, app: str, state: ProjectState, made: Made) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with an operation, and whether it would be right as the contract half of a change."""
    if isinstance(operation, operations.SeparateDatabaseAndState):
        for inner in operation.database_operations:  # what only the state is told of happens to no table
            yield from _said_of(inner, app, state, made)
        return
    if isinstance(operation, operations.CreateModel):
        made.add(_label(app, operation.name))
        return
    yield from ((words, True) for words in _contracting(operation, app, state, made))
    for kind, rule in _RULES:
        if isinstance(operation, kind):
            yield from ((words, False) for words in rule(operation, app, state, made))


def _label(app: str, name: str) -> str:
    return f"{app}.{name.lower()}"


def _target(operation: Any, app: str) -> str:
    return _label(app, operation.model_name)


# What is right once nobody reads it any more, or nobody leaves it out


def _contracting(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    if isinstance(operation, operations.RemoveField) and _target(operation, app) not in made:
        yield f"{_target(operation, app)}.{operation.name} is removed, which the code before still names"
    elif isinstance(operation, operations.DeleteModel):
        yield f"{_label(app, operation.name)} is dropped, which the code before still reads"
    elif isinstance(operation, operations.AlterField) and _target(operation, app) not in made:
        old = state.models[app, operation.model_name_lower].fields[operation.name]
        if old.null and not operation.field.null:
            column = f"{_target(operation, app)}.{operation.name}"
            yield f"{column} may be null no longer, and the code before leaves it out"
    elif isinstance(operation, operations.RunSQL):
        for words in ("DROP TABLE", "DROP COLUMN", "SET NOT NULL"):
            if words in _text(operation):
                yield f"SQL says {words}"


# What is never right under code that serves


def _renaming(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    name = operation.model_name if hasattr(operation, "model_name") else getattr(operation, "old_name", operation.name)
    if _label(app, name) not in made:
        yield f"{_label(app, name)}: {type(operation).__name__} takes a name away that the code before uses"


def _adding_a_field(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    field, table = operation.field, _target(operation, app)
    if table in made or field.many_to_many:
        return
    if not field.null and not field.has_db_default() and not field.generated:
        yield f"{table}.{operation.name} needs null or db_default: the code before inserts rows without it"
    if table in GROWING:
        if field.generated or (hasattr(field.db_default, "resolve_expression") and not _is_constant(field.db_default)):
            yield f"{table}.{operation.name} has a value that is made for each row, for which the table is written anew"
        if field.unique or field.db_index or (field.remote_field is not None and field.db_constraint):
            yield f"{table}.{operation.name} brings an index or a foreign key, which reads the table under a lock"


def _is_constant(expression: Any) -> bool:
    return isinstance(expression, models.Value | Now)


def _altering_a_field(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    table = _target(operation, app)
    if table in made:
        return
    old, new = state.models[app, operation.model_name_lower].fields[operation.name], operation.field
    if old.db_column != new.db_column:
        yield f"{table}.{operation.name} gets another column, which takes the name away that the code before uses"
    if _type(old) != _type(new) and table in GROWING:
        yield (
            f"{table}.{operation.name} changes its type, which statements that workers prepared do not survive: by "
            "SQL, with a cut of their connections (runs/migrations/0025…)"
        )
    elif _type(old) != _type(new) and not _widens(_type(old), _type(new)):
        yield f"{table}.{operation.name} becomes {_type(new)}, which does not hold every {_type(old)}"
    if table in GROWING and (new.unique, new.db_index) > (old.unique, old.db_index):
        yield f"{table}.{operation.name} gets an index, which reads the table under a lock"


def _type(field: Any) -> str:
    return str(field.db_type(connection)) if field.remote_field is None else "key"


def _widens(old: str, new: str) -> bool:
    lengths = [re.fullmatch(r"varchar\((\d+)\)", kind) for kind in (old, new)]
    if lengths[0] and lengths[1]:
        return int(lengths[0][1]) <= int(lengths[1][1])
    return (old, new) in (("smallint", "integer"), ("smallint", "bigint"), ("integer", "bigint")) or (
        new == "text" and lengths[0] is not None
    )


def _adding_an_index(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    table = _target(operation, app)
    if table in GROWING - made and not isinstance(operation, AddIndexConcurrently):
        yield f"{table} gets the index {operation.index.name} under a lock; say AddIndexConcurrently"


def _adding_a_constraint(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    table, name = _target(operation, app), operation.constraint.name
    if isinstance(operation, AddConstraintNotValid):
        made.add(f"{table} {name}")
    elif table not in made:
        yield f"{table} gets {name} and is read for it; say AddConstraintNotValid, and validate it later"


def _validating(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    if f"{_target(operation, app)} {operation.name}" in made:
        yield f"{operation.name} is validated by the migration that adds it; rows are read in a later one"


def _together(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    if _label(app, operation.name) not in made:
        yield f"{_label(app, operation.name)}: {type(operation).__name__} makes or drops an index under a lock"


def _running_python(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    """The words of the function's whole module count: it may have its work done by another one there."""
    source = inspect.getsource(inspect.getmodule(operation.code) or operation.code)
    for there, name in re.findall(r"get_model\(\s*[\"'](\w+)[\"'],\s*[\"'](\w+)[\"']", source):
        if _label(there, name) in GROWING - made:
            yield f"Python reads or writes {_label(there, name)}: rows of it are filled in batches by the workers' poll"


def _running_sql(operation: Any, app: str, state: ProjectState, made: Made) -> Iterator[str]:
    text = _text(operation)
    growing = {label.replace(".", "_") for label in GROWING - made}
    for pattern, words in _FORBIDDEN:
        for found in re.finditer(pattern, text):
            if not found.groups() or found[1].lower() in growing:
                yield f"SQL says {found[0].strip()}: {words}"
    if re.search(r"\bALTER (COLUMN )?\S+ (SET DATA )?TYPE\b", text) and "PG_TERMINATE_BACKEND" not in text:
        yield "SQL changes a column's type and cuts nobody's connections (runs/migrations/0025…)"


def _text(operation: Any) -> str:
    """Return the SQL that goes forward, in capitals and single spaces, without comments."""
    parts: Sequence[Any] = operation.sql if isinstance(operation.sql, list | tuple) else [operation.sql]
    said = "\n".join(part if isinstance(part, str) else part[0] for part in parts)
    return " ".join(re.sub(r"--[^\n]*", "", said).upper().split())


_FORBIDDEN = (
    (r"\bRENAME\b", "it takes a name away that the code before uses"),
    (r"\bCREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^;]*? ON \"?(\w+)", "under a lock; say CONCURRENTLY"),
    (r"\bADD CONSTRAINT (?![^;]*\b(?:NOT VALID|USING INDEX)\b)[^;]*", "the table is read for it; say NOT VALID"),
    (r"\bUPDATE \"?(\w+)\"? SET\b", "rows of it are filled in batches by the workers' poll"),
    (r"\bDELETE FROM \"?(\w+)", "rows of it are removed in batches by the workers' poll"),
    (r"\bTRUNCATE (?:TABLE )?\"?(\w+)", "under a lock"),
)
_RULES: tuple[tuple[Any, _Rule], ...] = (
    ((operations.RenameField, operations.RenameModel, operations.AlterModelTable), _renaming),
    (operations.AddField, _adding_a_field),
    (operations.AlterField, _altering_a_field),
    (operations.AddIndex, _adding_an_index),
    (operations.AddConstraint, _adding_a_constraint),
    (ValidateConstraint, _validating),
    ((operations.AlterUniqueTogether, operations.AlterIndexTogether, operations.AlterOrderWithRespectTo), _together),
    (operations.RunPython, _running_python),
    (operations.RunSQL, _running_sql),
)
