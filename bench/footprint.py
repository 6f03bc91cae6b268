"""`python -m bench.footprint [--runs 300]`: what a run leaves in the database; what a worker and a web process weigh.

Runs chains of ten agents one after the other and divides what the tables grew by, with their indexes. The prompts and
answers are those of the measurement (some three hundred letters): longer ones add their own length.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import psutil

from bench import services
from bench.run import stub, times, worker
from bench.table import conditions, told
from bench.web import web

STEPS = 10
AT_ONCE = 20
_TABLES = """
select coalesce(i.inhparent::regclass::text, c.relname), sum(pg_total_relation_size(c.oid)), sum(pg_indexes_size(c.oid))
from pg_class c join pg_namespace n on n.oid = relnamespace left join pg_inherits i on i.inhrelid = c.oid
where relkind = 'r' and nspname = 'public' group by 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    with services.running(), stub() as (address, _), worker() as pid, web() as server:
        weights = {"worker_mb": _megabytes(pid), "web_mb": _megabytes(server.pid)}
        told({"figure": "footprint", "steps": STEPS, "runs": runs, **left_by(address, runs), **weights, **conditions()})


def left_by(address: str, runs: int) -> dict[str, Any]:
    """Return the rows and bytes that a run leaves, also by table, where it leaves some."""
    from bench import workloads

    actor = workloads.bench_actor(address)
    pipeline = workloads.chain(actor, STEPS, 0)
    times(actor, pipeline, AT_ONCE, AT_ONCE)
    before = _counted()
    times(actor, pipeline, runs, AT_ONCE)
    after = _counted()
    grown = {name: [round((b - a) / runs, 1) for a, b in zip(before[name], after[name], strict=True)] for name in after}
    tables = {name: found for name, found in sorted(grown.items(), key=lambda one: -one[1][1]) if any(found)}
    return {
        "rows_per_run": round(sum(rows for rows, *_ in tables.values()), 1),
        "bytes_per_run": round(sum(size for _, size, _ in tables.values())),
        "of_that_indexes": round(sum(size for *_, size in tables.values())),
        "tables": {name: {"rows": rows, "bytes": size} for name, (rows, size, _) in tables.items()},
    }


def _counted() -> Mapping[str, tuple[int, int, int]]:
    """Return rows, bytes and the indexes' bytes of every table, without what is dead in it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("vacuum full")
        cursor.execute(_TABLES)
        sizes = cursor.fetchall()
        found = {}
        for name, size, indexes in sizes:
            cursor.execute(f'select count(*) from "{name}"')
            found[name] = (cursor.fetchone()[0], size, indexes)
    return found


def _megabytes(pid: int) -> float:
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


if __name__ == "__main__":
    main()
