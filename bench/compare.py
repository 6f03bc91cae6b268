"""Baton and its peers side by side in one session: `python -m bench.compare [--rounds N] [-w W1 …]`.

Peers are commands of your own, named in BATON_BENCH_PEERS, one per line or separated by ";", each with the interpreter
of its own virtual environment: `NAME=/path/to/venv/bin/python /path/to/peer.py --mode sync`. A peer is called with
`-w W1|W2|W3 --ms N`, asks the model server at the address in STUB, keeps its state in the PostgreSQL of PGHOST, PGPORT
and PGUSER, and prints as its last line the JSON that `bench.run` prints: {"workload", "median_s",
"cpu_s_per_1000_steps", "rss_mb", "runs_per_s" (W3)}. Nothing of a peer is imported here.

In each round every workload is measured for each peer and for Baton, one after the other, so that a machine that
becomes slower does so for all. The closing lines are the medians of the ratios within a round: below 1 is faster, for
`runs_per_s` above 1. Both sides should use the same server: give Baton its address in DATABASE_URL.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from bench import services
from bench.run import EVERY, IDEAL, measure, runs_of, stub, worker
from bench.table import conditions, ratio_of, told

Figures = dict[str, Any]
COMPARED = ("median_s", "cpu_s_per_1000_steps", "runs_per_s", "rss_mb")
MOST_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-w", "--workload", choices=IDEAL, action="append")
    options = parser.parse_args()
    peers = named_peers(os.environ.get("BATON_BENCH_PEERS", ""))
    chosen = [(name, ms) for name, ms in EVERY if not options.workload or name in options.workload]
    measured: defaultdict[tuple[str, str], list[Figures]] = defaultdict(list)
    with services.running(), stub() as (address, _), worker() as pid:
        for number in range(1, options.rounds + 1):
            for workload, ms in chosen:
                where = f"{workload}-{ms}ms"
                for name, command in peers.items():
                    measured[where, name].append(told_by(command, workload, ms, address))
                ours = measure(workload, ms, runs_of(workload, ms), (address, pid))
                measured[where, "baton"].append(ours)
                for name in (*peers, "baton"):
                    told({"round": number, **measured[where, name][-1], "peer": name, **conditions()})
    for workload, ms in chosen:
        for name in peers:
            where = f"{workload}-{ms}ms"
            told({"workload": where, "against": name, **compared(measured[where, "baton"], measured[where, name])})


def named_peers(text: str) -> dict[str, list[str]]:
    """Return {name: command} of `NAME=command` entries; say what is wrong with one that cannot be run."""
    peers = {}
    for entry in filter(None, (part.strip() for part in text.replace("\n", ";").split(";"))):
        name, _, command = entry.partition("=")
        words = shlex.split(command)
        if not words or not os.access(words[0], os.X_OK):
            sys.exit(f"BATON_BENCH_PEERS: {entry!r} is not NAME=/path/to/python /path/to/script.py …")
        peers[name.strip()] = words
    if not peers:
        sys.exit("BATON_BENCH_PEERS names no peer. python -m bench.compare --help says how.")
    return peers


def told_by(command: list[str], workload: str, ms: int, stub_address: str) -> Figures:
    """Run a peer's command on one workload and return the figures it printed last."""
    environment = {name: value for name, value in os.environ.items() if name != "OUT"} | {"STUB": stub_address}
    done = subprocess.run(
        [*command, "-w", workload, "--ms", str(ms)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{shlex.join(command)} on {workload} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(lines[-1])
    return found


def compared(ours: list[Figures], theirs: list[Figures]) -> Mapping[str, Any]:
    """Return the ratios of what both sides measured."""
    both = [name for name in COMPARED if name in ours[0] and name in theirs[0]]
    return {name: ratio_of([one[name] for one in ours], [one[name] for one in theirs]) for name in both}


if __name__ == "__main__":
    main()
