"""`manage.py run_pipeline SLUG --input '{}' [--wait]`: start a run from the shell; its JSON is the last line."""

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import members
from accounts.access import Actor, Capability, get
from accounts.errors import Refused
from pipelines.models import Pipeline
from runs.api import shapes
from runs.models import OPEN_RUN_STATES, Run, Via
from runs.services import Order, start_run

LOOK_EVERY = 0.2


class Command(BaseCommand):
    help = "Start a pipeline and print the run as JSON on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--input", default="{}", help="the start form's fields as a JSON object")
        parser.add_argument("--run-version", help='a number or "draft"; the published one if left out')
        parser.add_argument("--workspace", default="sample")
        parser.add_argument("--user", help="email of the member who starts it; one who may start runs if left out")
        parser.add_argument("--wait", action="store_true", help="wait until the run ends or waits for a person")
        parser.add_argument("--timeout", type=float, default=600, help="seconds to wait at the most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor = _starter(options["workspace"], options["user"])
            pipeline = get(Pipeline.objects.select_related("published"), actor, slug=options["slug"])
            run = start_run(actor, pipeline, _order(options))
        except Refused as refusal:
            raise CommandError(f"{refusal.code}: {refusal.message}") from refusal
        if options["wait"]:
            run = _ended(run, options["timeout"])
        self.stdout.write(json.dumps(shapes.run(run)))


def _order(options: dict[str, Any]) -> Order:
    try:
        values = json.loads(options["input"])
    except json.JSONDecodeError as error:
        raise CommandError(f"--input is not JSON: {error}") from error
    version = options["run_version"]
    number = int(version) if version and version.isdigit() else version
    return Order(input=values, version=number, via=Via.COMMAND)


def _starter(workspace: str, email: str | None) -> Actor:
    if actor := members.first_who_can(Capability.RUN, workspace, email):
        return actor
    whom = email or "a member who may start runs"
    raise CommandError(f"The workspace {workspace} has no such member: {whom}.")


def _ended(run: Run, seconds: float) -> Run:
    """Look at the run until it has ended or only a person can move it on."""
    deadline = time.monotonic() + seconds
    while True:
        run = Run.objects.select_related("pipeline", "version", "started_by").get(pk=run.pk)
        parked = run.state in ("waiting", "paused") and run.owner is None and run.wake_at is None
        if run.state not in OPEN_RUN_STATES or parked:
            return run
        if time.monotonic() > deadline:
            raise CommandError(f"Run {run.pk} is still {run.state} after {seconds:g} seconds; it goes on.")
        time.sleep(LOOK_EVERY)
