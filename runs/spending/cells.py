"""The calls that cost, lost calls and kept results as rows with everything that spending is asked by.

Statements are put together from constants of this module; what people give is always a parameter.
"""

OF_RUN = {
    "person": "r.started_by_id",
    "trigger": (
        "case when r.parent_id is not null then 'pipeline' when r.forked_from_id is not null then 'fork'"
        " when r.rehearsal and r.via in ('', 'form', 'api', 'command') then 'rehearsal'"
        " when r.via <> '' then r.via when r.started_by_id is null then 'program' else 'person' end"
    ),
    "outcome": "case when r.state in ('succeeded', 'failed', 'cancelled') then r.state else 'running' end",
    "tags": "r.tags",
}
"""Columns that are the run's, the same for all of its calls."""

END, AT = 's."end"', "l.at"
_AT_PATH = r"regexp_replace(l.path, '@\d+$', '')"
_NODE = rf"regexp_replace(regexp_replace({_AT_PATH}, '[~>]\d+\..*$', ''), '^.*\.', '')"
_AGENT = (
    "(select a.agent from runs_span a"
    f" where a.run_id = l.run_id and a.path = {_AT_PATH} and a.agent is not null limit 1)"
)
OF_SPAN = {"pipeline_id": "s.pipeline_id", "agent": "s.agent", "node": "s.node", "model": "s.model"} | OF_RUN
OF_ENTRY = {"pipeline_id": "r.pipeline_id", "agent": _AGENT, "node": _NODE, "model": "l.model"} | OF_RUN

_STEP = "left join runs_step t on t.run_id = s.run_id and t.path = s.path"
FROM_SPANS = f"runs_span s left join runs_run r on r.id = s.run_id {_STEP}"
FROM_RUNS = f"runs_run r join runs_span s on s.run_id = r.id {_STEP}"
FROM_RUNS_OF_WORKSPACE = f"runs_run r join runs_span s on s.run_id = r.id and s.workspace_id = r.workspace_id {_STEP}"
FROM_ENTRIES = "runs_ledgerentry l join runs_run r on r.id = l.run_id"
A_CALL, BESIDE_COST = "s.model is not null", "l.kind in ('unconfirmed', 'cache_hit')"

# A call is counted as waste once: a retry or repair whatever became of the run; in runs that succeeded, what steps did
# that came to nothing; else the second and later rounds of loops. All other cost of runs that failed is theirs.
_FIRST = "s.again is null and r.state = 'succeeded'"
_USED = "coalesce(t.state, 'succeeded') = 'succeeded'"
_LATER_ROUND = r"s.path ~ '#([2-9]|\d\d)'"

SUMS_OF_SPANS = {
    "cost": "coalesce(sum(s.cost_micros), 0)",
    "unconfirmed": "0",
    "saved": "0",
    "retried": "coalesce(sum(s.cost_micros) filter (where s.again = 'retry'), 0)",
    "repaired": "coalesce(sum(s.cost_micros) filter (where s.again = 'repair'), 0)",
    "unused": f"coalesce(sum(s.cost_micros) filter (where {_FIRST} and not {_USED}), 0)",
    "looped": f"coalesce(sum(s.cost_micros) filter (where {_FIRST} and {_USED} and {_LATER_ROUND}), 0)",
    "calls": "count(*)",
    "failed_calls": "count(*) filter (where s.status <> 'ok')",
    "priced": "count(s.cost_micros)",
    "unpriced": "count(*) filter (where s.cost_micros is null and s.status = 'ok')",  # a call that failed costs nothing
    "input_tokens": "coalesce(sum(s.input_tokens), 0)",
    "output_tokens": "coalesce(sum(s.output_tokens), 0)",
    "milliseconds": 'coalesce(sum(1000 * extract(epoch from s."end" - s.start)), 0)::bigint',
}
SUMS_OF_ENTRIES = dict.fromkeys(SUMS_OF_SPANS, "0") | {
    "unconfirmed": "coalesce(sum(l.amount_micros) filter (where l.kind = 'unconfirmed'), 0)",
    "saved": "coalesce(sum(l.amount_micros) filter (where l.kind = 'cache_hit'), 0)",
}
SUMS = tuple(SUMS_OF_SPANS)

MASKS = {
    "": "runs",
    "a": "runs_a",
    "n": "runs_n",
    "m": "runs_m",
    "an": "runs_an",
    "am": "runs_am",
    "nm": "runs_nm",
    "anm": "runs_anm",
}
"""The column that counts runs once where an answer names the agent, the node, the model."""


def spans(keys: dict[str, str], where: str, tables: str = FROM_SPANS) -> str:
    """Return the statement that adds up spans of model calls by these keys and their run."""
    return _grouped(keys, SUMS_OF_SPANS, "s.run_id", f"{tables} where {A_CALL} and {where}")


def entries(keys: dict[str, str], where: str) -> str:
    """Return the statement that adds up lost calls and kept results by these keys and their run."""
    return _grouped(keys, SUMS_OF_ENTRIES, "l.run_id", f"{FROM_ENTRIES} where {BESIDE_COST} and {where}")


def _grouped(keys: dict[str, str], sums: dict[str, str], run: str, source: str) -> str:
    columns = [f"{text} as {name}" for name, text in keys.items()] + [f"{run} as run_id", "0 as runs"]
    columns += [f"{text} as {name}" for name, text in sums.items()]
    groups = ", ".join(str(number) for number in range(1, len(keys) + 2))
    return f"select {', '.join(columns)} from {source} group by {groups}"
