"""Who may do what, and whose rows they see: the only code that knows roles and scopes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase

from accounts.errors import Forbidden, NotFound, NotSignedIn
from accounts.models import Membership, User, Workspace
from accounts.roles import Role, Scope

M = TypeVar("M", bound=Model)
SESSION_WORKSPACE = "workspace"


class Capability(StrEnum):
    """What can be asked of a workspace. The value completes the sentence "You may not …"."""

    READ = "read this workspace"
    RUN = "start runs"
    EDIT = "edit pipelines and agents"
    PUBLISH = "publish pipelines"
    DECIDE = "answer approvals"
    DECIDE_BUDGET = "answer budget requests"
    CANCEL_ANY = "stop other people's runs"
    MANAGE = "set budgets and prices"
    CONNECTIONS = "change connections"
    SECRETS = "write secrets"
    MEMBERS = "change members"
    TOKENS = "make API tokens"
    READ_AUDIT = "read the audit log"
    EXPORT = "export records"


_EVERYBODY = frozenset({Capability.READ, Capability.TOKENS})
_DECIDING = frozenset({Capability.DECIDE, Capability.DECIDE_BUDGET})
_OF_ROLE: dict[Role, frozenset[Capability]] = {
    Role.VIEWER: _EVERYBODY,
    Role.COMPOSER: _EVERYBODY | {Capability.RUN, Capability.EDIT, Capability.PUBLISH},
    Role.REVIEWER: _EVERYBODY | {Capability.DECIDE},
    Role.MANAGER: _EVERYBODY | {Capability.MANAGE, Capability.DECIDE_BUDGET, Capability.CANCEL_ANY, Capability.EXPORT},
    Role.AUDITOR: _EVERYBODY | {Capability.READ_AUDIT, Capability.EXPORT},
    Role.ADMIN: frozenset(Capability) - _DECIDING,
}
_SCOPE: dict[Capability, Scope] = {
    Capability.READ: Scope.READ,
    Capability.RUN: Scope.RUN,
    Capability.EDIT: Scope.EDIT,
    Capability.PUBLISH: Scope.EDIT,
    Capability.DECIDE: Scope.DECIDE,
    Capability.DECIDE_BUDGET: Scope.DECIDE,
    Capability.CANCEL_ANY: Scope.MANAGE,
    Capability.MANAGE: Scope.MANAGE,
    Capability.CONNECTIONS: Scope.ADMIN,
    Capability.SECRETS: Scope.ADMIN,
    Capability.MEMBERS: Scope.ADMIN,
    Capability.TOKENS: Scope.ADMIN,
    Capability.READ_AUDIT: Scope.READ,
    Capability.EXPORT: Scope.READ,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person acting in one workspace; through a token they do the lesser of their roles and its scopes."""

    user: User
    workspace: Workspace
    roles: frozenset[Role]
    scopes: frozenset[Scope] | None = None

    def can(self, capability: Capability) -> bool:
        allowed = any(capability in _OF_ROLE[role] for role in self.roles)
        return allowed and (self.scopes is None or _SCOPE[capability] in self.scopes)


def actor_for(user: User, slug: str | None = None, scopes: Iterable[str] | None = None) -> Actor:
    """Return the person as a member of the workspace with this slug, or of the first one they joined.

    Raises NotFound where they are no member, whether or not the workspace exists. One query.
    """
    memberships = Membership.objects.filter(user=user, user__is_active=True).select_related("workspace")
    if slug is not None:
        memberships = memberships.filter(workspace__slug=slug)
    membership = memberships.order_by("created_at", "id").first()
    if membership is None:
        raise NotFound("There is no workspace here that you belong to. Ask an admin of the workspace to add you.")
    roles = frozenset(Role(role) for role in membership.roles) or frozenset({Role.VIEWER})
    limits = None if scopes is None else frozenset(Scope(scope) for scope in scopes)
    return Actor(user, membership.workspace, roles, limits)


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts in this request, by token or session; raises NotSignedIn, or NotFound without a membership."""
    for name in ("auth", "actor"):
        actor = getattr(request, name, None)
        if isinstance(actor, Actor):
            return actor
    return session_actor(request, remember=False)


def session_actor(request: HttpRequest, *, remember: bool) -> Actor:
    """Return the signed-in person in the workspace of `?workspace=`, else the session's, else their first.

    `remember` keeps a workspace chosen by the address in the session. Raises NotSignedIn or NotFound.
    """
    if not request.user.is_authenticated:
        raise NotSignedIn("Sign in first.")
    user = request.user
    chosen = request.GET.get("workspace")
    if chosen:
        actor = actor_for(user, chosen)
        if remember and request.session.get(SESSION_WORKSPACE) != chosen:
            request.session[SESSION_WORKSPACE] = chosen
        return actor
    kept = request.session.get(SESSION_WORKSPACE)
    try:
        return actor_for(user, kept)
    except NotFound:
        if kept is None:
            raise
        return actor_for(user)  # they left the workspace the session remembers


def require(actor: Actor, capability: Capability) -> None:
    """Return if the actor may; else raise Forbidden with a sentence that names what is missing."""
    if actor.can(capability):
        return
    code = "not_a_reviewer" if capability in _DECIDING else "forbidden"
    if any(capability in _OF_ROLE[role] for role in actor.roles):
        missing = f"this token lacks the scope {_SCOPE[capability]}. Make a token with that scope"
    else:
        roles = " or ".join(role for role in Role if capability in _OF_ROLE[role])
        missing = f"that needs the role {roles}. Ask an admin of the workspace"
    raise Forbidden(f"You may not {capability} in {actor.workspace.name}: {missing}.", code=code)


def scoped(source: type[M] | QuerySet[M], actor: Actor, *, through: str = "workspace") -> QuerySet[M]:
    """Return the rows of the actor's workspace. `through` is the lookup that leads to it, as "run__workspace"."""
    rows = source if isinstance(source, QuerySet) else source._default_manager.all()
    return rows.filter(**{through: actor.workspace.pk})


def get(source: type[M] | QuerySet[M], actor: Actor, *, through: str = "workspace", **lookup: Any) -> M:
    """Return the one row of the actor's workspace; raise NotFound alike for absent, malformed and others' ids."""
    rows = scoped(source, actor, through=through)
    try:
        return rows.get(**lookup)
    except (ObjectDoesNotExist, ValidationError, ValueError):
        raise NotFound from None


View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Make a page for members: others are sent to sign in, then back. The view reads `request.actor`."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if getattr(request, "actor", None) is None:
            raise NotFound("You belong to no workspace yet. Ask an admin of a workspace to add you.")
        return view(request, *args, **kwargs)

    return guarded
