"""Say how many days a workspace keeps the events and spans of ended runs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Workspace

LEAST = 31


class Command(BaseCommand):
    help = "Set how many days a workspace keeps the logs and traces of ended runs. What they cost is kept for ever."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", metavar="SLUG")
        parser.add_argument("days", help=f"at least {LEAST}, or `ever`")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days != "ever" and not (days.isdecimal() and LEAST <= int(days) <= 36_500):
            raise CommandError(f"Days are a number from {LEAST}, or `ever`; {days!r} is neither.")
        found = Workspace.objects.filter(slug=options["workspace"]).update(
            keep_days=None if days == "ever" else int(days)
        )
        if not found:
            raise CommandError(f"There is no workspace {options['workspace']}.")
        for_how_long = "for ever" if days == "ever" else f"for {days} days after a run has ended"
        self.stdout.write(f"{options['workspace']} keeps logs and traces {for_how_long}.")
