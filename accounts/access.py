"""Who may do what, and whose rows they see: the only code that knows roles, scopes and shares."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, Protocol, TypeVar
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import F, Func, JSONField, Model, Q, QuerySet, Value
from django.db.models.fields.json import HasAnyKeys
from django.http import HttpRequest, HttpResponseBase

from accounts import assurance, second_line
from accounts.errors import Forbidden, NotFound, NotSignedIn, SecondFactorNeeded
from accounts.models import Membership, User, Workspace
from accounts.roles import Role, Scope, Share

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
    RATE = "rate answers"
    CANCEL_ANY = "stop other people's runs"
    MANAGE = "set budgets and prices"
    RULES = "set rules for approvals and publishing"
    CONNECTIONS = "change connections"
    SECRETS = "write secrets"
    MEMBERS = "change members"
    TOKENS = "make API tokens"
    READ_AUDIT = "read the audit log"
    EXPORT = "export records"
    READ_VIOLATIONS = "read what browsers report"
    BE_TOLD = "choose what you are told"


_EVERYBODY = frozenset({Capability.READ, Capability.TOKENS, Capability.BE_TOLD})
_DECIDING = frozenset({Capability.DECIDE, Capability.DECIDE_BUDGET})
_OF_ROLE: dict[Role, frozenset[Capability]] = {
    Role.VIEWER: _EVERYBODY,
    Role.COMPOSER: _EVERYBODY | {Capability.RUN, Capability.EDIT, Capability.PUBLISH, Capability.RATE},
    Role.REVIEWER: _EVERYBODY | {Capability.DECIDE, Capability.RATE},
    Role.MANAGER: _EVERYBODY
    | {Capability.MANAGE, Capability.RULES, Capability.DECIDE_BUDGET, Capability.CANCEL_ANY, Capability.EXPORT},
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
    Capability.RATE: Scope.DECIDE,
    Capability.CANCEL_ANY: Scope.MANAGE,
    Capability.MANAGE: Scope.MANAGE,
    Capability.RULES: Scope.MANAGE,
    Capability.CONNECTIONS: Scope.ADMIN,
    Capability.SECRETS: Scope.ADMIN,
    Capability.MEMBERS: Scope.ADMIN,
    Capability.TOKENS: Scope.ADMIN,
    Capability.READ_AUDIT: Scope.READ,
    Capability.EXPORT: Scope.READ,
    Capability.READ_VIOLATIONS: Scope.ADMIN,
    Capability.BE_TOLD: Scope.RUN,
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

    @property
    def sees_content(self) -> bool:
        """Whether a role of theirs sees what runs say; the workspace may show some roles only what things cost."""
        return not self.roles <= set(self.workspace.without_content)


@second_line.everywhere()
def actor_for(user: User, slug: str | None = None, scopes: Iterable[str] | None = None) -> Actor:
    """Return the person as a member of the workspace with this slug, or of the first one they joined.

    Raises NotFound where they are no member, whether or not the workspace exists. One query.
    """
    memberships = Membership.objects.active().filter(user=user).select_related("workspace")
    if slug is not None:
        memberships = memberships.filter(workspace__slug=slug)
    membership = memberships.order_by("created_at", "id").first()
    if membership is None:
        raise NotFound("There is no workspace here that you belong to. Ask an admin of the workspace to add you.")
    limits = None if scopes is None else frozenset(Scope(scope) for scope in scopes)
    return acting(user, membership.workspace, membership.roles, limits)


@second_line.everywhere()
def actors_for(asked: Collection[tuple[User, str]]) -> dict[tuple[UUID, str], Actor]:
    """Return, by person's id and workspace's slug, those of these people who are members of what they ask for.

    One query for all of them.
    """
    people = {user.pk: user for user, _ in asked}
    memberships = Membership.objects.active().filter(user__in=people, workspace__slug__in={slug for _, slug in asked})
    found = {(one.user_id, one.workspace.slug): one for one in memberships.select_related("workspace")}
    wanted = ((user.pk, slug) for user, slug in asked)
    return {key: acting(people[key[0]], found[key].workspace, found[key].roles) for key in wanted if key in found}


def acting(user: User, workspace: Workspace, roles: Iterable[str], scopes: frozenset[Scope] | None = None) -> Actor:
    """Return a member as who acts, by the roles of their membership: without one they view."""
    return Actor(user, workspace, frozenset(map(Role, roles)) or frozenset({Role.VIEWER}), scopes)


@second_line.everywhere()
def may_come_in(user: User) -> bool:
    """Tell whether the person may sign in: not who was deactivated, here altogether or in each workspace of theirs."""
    memberships = Membership.objects.filter(user=user)
    return user.is_active and (memberships.active().exists() or not memberships.exists())


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts in this request, by token or session; raises NotSignedIn, or NotFound without a membership."""
    for name in ("auth", "actor"):
        actor = getattr(request, name, None)
        if isinstance(actor, Actor):
            return actor
    return session_actor(request, remember=False)


def session_actor(request: HttpRequest, *, remember: bool) -> Actor:
    """Return the signed-in person in the workspace of `?workspace=`, else the session's, else their first.

    `remember` keeps a workspace chosen by the address in the session. Raises NotSignedIn, NotFound,
    or SecondFactorNeeded where the operator asks for one.
    """
    if not request.user.is_authenticated:
        raise NotSignedIn("Sign in first.")
    if assurance.is_missing(request.session):
        raise SecondFactorNeeded
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


def require(actor: Actor, capability: Capability, of: "Pipeline | None" = None) -> None:
    """Return if the actor may, `of` a pipeline where it is about one; else raise Forbidden that names what is missing.

    Its code is `not_shared` where their roles would do, but the pipeline is kept for others.
    """
    if actor.can(capability):
        if of is not None:
            require_share(actor, _SHARE.get(capability, Share.SEE), str(of.pk), of.name)
        return
    code = "not_a_reviewer" if capability in _DECIDING else "forbidden"
    if any(capability in _OF_ROLE[role] for role in actor.roles):
        missing = f"this token lacks the scope {_SCOPE[capability]}. Make a token with that scope"
    else:
        missing = f"that needs the role {' or '.join(roles_for(capability))}. Ask an admin of the workspace"
    raise Forbidden(f"You may not {capability} in {actor.workspace.name}: {missing}.", code=code)


class Pipeline(Protocol):
    """What can be kept for some."""

    pk: Any
    name: str


class Spoken(Protocol):
    """A run, as far as it says whose content it is: its pipeline's, and that of each run above it."""

    pipeline_id: UUID
    origin: Any


_SHARE = {Capability.RUN: Share.RUN, Capability.EDIT: Share.EDIT, Capability.PUBLISH: Share.EDIT}


def may(actor: Actor, capability: Capability, pipeline: Pipeline) -> bool:
    """Tell whether the actor may do this with this pipeline."""
    return actor.can(capability) and shares(actor, _SHARE.get(capability, Share.SEE), str(pipeline.pk))


def shares(actor: Actor, share: Share, pipeline_id: str) -> bool:
    """Tell whether a pipeline is not kept from the actor; their roles are another question. None is from admins."""
    listed = actor.workspace.sharing.get(pipeline_id)
    if listed is None or Role.ADMIN in actor.roles:
        return True
    names = {actor.user.email, *actor.roles}
    return all(not listed.get(one) or names & set(listed[one]) for one in (Share.SEE, share))


def require_share(actor: Actor, share: Share, pipeline_id: str, name: str) -> None:
    """Return unless the pipeline is kept from the actor; else raise Forbidden `not_shared`."""
    if not shares(actor, share, pipeline_id):
        raise Forbidden(
            f"You may not {share} {name}: that is kept for some. Ask whoever may edit it, or an admin.",
            code="not_shared",
        )


def hidden_from(actor: Actor) -> dict[str, str]:
    """Return the pipelines of the workspace that the actor does not see: slugs by id. No query."""
    kept = actor.workspace.sharing
    return {pk: listed["slug"] for pk, listed in kept.items() if not shares(actor, Share.SEE, pk)}


def sees_run(actor: Actor, run: Spoken) -> bool:
    """Tell whether no pipeline is kept from the actor whose content the run may hold: its own, and those above it."""
    return not _holds(run, hidden_from(actor))


def is_kept(workspace: Workspace, run: Spoken) -> bool:
    """Tell whether there is a list of who sees what the run may say: who is no member is in none."""
    return _holds(run, {pk: listed["slug"] for pk, listed in workspace.sharing.items() if listed.get(Share.SEE)})


def _holds(run: Spoken, kept: Mapping[str, str]) -> bool:
    above = {entry[0] for entry in run.origin.get("ancestors", ())} if kept else set()
    return str(run.pipeline_id) in kept or bool(above & set(kept.values()))


def roles_for(capability: Capability) -> tuple[Role, ...]:
    """Return the roles that may, for a page that says whom to ask."""
    return tuple(role for role in Role if capability in _OF_ROLE[role])


def scoped(source: type[M] | QuerySet[M], actor: Actor, *, through: str = "workspace") -> QuerySet[M]:
    """Return the rows of the actor's workspace, without those of pipelines that are kept from them.

    `through` is the lookup that leads to the workspace, as "run__workspace".
    """
    rows = source if isinstance(source, QuerySet) else source._default_manager.all()
    return _seen(rows.filter(**{through: actor.workspace.pk}), actor)


def _seen(rows: QuerySet[M], actor: Actor) -> QuerySet[M]:
    """Leave out the rows of pipelines that are kept from the actor, by the paths that their model names.

    `OF_PIPELINE` leads to the pipeline; `ABOVE` to [[slug, …]] of the pipelines whose runs started the run.
    """
    path, above = (getattr(rows.model, name, None) for name in ("OF_PIPELINE", "ABOVE"))
    hidden = hidden_from(actor) if path else {}
    if hidden:
        rows = rows.exclude(**{f"{path}__in": list(hidden)})
    if hidden and above:
        # One condition whatever their number: PostgreSQL plans and asks each of a thousand by itself.
        slugs = Func(F(above), Value("$[*][0]"), function="jsonb_path_query_array", output_field=JSONField())
        rows = rows.filter(Q(**{f"{above}__isnull": True}) | ~Q(HasAnyKeys(slugs, list(hidden.values()))))
    return rows


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
            if getattr(request, "htmx", False):
                raise NotSignedIn("Sign in first.")  # a redirect would put the page to sign in into a part of this one
            return redirect_to_login(request.get_full_path())
        if getattr(request, "actor", None) is None:
            raise NotFound("You belong to no workspace yet. Ask an admin of a workspace to add you.")
        return view(request, *args, **kwargs)

    return guarded
