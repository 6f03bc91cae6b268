"""Say whether the audit chain is whole."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import audit, heads
from accounts.management.whole import WholeCommand
from accounts.models import Workspace


class Command(WholeCommand):
    help = "Verify the audit chain of every workspace and name the first broken entry; exits 1 when one is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="only this workspace")
        parser.add_argument("--heads", metavar="FILE", help="hold the chains against heads that were kept elsewhere")

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
        if options["heads"]:
            broken |= self._differ(Path(options["heads"]), {one.slug for one in workspaces})
        if broken:
            raise CommandError("The audit log is not as it was written.")

    def _differ(self, file: Path, slugs: set[str]) -> bool:
        try:
            kept = [head for head in heads.read(file.read_text().splitlines()) if head["workspace"] in slugs]
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None
        wrong = [(head, why) for head in kept if (why := heads.differs(head))]
        for head, why in wrong:
            self.stderr.write(f"{head['workspace']}: {why}.")
        self.stdout.write(f"{len(kept) - len(wrong)} of {len(kept)} heads that were kept are those of the chains.")
        return bool(wrong)
