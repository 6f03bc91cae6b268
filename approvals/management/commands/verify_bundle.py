"""Say whether an evidence bundle is as it was made."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import seals
from approvals.evidence import checking


class Command(BaseCommand):
    help = "Check the signature and every sum of an evidence bundle of a run; exits 1 when it is not as it was made."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="the archive that was downloaded")
        parser.add_argument("--key", metavar="HEX", help="public key of the installation that made it; ours without")
        parser.add_argument("--show-key", action="store_true", help="print this installation's public key")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["show_key"]:
            self.stdout.write(seals.public_key())
            return
        if options["file"] is None:
            raise CommandError("Name the file to check.")
        try:
            with options["file"].open("rb") as file:
                found = checking.check(file, options["key"] or seals.public_key())
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        for one in found.wrong:
            self.stderr.write(one)
        if found.wrong:
            raise CommandError("The bundle is not as it was made.")
        said = found.manifest
        count = len(said["files"])
        self.stdout.write(
            f"Whole: run {said['number']} of {said['pipeline']} in {said['workspace']}, {count} files, "
            f"made {said['made_at']} by {said['made_by']}. Audit log then: {said['audit']['entries']} entries, "
            f"last hash {said['audit']['last']}."
        )
        if said.get("trimmed_at"):
            self.stdout.write(f"The run's events and spans had been removed at {said['trimmed_at']}: none is in it.")
        if said.get("content_removed_at"):
            self.stdout.write(f"So had, at {said['content_removed_at']}, what the run was given and said.")
