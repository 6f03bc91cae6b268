"""`manage.py evaluate PIPELINE[@V] --dataset NAME[@V] …`: evaluate from the shell, for build servers.

Exit codes: 0 the gate held, 100 it did not, 1 an error (also, whatever the gate, when an answer could not be scored), 2
wrong usage.
"""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import members
from accounts.access import Actor, Capability
from accounts.errors import Invalid, NotFound, Refused
from evals import evaluations, progress, reports, shapes
from evals.evaluations import Gate, Order
from evals.models import Evaluation
from pipelines.graph.model import Json

HELD, ERROR, USAGE, MISSED = 0, 1, 2, 100
LOOK_EVERY = 0.3


class Command(BaseCommand):
    help = "Evaluate a version of a pipeline on a dataset. Exit 0: the gate held, 100: it did not, 1: error, 2: usage."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "pipeline", metavar="PIPELINE[@V]", help='V is a number or "draft"; the published one if left out'
        )
        parser.add_argument("--dataset", required=True, metavar="NAME[@V]")
        parser.add_argument("--baseline", type=_number, metavar="V", help="a version to compare with")
        parser.add_argument("--repeats", type=_number, default=3)
        parser.add_argument("--judge", default="", help="the model of rubrics that name none")
        parser.add_argument(
            "--prefer", default="", metavar="TEXT", help="have the judge choose by this between both versions' answers"
        )
        parser.add_argument("--seed", type=int, default=0, help="of the interval's resampling")
        parser.add_argument("--min-pass-rate", type=_part, metavar="0–1")
        parser.add_argument(
            "--max-cost",
            metavar="USD",
            help="also bounds what is spent; a baseline not evaluated yet may cost as much again",
        )
        parser.add_argument("--max-regression", type=_part, metavar="0–1")
        parser.add_argument("--junit", metavar="F", type=Path, help="write JUnit XML there")
        parser.add_argument("--json", metavar="F", type=Path, help="write the whole report there")
        parser.add_argument("--replay", action="store_true", help="score recorded answers again; needs no keys")
        parser.add_argument("--workspace", default="sample")
        parser.add_argument("--user", help="email of the member who evaluates; one who may if left out")
        parser.add_argument("--timeout", type=float, default=3_600, help="seconds to wait at the most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            order = _order(options)
            actor = _starter(options["workspace"], options["user"])
            evaluation = evaluations.start(actor, order)
        except (Invalid, NotFound) as refusal:
            raise CommandError(f"{refusal.code}: {refusal.message}", returncode=USAGE) from refusal
        except Refused as refusal:
            raise CommandError(f"{refusal.code}: {refusal.message}", returncode=ERROR) from refusal
        report = shapes.report(_ended(actor, evaluation, options["timeout"]))
        _write(options, report)
        self.stdout.write(_words(report))
        sys.exit(_code(report))


def _order(options: dict[str, Any]) -> Order:
    pipeline, _, version = options["pipeline"].partition("@")
    dataset, _, dataset_version = options["dataset"].partition("@")
    return Order(
        pipeline=pipeline,
        dataset=dataset,
        version=int(version) if version.isdecimal() and version.isascii() else version or None,
        dataset_version=_version(dataset_version) if dataset_version else None,
        baseline=options["baseline"],
        repeats=options["repeats"],
        seed=options["seed"],
        judge=options["judge"],
        gate=Gate(options["min_pass_rate"], options["max_cost"], options["max_regression"]),
        replay=options["replay"],
        prefer=options["prefer"],
    )


def _ended(actor: Actor, evaluation: Evaluation, seconds: float) -> Evaluation:
    """Take the evaluation forward until it has ended. Without a replay it needs a worker for its runs."""
    deadline = time.monotonic() + seconds
    while True:
        progress.advance(evaluation.baseline_id or evaluation.pk)
        progress.advance(evaluation.pk)
        found = evaluations.read(actor, evaluation.pk)
        if not found.is_open:
            return found
        if time.monotonic() > deadline:
            message = (
                f"The evaluation {found.pk} is still running after {seconds:g} seconds; it goes on. Is a worker up?"
            )
            raise CommandError(message, returncode=ERROR)
        time.sleep(0 if evaluation.replay else LOOK_EVERY)


def _write(options: dict[str, Any], report: dict[str, Json]) -> None:
    try:
        if options["json"]:
            options["json"].write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if options["junit"]:
            options["junit"].write_text(reports.junit(report), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The report could not be written: {error}", returncode=ERROR) from error


def _words(report: dict[str, Json]) -> str:
    if report["state"] != "finished":
        return f"The evaluation {report['state']}: {report['reason']}"
    found = report["summary"]
    rate = "–" if found["pass_rate"] is None else f"{found['pass_rate']:.1%}"
    score = "–" if found["score"] is None else f"{found['score']:.3f}"
    cost = "unknown" if found["cost_usd"] is None else f"${found['cost_usd']}"
    lines = [f"{found['cases']} cases, score {score}, {rate} passed, {found['errors']} errors, cost {cost}."]
    if found["flaky"]:
        lines.append(f"Flaky: {', '.join(found['flaky'])}.")
    if against := report["comparison"]:
        width = f"{against['difference']:+.3f} ({against['low']:+.3f} to {against['high']:+.3f})"
        lines.append(f"Against v{report['baseline']['version']}: {against['verdict']}, {width}, p {against['p']:.3f}.")
    elif report["not_compared"]:
        lines.append(report["not_compared"])
    if chosen := report["preference"]:
        counts = f"{chosen['won']} won, {chosen['tied']} tied, {chosen['lost']} lost"
        sure = "" if chosen["p"] is None else f", p {chosen['p']:.3f}"
        lines.append(f"The judge chose: {chosen['verdict'] or 'nothing'}, {counts}{sure}.")
    return "\n".join([*lines, *(f"Gate missed. {sentence}" for sentence in report["gate"]["missed"]), report["url"]])


def _code(report: dict[str, Json]) -> int:
    if report["state"] != "finished" or report["summary"]["errors"]:
        return ERROR
    return MISSED if report["gate"]["missed"] else HELD


def _starter(workspace: str, email: str | None) -> Actor:
    if actor := members.first_who_can(Capability.RUN, workspace, email):
        return actor
    whom = email or "a member who may start runs"
    raise CommandError(f"The workspace {workspace} has no such member: {whom}.", returncode=USAGE)


def _version(text: str) -> int:
    try:
        return _number(text)
    except ArgumentTypeError as error:
        raise CommandError(f"--dataset: {error}", returncode=USAGE) from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10):
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _part(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= found <= 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return found
