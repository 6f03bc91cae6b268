"""Write a pipeline, as a bundle, to standard output."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import NotFound
from pipelines import bundles
from pipelines.models import Pipeline
from pipelines.publish import version_of


class Command(BaseCommand):
    help = (
        "Print a pipeline with its agents and children as JSON: its published version, or its draft while it has none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--workspace", metavar="SLUG", help="where several workspaces have such a pipeline")
        parser.add_argument("--version-number", type=int, metavar="N", help="this version instead of the published one")
        parser.add_argument("--alone", action="store_true", help="only its document, without what it names")
        parser.add_argument("--draft", action="store_true", help="the draft instead of the published version")

    def handle(self, *args: Any, **options: Any) -> None:
        pipeline = _pipeline(options["slug"], options["workspace"])
        document = pipeline.draft.document
        if options["version_number"] is not None:
            try:
                document = version_of(pipeline, options["version_number"]).document
            except NotFound:
                raise CommandError(f"{pipeline.slug} has no version {options['version_number']}.") from None
        elif pipeline.published is not None and not options["draft"]:
            document = pipeline.published.document
        if not options["alone"]:
            document = bundles.exported(pipeline, document)
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))


def _pipeline(slug: str, workspace: str | None) -> Pipeline:
    found = Pipeline.objects.select_related("workspace", "published", "draft").filter(slug=slug)
    if workspace is not None:
        found = found.filter(workspace__slug=workspace)
    rows = list(found[:2])
    if not rows:
        raise CommandError(f"There is no pipeline {slug}.")
    if len(rows) > 1:
        raise CommandError(f"Several workspaces have a pipeline {slug}. Say which with --workspace.")
    return rows[0]
