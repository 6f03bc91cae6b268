"""Say how many days a workspace keeps the events and spans of ended runs, or what they were given and said."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import audit
from accounts.models import Workspace

LEAST = 31


class Command(BaseCommand):
    help = (
        "Set how many days a workspace keeps the logs and traces of ended runs, or with --content all that they were "
        "given and said. What they cost and what people decided is kept for ever."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", metavar="SLUG")
        parser.add_argument("days", help=f"at least {LEAST}, or `ever`")
        parser.add_argument("--content", action="store_true", help="of what runs were given and said")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days != "ever" and not (days.isdecimal() and LEAST <= int(days) <= 36_500):
            raise CommandError(f"Days are a number from {LEAST}, or `ever`; {days!r} is neither.")
        column = "keep_content_days" if options["content"] else "keep_days"
        _set(options["workspace"], column, None if days == "ever" else int(days))
        for_how_long = "for ever" if days == "ever" else f"for {days} days after a run has ended"
        what = "what runs are given and say" if options["content"] else "logs and traces"
        self.stdout.write(f"{options['workspace']} keeps {what} {for_how_long}.")


@transaction.atomic
def _set(slug: str, column: str, days: int | None) -> None:
    workspace = Workspace.objects.select_for_update(no_key=True).filter(slug=slug).first()
    if workspace is None:
        raise CommandError(f"There is no workspace {slug}.")
    before = getattr(workspace, column)
    if before != days:
        Workspace.objects.filter(pk=workspace.pk).update(**{column: days})
        audit.record(workspace, "operator", "retention_changed", slug, {"what": column, "days": days, "before": before})
