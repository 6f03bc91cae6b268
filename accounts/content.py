"""Content is what pipelines and runs say: prompts, inputs, outputs, payloads. A workspace may keep it from some roles.

They see what things cost. Which addresses show no content to them stands here; every other one is refused, so that a
new one is, too, until somebody has looked at it.
"""

from collections.abc import Iterable

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Forbidden, Invalid
from accounts.models import Workspace
from accounts.roles import Role

HIDEABLE = (Role.VIEWER, Role.MANAGER, Role.AUDITOR)
"""Who composes, reviews or administers works with content."""

_AREAS = (
    *("account/", "audit", "costs/", "counts/", "invitations/", "login/", "logout/", "notices/", "password/"),
    *("people/", "places/", "settings/notifications/", "theme/", "healthz", "readyz", "metrics", "hooks/"),
    *("connections/", "csp-reports", "violations/"),
    # of the desk, only what is about money is theirs: `approvals.questions.readable`
    "approvals/",
)
_PAGES = {"", "pipelines/", "runs/", "runs/<uuid:run_id>/", "runs/<uuid:run_id>/asks/", "runs/<uuid:run_id>/buttons/"}
_PAGES |= {f"runs/<uuid:run_id>/{act}/" for act in ("cancel", "stop", "pause", "resume")}
_API = "api/v1/"
_API_AREAS = (
    *("absences", "alert-rules", "approval-rules", "approvals", "audit", "budgets", "calendars", "channels"),
    *("connections", "content", "costs", "decisions", "deliveries", "members", "notices", "preferences", "prices"),
    *("secrets", "tokens", "what-if"),
)
_ROUTES = {"runs", *(f"runs/<run_id>{rest}" for rest in ("", "/ledger", "/receipt"))}
_ROUTES |= {f"runs/<run_id>/{act}" for act in ("cancel", "pause", "resume", "steps/stop")}


def is_free_of_it(route: str) -> bool:
    """Tell whether an address, as the router writes it, shows nothing of what runs say to those who may not see it."""
    if route.startswith(_API):
        rest = route.removeprefix(_API)
        return rest in _ROUTES or rest.startswith(_API_AREAS)
    return route in _PAGES or route.startswith(_AREAS)


def admit(actor: Actor, route: str) -> None:
    """Return if the actor may ask at this address; else raise Forbidden `content_hidden`."""
    if not actor.sees_content and not is_free_of_it(route):
        raise Forbidden(
            f"Your roles in {actor.workspace.name} show what things cost, not what they say. Ask an admin of the "
            "workspace.",
            code="content_hidden",
        )


def hide_from(actor: Actor, roles: Iterable[Role]) -> list[Role]:
    """Show these roles of the workspace costs alone, and all others content; return them.

    Raises Forbidden, or Invalid `needs_content` for a role that works with content.
    """
    require(actor, Capability.MEMBERS)
    given = set(roles)
    if wrong := sorted(given - set(HIDEABLE)):
        raise Invalid(
            f"A {wrong[0]} works with content. It can be kept from {', '.join(HIDEABLE)}.",
            code="needs_content",
            where="/hidden_from",
        )
    hidden = [role for role in HIDEABLE if role in given]
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)
        if workspace.without_content != hidden:
            before, workspace.without_content = workspace.without_content, [role.value for role in hidden]
            workspace.save(update_fields=["without_content"])
            data = {"before": before, "hidden_from": workspace.without_content}
            audit.record(workspace, actor.user, "content_access_changed", data=data)
    actor.workspace.without_content = workspace.without_content
    return hidden
