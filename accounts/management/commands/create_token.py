"""Make an API token."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit, tokens
from accounts.errors import Refused
from accounts.models import Membership
from accounts.roles import Scope


class Command(BaseCommand):
    help = "Make an API token for a member and print it, and nothing else. It is not shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL")
        parser.add_argument("--workspace", required=True, metavar="SLUG")
        parser.add_argument("--scopes", required=True, metavar="LIST", help=f"of {','.join(Scope)}")
        parser.add_argument("--name", default="command line")

    def handle(self, *args: Any, **options: Any) -> None:
        membership = (
            Membership.objects.active()
            .filter(user__email=options["user"].lower(), workspace__slug=options["workspace"])
            .select_related("user", "workspace")
            .first()
        )
        if membership is None:
            raise CommandError(f"{options['user']} is no member of a workspace {options['workspace']}.")
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        try:
            bare = tokens.create(membership.user, membership.workspace, scopes, options["name"])
        except Refused as refused:
            raise CommandError(refused.message) from None
        audit.record(membership.workspace, "operator", "token_created", options["user"], {"scopes": scopes})
        self.stdout.write(bare)
