"""Which models, tools and agents of a workspace are left alone for a while because they kept failing."""

from uuid import UUID

from pipelines.models import Circuit


def opened(workspace_id: UUID) -> list[Circuit]:
    """Return the open circuits of a workspace by name. One query."""
    return list(Circuit.objects.filter(workspace_id=workspace_id, opened_at__isnull=False).order_by("subject"))
