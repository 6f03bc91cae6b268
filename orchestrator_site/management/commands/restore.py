"""Bring a backup into an empty database, and say whether all of it is there."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.whole import WholeCommand
from orchestrator_site import keeping


class Command(WholeCommand):
    help = "Restore a backup into the empty database of DATABASE_URL; exits 1 unless all that was kept came back."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="what manage.py backup wrote")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            proof = keeping.restore(options["file"])
        except keeping.CannotKeep as failure:
            raise CommandError(str(failure)) from failure
        rows = sum(proof["rows"].values())
        self.stdout.write(f"{rows:,} rows came back; the audit logs and the sums of the ledger are what they were.")
        closed = keeping.unreadable()
        if closed:
            self.stderr.write(f"No key here opens {', '.join(closed[:5])}{' and others' if closed[5:] else ''}.")
            raise CommandError(
                f"The backup was made with the key of fingerprint {proof['key']}. Put it into BATON_ENCRYPTION_KEYS "
                "(or the SECRET_KEY of then), or set these secrets anew."
            )
