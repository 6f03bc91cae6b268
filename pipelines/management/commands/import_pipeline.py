"""Make a draft from a bundle or a document in a file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.access import Actor, Capability, actor_for
from accounts.errors import Refused
from accounts.ids import new_id
from accounts.models import Membership
from pipelines import bundles, drafts


class Command(BaseCommand):
    help = "Make a draft from a pipeline or a bundle in JSON and list what is left to do. Nothing in the file is run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=["auto", "baton"], default="auto")
        parser.add_argument("--workspace", metavar="SLUG", help="needed when there are several")
        parser.add_argument("--user", metavar="EMAIL", help="who imports it; by default the first composer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor = _actor(options["workspace"], options["user"])
            found = bundles.imported(actor, options["file"].read_bytes(), f"command-{new_id()}")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        except Refused as refused:
            where = f" (at {refused.where})" if refused.where else ""
            raise CommandError(f"{refused.code}: {refused.message}{where}") from None
        pipeline = found.pipeline
        what = "Made the draft" if pipeline.slug in found.made else "Nothing to make: this is already the pipeline"
        self.stdout.write(f"{what} {pipeline.slug} in {actor.workspace.slug}.")
        for word, names in (("Came along", found.made), ("Used as they were", found.reused)):
            if others := [name for name in names if name != pipeline.slug]:
                self.stdout.write(f"{word}: {', '.join(others)}.")
        if found.missing:
            self.stdout.write(f"Secrets that are not here: {', '.join(found.missing)}.")
        for problem in drafts.problems(actor, pipeline):
            self.stdout.write(f"{problem.severity}: {problem.message} ({problem.where or 'the pipeline'})")


def _actor(workspace: str | None, email: str | None) -> Actor:
    """Return the person named, else the first who may edit, in the workspace named, else in the only one."""
    members = Membership.objects.active().select_related("user", "workspace").order_by("created_at", "id")
    if workspace is not None:
        members = members.filter(workspace__slug=workspace)
    elif members.order_by().values("workspace").distinct().count() > 1:
        raise CommandError("There are several workspaces. Say which with --workspace.")
    if email is not None:
        members = members.filter(user__email=email.lower())
    for membership in members:
        actor = actor_for(membership.user, membership.workspace.slug)
        if email is not None or actor.can(Capability.EDIT):
            return actor
    who = f"{email} is no member" if email else "Nobody who may edit pipelines is a member"
    raise CommandError(f"{who} of {workspace or 'a workspace'}.")
