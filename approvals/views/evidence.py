"""The download of what a run did, as evidence."""

from uuid import UUID

from django.http import FileResponse, HttpRequest
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import actor_of, signed_in
from approvals.evidence.packing import evidence_of


@never_cache
@require_POST
@signed_in
def run_evidence(request: HttpRequest, run_id: UUID) -> FileResponse:
    """An archive with a signed manifest, of a run that has ended."""
    run, file = evidence_of(actor_of(request), run_id)
    name = f"{run.workspace.slug}-run-{run.number}.zip"
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")
