"""Make a workspace with its first admin."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import audit
from accounts.models import Membership, User, Workspace
from accounts.roles import Role


class Command(BaseCommand):
    help = "Make a workspace and its first admin, who adds everybody else. Set a password with changepassword EMAIL."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--admin", required=True, metavar="EMAIL")
        parser.add_argument("--name", help="shown to people; the slug unless given")
        parser.add_argument("--zone", default="UTC", help="time zone in which days and months of budgets end")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace(slug=options["slug"], name=options["name"] or options["slug"], zone=options["zone"])
        user = User.objects.filter(email=options["admin"].lower()).first()
        user = user or User(email=options["admin"].lower(), password=make_password(None))
        try:
            workspace.full_clean()
            user.full_clean(validate_unique=False)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        with transaction.atomic():
            user.save()
            workspace.save()
            Membership.objects.create(workspace=workspace, user=user, roles=[Role.ADMIN])
            audit.record(workspace, "operator", "workspace_created", workspace.slug, {"admin": user.email})
        self.stdout.write(f"Workspace {workspace.slug} is ready; {user.email} is its admin.")
