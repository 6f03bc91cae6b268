"""What one decision writes, as one SQL statement behind the run's fence.

Every row joins `fence`, the UPDATE of the run that only its owner at this epoch and revision can make; a former
owner's commit therefore writes nothing at all. Several decisions may travel in one statement: each carries its own
fence. Raw SQL because this is the hot path; everything else reads the rows with the ORM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, sql

from pipelines.graph import canonical
from pipelines.graph.model import Json
from runs import allowance, artifacts, births
from runs.artifacts import Large
from runs.effects import AddMoney, AskOnce, Close, Insert, Remove, Row, StartRun


class Fenced(Exception):
    """Another worker owns the run now: stop, write nothing, forget it."""


@dataclass(slots=True)
class Commit:
    """The rows of one decision. `run` holds the columns of RUN; the lists hold dicts with the columns named below."""

    run: dict[str, Json]
    events: list[dict[str, Json]] = field(default_factory=list)
    steps: list[dict[str, Json]] = field(default_factory=list)
    calls: list[dict[str, Json]] = field(default_factory=list)
    ledger: list[dict[str, Json]] = field(default_factory=list)
    spans: list[dict[str, Json]] = field(default_factory=list)
    holds: list[dict[str, Json]] = field(default_factory=list)
    results: list[dict[str, Json]] = field(default_factory=list)
    turns: list[dict[str, Json]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(*part.split()) for part in text.split(","))


RUN = _columns(
    "id uuid, owner text, epoch int, revision bigint, release bool, crashes int, state text, reason text,"
    "output jsonb, error jsonb,"
    "cost_micros bigint, reserved_micros bigint, unconfirmed_micros bigint, saved_micros bigint, unpriced_calls int,"
    "llm_calls int,"
    "input_tokens bigint, output_tokens bigint, machine_ms bigint, children int, seq bigint, wake_at timestamptz,"
    "started_at timestamptz, finished_at timestamptz, large jsonb"
)
_FENCE_ONLY = ("id", "owner", "epoch", "release")

CLOSE = """update approvals_approval set state = 'cancelled', decided_at = now(), held_until = null
where run_id = %s and request = %s and state = 'open'"""
# Of two questions about the same the one that is written first stands; the lock on it is held until the other's place
# beside it is written too, so that no answer can come in between and miss it.
ASK_ONCE = """with asked as (
  insert into approvals_approval ({names})
  select {names} from jsonb_populate_record(null::approvals_approval, %s::jsonb) x
  where not exists (select from approvals_approval a where a.id = x.id)
  on conflict (shared) where (state = 'open' and shared <> '') do update set shared = excluded.shared
  returning id
)
insert into approvals_joined (approval_id, run_id, request) select id, %s, %s from asked where id <> %s
on conflict do nothing"""
LEAVE = "delete from approvals_joined where run_id = %s and request = %s"
EVENT = _columns("run_id uuid, seq bigint, type text, path text, at timestamptz, payload jsonb")
STEP = _columns(
    "run_id uuid, path text, node text, kind text, title text, state text, wait_reason text, attempt int,"
    "flags text[], port text, input jsonb, output jsonb, meta jsonb, error jsonb, memo jsonb, cost_micros bigint,"
    "unpriced_calls int, position int, started_at timestamptz, finished_at timestamptz, large jsonb"
)
CALL = _columns(
    "run_id uuid, key text, path text, attempt int, n int, kind text, name text, state text, request_hash text,"
    "request jsonb, response jsonb, error jsonb, effect text, delivery text, idempotency_key text, approval uuid,"
    "reserved_micros bigint, reserved_tokens bigint, cost_micros bigint, input_tokens bigint, output_tokens bigint,"
    "started_at timestamptz, finished_at timestamptz, large jsonb"
)
LEDGER = _columns("run_id uuid, kind text, path text, call text, model text, amount_micros bigint, at timestamptz")
SPAN = _columns(
    "run_id uuid, workspace_id uuid, pipeline_id uuid, span_id text, parent_span_id text, name text, kind text,"
    'path text, node text, agent text, start timestamptz, "end" timestamptz, status text, attributes jsonb,'
    "model text, input_tokens bigint, output_tokens bigint, cost_micros bigint, again text"
)
HOLD = _columns(
    "run_id uuid, call text, cost_micros bigint, lost bool, budget_id uuid, period_start date, extra bigint"
)
_MORE = "select budget_id, period_start, extra from closing where budget_id is not null"
RESULT = _columns(
    "run_id uuid, workspace_id uuid, key text, path text, output jsonb, meta jsonb, ports text[], model text,"
    "cost_micros bigint, created_at timestamptz, expires_at timestamptz, large jsonb"
)
TURN = _columns(
    "run_id uuid, workspace_id uuid, key text, path text, prompt text, answer text, trust text, created_at timestamptz"
)


_ROWS = "$rows"  # where a part's own rows go; the fence's parameters are $1 (runs), $2 (their ids), $3 (inbox rows)


def _names(columns: Sequence[Column], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{column.name}" for column in columns)


def _recordset(columns: Sequence[Column]) -> str:
    return f"jsonb_to_recordset({_ROWS}::jsonb) as x({', '.join(f'{c.name} {c.type}' for c in columns)})"


def _insert(name: str, table: str, columns: Sequence[Column], conflict: str) -> str:
    return (  # every part is a constant of this module
        f", {name} as (insert into {table} ({_names(columns)}) select {_names(columns, 'x.')} "
        f"from {_recordset(columns)} join fence on fence.id = x.run_id {conflict})"
    )


def _upsert(key: str, columns: Sequence[Column], kept: Sequence[str]) -> str:
    sets = ", ".join(f"{c.name} = excluded.{c.name}" for c in columns if c.name not in kept)
    return f"on conflict ({key}) do update set {sets}"


def _keep_results() -> str:
    """Return the part that keeps results for later steps. Two steps may come to the same key in one statement, which
    may touch a row once; all take their rows in the order of the keys, so that no two statements wait for each other.
    """
    sets = ", ".join(f"{c.name} = excluded.{c.name}" for c in RESULT if c.name not in ("workspace_id", "key"))
    return (
        f", results as (insert into runs_cacheentry ({_names(RESULT)}) "
        f"select distinct on (x.workspace_id, x.key) {_names(RESULT, 'x.')} "
        f"from {_recordset(RESULT)} join fence on fence.id = x.run_id order by x.workspace_id, x.key "
        f"on conflict (workspace_id, key) do update set {sets})"
    )


# What was too large for the row when the run was made, its input, stays beside it.
_LARGE = "case when r.large is null then d.large else (r.large - 'output') || coalesce(d.large, '{}') end"
_RUN_SETS = ", ".join(
    f"{c.name} = {_LARGE if c.name == 'large' else f'd.{c.name}'}" for c in RUN if c.name not in _FENCE_ONLY
)

_FENCE = f"""
with d as materialized (select * from {_recordset(RUN).replace(_ROWS, "$1")}),
fence as (
  update runs_run r set {_RUN_SETS},
    owner = case when d.release then null else r.owner end,
    lease_until = case when d.release then null else r.lease_until end
  from d where r.id = any($2::uuid[]) -- without it the planner expects 100 runs and reads the whole table
    and r.id = d.id and r.owner = d.owner and r.epoch = d.epoch and r.revision = d.revision - 1
  returning r.id
), taken as (
  update runs_inbox i set taken_at = now() from fence where i.run_id = fence.id and i.id = any($3::bigint[])
)"""

_PARTS = {
    "events": _insert("events", "runs_event", EVENT, ""),
    "steps": _insert(
        "steps", "runs_step", STEP, _upsert("run_id, path", STEP, ("run_id", "path", "node", "kind", "title"))
    ),
    "calls": _insert(
        "calls",
        "runs_call",
        CALL,
        "on conflict (run_id, key) do update set state = excluded.state, response = excluded.response, "
        "error = excluded.error, cost_micros = excluded.cost_micros, input_tokens = excluded.input_tokens, "
        "output_tokens = excluded.output_tokens, finished_at = excluded.finished_at, "
        "large = coalesce(runs_call.large || excluded.large, runs_call.large, excluded.large)",
    ),
    "ledger": _insert("ledger", "runs_ledgerentry", LEDGER, "on conflict (run_id, call, kind) do nothing"),
    "spans": _insert("spans", "runs_span", SPAN, "on conflict (run_id, span_id) do nothing"),
    "results": _keep_results(),
    "turns": _insert(
        "turns",
        "runs_turn",
        TURN,
        _upsert("run_id, path", TURN, ("run_id", "path", "workspace_id", "key", "created_at")),
    ),
    "holds": f", {allowance.closing(f'select x.* from {_recordset(HOLD)} join fence on fence.id = x.run_id', _MORE)}",
}
_END = """
select fence.id, exists (
  select from runs_inbox i where i.run_id = fence.id and i.taken_at is null and not i.id = any($3)
) from fence"""

_STATEMENTS: dict[tuple[str, ...], bytes] = {}


def _statement(parts: tuple[str, ...]) -> bytes:
    """Return the statement that writes these parts, in PostgreSQL's own words and always the same object: it is sent
    as it is, and found among the prepared ones without reading its ten thousand characters again."""
    if parts not in _STATEMENTS:
        written = (_PARTS[part].replace(_ROWS, f"${number}") for number, part in enumerate(parts, 4))
        _STATEMENTS[parts] = (_FENCE + "".join(written) + _END).encode()
    return _STATEMENTS[parts]


async def write(connection: AsyncConnection[Any], commits: Sequence[Commit]) -> dict[str, bool]:
    """Write decisions of different runs in one transaction.

    Return, for each run whose fence held, whether facts are waiting in its inbox. A run missing from the answer is
    fenced off and nothing of it was written.
    """
    columns: dict[str, list[dict[str, Json]]] = {
        part: [row for commit in commits for row in getattr(commit, part)] for part in _PARTS
    }
    columns["holds"] += [
        allowance.added(commit.run["id"], row) for commit in commits for row in commit.rows if isinstance(row, AddMoney)
    ]
    parts = tuple(part for part, rows in columns.items() if rows)
    taken = [inbox_id for commit in commits for inbox_id in commit.taken]
    ids = [commit.run["id"] for commit in commits]
    large: list[Large] = []
    parameters = [_in_rows("runs", [commit.run for commit in commits], large), _array(ids), _array(taken)]
    parameters += [_in_rows(part, columns[part], large) for part in parts]
    extra = _in_turn(commits)
    if not extra and not large:
        return await _execute(connection, parts, parameters)
    async with connection.transaction():
        held = await _execute(connection, parts, parameters)
        await artifacts.write(connection, [value for value in large if value.run_id in held])
        for run_id, row in extra:
            if run_id in held:
                await _write_row(connection, run_id, row)
    return held


def _array(values: Sequence[Any]) -> str:
    """Return ids (UUIDs or numbers) as PostgreSQL writes an array: the library takes many times as long to do so."""
    return f"{{{','.join(map(str, values))}}}"


def _in_rows(part: str, rows: list[dict[str, Json]], large: list[Large]) -> str:
    """Return the JSON of rows without the values that are too large to stand in them, which join `large`.

    Nothing is looked at where all of it together is small.
    """
    text = _text(rows)
    if len(text) <= artifacts.INLINE or part not in artifacts.COLUMNS:
        return text
    kept = []
    for row in rows:
        small, values = artifacts.take_out(row, artifacts.COLUMNS[part], row["run_id" if "run_id" in row else "id"])
        kept.append(small)
        large.extend(values)
    return _text(kept)


def _in_turn(commits: Sequence[Commit]) -> list[tuple[str, Row]]:
    """Return the rows that take a statement each, with whose they are, so that no two transactions wait for each other.

    New runs come first, for others to refer to, and by workspace: each counts up that workspace's number. The other
    rows of a run stay in their order, and runs that ask about the same as others come by what they ask about.
    """
    turns: list[tuple[tuple[bool, str], str, Row]] = []
    for commit in commits:
        about = min((str(row.row["shared"]) for row in commit.rows if isinstance(row, AskOnce)), default="")
        for row in commit.rows:
            turn = (False, str(row.row["workspace_id"])) if isinstance(row, StartRun) else (True, about)
            turns.append((turn, commit.run["id"], row))
    turns.sort(key=lambda entry: entry[0])
    return [(run_id, row) for _, run_id, row in turns]


async def _execute(connection: AsyncConnection[Any], parts: tuple[str, ...], parameters: list[str]) -> dict[str, bool]:
    cursor = await AsyncRawCursor(connection).execute(_statement(parts), parameters, prepare=True)
    return {str(run_id): mail for run_id, mail in await cursor.fetchall()}


async def _write_row(connection: AsyncConnection[Any], run_id: str, row: Row) -> None:
    match row:
        case AskOnce(values):
            names = sql.SQL(", ").join(sql.Identifier(name) for name in values)
            given = (_text(dict(values)), values["run_id"], values["request"], values["id"])
            await connection.execute(sql.SQL(ASK_ONCE).format(names=names), given)
        case Insert(table, values, beside):
            if "fact" in values:
                values = await _without_large(connection, run_id, values)
            statement = sql.SQL(
                "insert into {table} ({names}) select {names} from jsonb_populate_record(null::{table}, %s::jsonb) "
                "where %s::uuid is null or exists (select from approvals_approval where id = %s) on conflict do nothing"
            ).format(table=sql.Identifier(table), names=sql.SQL(", ").join(sql.Identifier(name) for name in values))
            await connection.execute(statement, (_text(dict(values)), beside, beside))
        case StartRun():
            await births.write(connection, row)
        case Close(run_id, request):
            await connection.execute(CLOSE, (run_id, request))
            await connection.execute(LEAVE, (run_id, request))
        case Remove(table, where):
            names = sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in where)
            await connection.execute(
                sql.SQL("delete from {} where {}").format(sql.Identifier(table), names), tuple(where.values())
            )
        case AddMoney():
            await allowance.keep_line(connection, run_id, row)


async def _without_large(
    connection: AsyncConnection[Any], run_id: str, values: Mapping[str, Json]
) -> Mapping[str, Json]:
    """Return a fact for another run without an output too large for an inbox: that stays with the run that tells it."""
    fact, large = artifacts.take_out(values["fact"], ("output",), run_id)
    if not large:
        return values
    await artifacts.write(connection, large)
    told = {name: {**reference, "run": run_id} for name, reference in fact.pop("large").items()}
    return {**values, "fact": fact, "large": told}


async def is_written(connection: AsyncConnection[Any], commit: Commit) -> bool:
    """Tell whether a commit whose answer was lost did arrive; raise Fenced when the run has another owner."""
    cursor = await connection.execute("select owner, epoch, revision from runs_run where id = %s", (commit.run["id"],))
    row = await cursor.fetchone()
    if row is None:
        raise Fenced
    owner, epoch, revision = row
    if epoch != commit.run["epoch"] or (owner != commit.run["owner"] and not commit.run["release"]):
        raise Fenced
    return bool(revision == commit.run["revision"])


def _text(value: Json) -> str:
    """Return the JSON of rows. What no database takes (NUL, half a character) must not keep a decision from it.

    Outputs were made fit before; here the rest is: the words of an error, what a tool was asked, a title.
    """
    try:
        if b"\\u0000" not in (encoded := orjson.dumps(value)):
            return encoded.decode()
    except TypeError:
        pass
    return orjson.dumps(canonical.sanitise(value)[0]).decode()


TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)
_PROGRAM_LIMIT = "54"  # PostgreSQL's class of errors that no later attempt will mend: too large, too deep


def is_transient(error: BaseException) -> bool:
    """Tell whether the database may take the same statement later."""
    return isinstance(error, TRANSIENT) and not (getattr(error, "sqlstate", None) or "").startswith(_PROGRAM_LIMIT)
