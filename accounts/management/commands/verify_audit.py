"""Say whether the audit chain is whole."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit
from accounts.models import Workspace


class Command(BaseCommand):
    help = "Verify the audit chain of every workspace and name the first broken entry; exits 1 when one is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="only this workspace")

    def handle(self, *args: Any, **options: Any) -> None:
        workspaces = Workspace.objects.order_by("slug")
        if options["workspace"]:
            workspaces = workspaces.filter(slug=options["workspace"])
            if not workspaces:
                raise CommandError(f"There is no workspace {options['workspace']}.")
        broken = False
        for workspace in workspaces:
            found = audit.verify(workspace)
            if found:
                broken = True
                self.stderr.write(f"{workspace.slug}: broken at entry {found.seq}: {found.why}.")
            else:
                count, last = audit.head(workspace)
                self.stdout.write(f"{workspace.slug}: {count} entries, whole. Last hash: {last or '-'}")
        if broken:
            raise CommandError("The audit log is not as it was written.")
