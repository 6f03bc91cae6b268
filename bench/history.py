"""A history for measurements: finished runs over the last months with their steps and spans, made by the database.

Everything follows from a run's number, so that the same call makes the same history: 20 pipelines, 12 agents, 6 models,
nine runs of ten that succeed, and prices between 0.00005 and 0.005 dollars a call. The rows are those that a worker
writes for such runs, without the values of steps, the log and the ledger.
"""

from django.db import connection

from accounts.access import Actor
from accounts.ids import new_id
from accounts.models import Membership, Workspace
from bench import workloads
from pipelines.models import Pipeline
from runs import months
from runs.models import Run

PIPELINES = 20
DAYS = 120
CHUNK = 20_000  # runs for one statement: the log of the database stays small

# As `accounts.ids.new_id` would have made it then.
AN_ID = (
    "(lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0') || '7' ||"
    " substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid"
)
MONTHS = "SELECT runs_open_month(%s, now() - make_interval(months => %s))"

RUNS = f"""
INSERT INTO runs_run (id, workspace_id, pipeline_id, version_id, number, state, reason, input, output, tags, rehearsal,
  started_by_id, origin, children, budget, board_id, cost_micros, reserved_micros, unconfirmed_micros, saved_micros,
  unpriced_calls, llm_calls, input_tokens, output_tokens, machine_ms, epoch, revision, crashes, seq, created_at,
  started_at, finished_at)
SELECT {AN_ID}, %(workspace)s, made.pipeline, made.version, n,
  CASE WHEN n %% 50 = 0 THEN 'cancelled' WHEN n %% 12 = 0 THEN 'failed' ELSE 'succeeded' END,
  CASE WHEN n %% 50 <> 0 AND n %% 120 = 0 THEN 'budget_exceeded' END,
  '{{"topic": "bees"}}', '"done"', CASE WHEN n %% 3 = 0 THEN '{{weekly}}'::varchar[] ELSE '{{}}'::varchar[] END, false,
  %(user)s, '{{}}', 0, '{{}}', gen_random_uuid(), told.cost, 0, 0, 0, 0, %(spans)s, told.input, told.output,
  900, 1, 3, 0, 6, made.at, made.at + interval '1 second', made.at + interval '9 seconds'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n,
LATERAL (SELECT (%(pipelines)s::uuid[])[1 + n %% %(count)s] AS pipeline,
                (%(versions)s::uuid[])[1 + n %% %(count)s] AS version,
                now() - interval '1 minute' - (%(all)s - n) * (interval '1 day' * %(days)s / %(all)s) AS at) made,
LATERAL (SELECT sum(50 + (n * 31 + k * 17) %% 4950) AS cost, sum(400 + (n * 7 + k) %% 900) AS input,
                sum(100 + (n * 13 + k) %% 400) AS output FROM generate_series(1, %(spans)s) k) told
"""

STEPS = """
INSERT INTO runs_step (run_id, path, node, kind, title, state, attempt, flags, cost_micros, unpriced_calls, position,
  started_at, finished_at)
SELECT run.id, 'a' || k, 'a' || k, 'agent', '', 'succeeded', 1, '{}', 0, 0, k, run.started_at, run.finished_at
FROM runs_run run, generate_series(1, 3) k
WHERE run.workspace_id = %(workspace)s AND run.number BETWEEN %(first)s AND %(last)s
"""

SPANS = """
INSERT INTO runs_span (workspace_id, pipeline_id, run_id, span_id, name, kind, path, node, agent, start, "end", status,
  attributes, model, input_tokens, output_tokens, cost_micros)
SELECT run.workspace_id, run.pipeline_id, run.id, lpad(to_hex(k), 16, '0'), 'chat stub', 'client', 'a' || k, 'a' || k,
  'bench-' || (1 + (run.number + k) %% 12), run.started_at + k * interval '500 ms',
  run.started_at + k * interval '500 ms' + interval '400 ms', CASE WHEN run.state = 'failed' AND k = 3 THEN 'error'
  ELSE 'ok' END, '{}', 'stub/model-' || (run.number + k) %% 6, 400 + (run.number * 7 + k) %% 900,
  100 + (run.number * 13 + k) %% 400, 50 + (run.number * 31 + k * 17) %% 4950
FROM runs_run run, generate_series(1, %(spans)s) k
WHERE run.workspace_id = %(workspace)s AND run.number BETWEEN %(first)s AND %(last)s
"""


def bare_actor() -> Actor:
    """Return the one member of a workspace `bench` without runs; one that has some is set aside, and nobody's.

    A history has numbers of its own, and other measurements may have used the same database.
    """
    used = Workspace.objects.filter(slug="bench", pk__in=Run.objects.values("workspace")).first()
    if used:
        Membership.objects.filter(workspace=used).delete()
        used.slug = f"bench-{new_id().hex[-12:]}"
        used.save(update_fields=["slug"])
    return workloads.bench_actor("http://127.0.0.1:9")


def book() -> None:
    """Bring all that has ended into the daily books, as the workers of an installation do meanwhile."""
    from runs.spending import booking

    while booking.book_some(booking.RUNS_AT_ONCE_ANEW):
        pass
    settle()


def settle() -> None:
    """Leave the tables as the database's own housekeeping does after a while."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE runs_run, runs_spendday, runs_runday, runs_stepday")


def fill(actor: Actor, runs: int, spans: int, *, with_steps: bool = True) -> list[Pipeline]:
    """Give the actor's workspace so many runs with so many model calls each, spread over DAYS; return its pipelines."""
    pipelines = [workloads.chain(actor, 3, 0, f"history-{number}") for number in range(PIPELINES)]
    given = {
        "workspace": actor.workspace.pk,
        "user": actor.user.pk,
        "pipelines": [one.pk for one in pipelines],
        "versions": [one.versions.latest("number").pk for one in pipelines],
        "count": PIPELINES,
        "days": DAYS,
        "all": runs,
        "spans": spans,
    }
    with connection.cursor() as cursor:
        for whole in months.PARTED:
            for ago in range(DAYS // 28 + 1):
                cursor.execute(MONTHS, [whole, ago])
        for first in range(1, runs + 1, CHUNK):
            part = given | {"first": first, "last": min(runs, first + CHUNK - 1)}
            for statement in (RUNS, *([STEPS] if with_steps else []), SPANS):
                cursor.execute(statement, part)
        cursor.execute(
            "INSERT INTO runs_runcounter (workspace_id, last) VALUES (%s, %s)"
            " ON CONFLICT (workspace_id) DO UPDATE SET last = excluded.last",
            [actor.workspace.pk, runs],
        )
        cursor.execute("VACUUM ANALYZE runs_run, runs_step, runs_span")
    return pipelines
