"""Keep the whole database in one file."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.whole import WholeCommand
from orchestrator_site import keeping


class Command(WholeCommand):
    help = "Write the database and a proof of what it holds to a new file, while everything runs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="where to; it must not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"].resolve()
        try:
            proof = keeping.back_up(file)
        except keeping.CannotKeep as failure:
            raise CommandError(str(failure)) from failure
        for slug, why in proof["audit_broken"].items():
            self.stderr.write(f"The audit log of {slug} is not as it was written: {why}.")
        rows = sum(proof["rows"].values())
        self.stdout.write(f"{file}: {rows:,} rows of {len(proof['audit'])} workspaces, {file.stat().st_size:,} bytes.")
        self.stdout.write("Its secrets are encrypted. Keep BATON_ENCRYPTION_KEYS and SECRET_KEY apart from it.")
