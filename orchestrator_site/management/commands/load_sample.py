"""Load the sample workspace."""

import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrator_site.embedded import addresses
from pipelines.gallery import sample


class Command(BaseCommand):
    help = "Make what the sample workspace lacks: its people, the templates, a budget. Repeating changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="say nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        password = settings.SAMPLE_PASSWORD or addresses.kept_secret(
            settings.DATA_DIR, "sample-password", lambda: secrets.token_urlsafe(9)
        )
        try:
            made = sample.load(password)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        if options["quiet"] or options["verbosity"] == 0:
            return
        self.stdout.write(f"Made: {', '.join(made)}." if made else "The sample workspace is complete.")
        self.stdout.write(f"Sign in as {sample.AUTHOR} with the password {password}")
