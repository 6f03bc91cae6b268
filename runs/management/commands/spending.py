"""Check the daily books of spending against spans and ledger, or make them anew."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.whole import WholeCommand
from accounts.models import Workspace
from pipelines.graph.money import dollars
from runs.spending import booking
from runs.spending.checking import Check, check

SHOWN = 20


class Command(WholeCommand):
    help = "Compare what the dashboards say was spent with the spans and the ledger; --rebuild makes the books anew."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="only this one")
        parser.add_argument("--rebuild", action="store_true", help="make the books anew from the spans, then compare")

    def handle(self, *args: Any, **options: Any) -> None:
        workspaces = Workspace.objects.order_by("slug")
        if options["workspace"]:
            workspaces = workspaces.filter(slug=options["workspace"])
        if not workspaces:
            raise CommandError(f"There is no workspace {options['workspace']}.")
        wrong = []
        for workspace in workspaces:
            if options["rebuild"]:
                booking.rebuild(workspace)
            found = check(workspace)
            self.stdout.write(_told(workspace, found))
            if not found.is_right:
                wrong.append(workspace.slug)
        if wrong:
            raise CommandError(f"Not right in {', '.join(wrong)}. --rebuild makes the books anew from the spans.")


def _told(workspace: Workspace, found: Check) -> str:
    if found.is_right:
        return f"{workspace.slug}: right, ${dollars(found.told[0])} spent, ${dollars(found.told[1])} unconfirmed."
    lines = [f"{workspace.slug}: the books say ${dollars(found.told[0])}, the ledger ${dollars(found.ledger[0])}."]
    lines += [f"  {line}" for line in found.different[:SHOWN]]
    if len(found.different) > SHOWN:
        lines.append(f"  and {len(found.different) - SHOWN} more lines")
    return "\n".join(lines)
