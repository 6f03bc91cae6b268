"""What `/metrics` says of the rows: sums over the whole installation, without a name of anybody's."""

from dataclasses import dataclass

from django.db import connection

WINDOW = "interval '5 minutes'"

# By workspace, so that the indexes of its newest runs and calls are used, whatever the length of the history.
_RECENT = """accounts_workspace AS w CROSS JOIN LATERAL (
    SELECT * FROM runs_run WHERE workspace_id = w.id AND created_at > now() - interval '1 day'
) AS run"""
_CALLS = f"""accounts_workspace AS w CROSS JOIN LATERAL (
    SELECT * FROM runs_span WHERE workspace_id = w.id AND model IS NOT NULL AND "end" > now() - {WINDOW}
) AS call"""
_OPEN = "state IN ('queued', 'running', 'waiting', 'paused', 'cancelling')"
_AGE = "coalesce(extract(epoch FROM now() - min({0})), 0)::float8"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure: its name, what it means, and the statement that finds a row per label's value, or one number.

    `labels` are the names of the row's first columns.
    """

    name: str
    means: str
    sql: str
    labels: tuple[str, ...] = ()


MEASURES = (
    Measure(
        "runs",
        "Runs that have not ended, by state.",
        f"SELECT state, count(*) FROM runs_run WHERE {_OPEN} GROUP BY state",
        ("state",),
    ),
    Measure(
        "runs_ended_recently",
        "Runs that ended within five minutes, by state.",
        f"SELECT run.state, count(*) FROM {_RECENT} WHERE run.finished_at > now() - {WINDOW} GROUP BY 1",
        ("state",),
    ),
    Measure(
        "queue_to_start_seconds",
        "From the creation of a run to its start, of those that started within five minutes.",
        "SELECT q::text, coalesce(percentile_cont(q) WITHIN GROUP (ORDER BY extract(epoch FROM run.started_at - run.created_at)), 0) "
        f"FROM unnest(array[0.5, 0.99]::float8[]) AS q LEFT JOIN ({_RECENT}) ON run.started_at > now() - {WINDOW} GROUP BY q",
        ("quantile",),
    ),
    Measure(
        "queued_oldest_seconds",
        "How long the oldest run that has not started waits.",
        f"SELECT {_AGE.format('created_at')} FROM runs_run WHERE {_OPEN} AND state = 'queued'",
    ),
    Measure(
        "steps",
        "Steps of runs that have not ended, by state.",
        f"SELECT step.state, count(*) FROM runs_run AS run JOIN runs_step AS step ON step.run_id = run.id WHERE run.{_OPEN} GROUP BY 1",
        ("state",),
    ),
    Measure(
        "model_calls_recently",
        "Model calls that ended within five minutes, by status.",
        f"SELECT call.status, count(*) FROM {_CALLS} GROUP BY 1",
        ("status",),
    ),
    Measure(
        "model_tokens_recently",
        "Tokens of these calls.",
        f"SELECT coalesce(sum(call.input_tokens + call.output_tokens), 0) FROM {_CALLS}",
    ),
    Measure(
        "cost_micros_recently",
        "What these calls cost, in micro-dollars, as far as their prices are known.",
        f"SELECT coalesce(sum(call.cost_micros), 0) FROM {_CALLS}",
    ),
    Measure(
        "unpriced_calls_recently",
        "How many of these calls have no known price.",
        f"SELECT count(*) FROM {_CALLS} WHERE call.cost_micros IS NULL",
    ),
    Measure(
        "reserved_micros",
        "What runs under way have reserved, in micro-dollars.",
        f"SELECT coalesce(sum(reserved_micros), 0) FROM runs_run WHERE {_OPEN}",
    ),
    Measure(
        "refused_by_cap_recently",
        "Runs that a cap ended within five minutes, by the kind of cap.",
        f"SELECT run.error->>'code', count(*) FROM {_RECENT} "
        f"WHERE run.finished_at > now() - {WINDOW} AND run.error->>'class' = 'budget' GROUP BY 1",
        ("cap",),
    ),
    Measure(
        "approvals_waiting",
        "Questions that wait for a person, by kind.",
        "SELECT kind, count(*) FROM approvals_approval WHERE state = 'open' GROUP BY kind",
        ("kind",),
    ),
    Measure(
        "approvals_oldest_seconds",
        "How long the oldest of them waits.",
        f"SELECT {_AGE.format('created_at')} FROM approvals_approval WHERE state = 'open'",
    ),
    Measure(
        "inbox_waiting",
        "Facts that wait for the owner of their run.",
        "SELECT count(*) FROM runs_inbox WHERE taken_at IS NULL",
    ),
    Measure(
        "inbox_oldest_seconds",
        "How long the oldest of them waits.",
        f"SELECT {_AGE.format('created_at')} FROM runs_inbox WHERE taken_at IS NULL",
    ),
    Measure(
        "leases_held",
        "Runs that a worker owns.",
        "SELECT count(*) FROM runs_run WHERE owner IS NOT NULL AND lease_until >= now()",
    ),
    Measure(
        "leases_expired",
        "Runs whose worker has not renewed its lease.",
        "SELECT count(*) FROM runs_run WHERE owner IS NOT NULL AND lease_until < now()",
    ),
    Measure(
        "workers",
        "Workers that own a run.",
        "SELECT count(DISTINCT owner) FROM runs_run WHERE owner IS NOT NULL AND lease_until >= now()",
    ),
    Measure(
        "outbox_events_waiting",
        "What happened and was not spread to people yet.",
        "SELECT count(*) FROM notices_event WHERE taken_at IS NULL",
    ),
    Measure(
        "outbox_waiting",
        "Emails and channel messages that are due.",
        "SELECT count(*) FROM notices_delivery WHERE state = 'waiting' AND next_at <= now()",
    ),
    Measure(
        "outbox_oldest_seconds",
        "How long the one that is due longest is due.",
        f"SELECT {_AGE.format('next_at')} FROM notices_delivery WHERE state = 'waiting' AND next_at <= now()",
    ),
    Measure(
        "outbox_given_up_recently",
        "Deliveries given up within a day.",
        "SELECT count(*) FROM notices_delivery WHERE state = 'dead' AND ended_at > now() - interval '1 day'",
    ),
)

Found = list[tuple[Measure, list[tuple[tuple[str, ...], float]]]]


def measure() -> Found:
    """Return every figure with its values, by the values of its labels."""
    found: Found = []
    with connection.cursor() as cursor:
        for one in MEASURES:
            cursor.execute(one.sql)
            places = len(one.labels)
            rows = [(tuple(str(value) for value in row[:places]), float(row[places])) for row in cursor.fetchall()]
            found.append((one, rows))
    return found
