"""For whom a pipeline is kept: who may see it, run it, edit it. Without a list, their roles say so."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, hidden_from, require, require_share, shares
from accounts.errors import Conflict, Invalid
from accounts.models import Membership, Workspace
from accounts.roles import Role, Share
from pipelines import homes
from pipelines.graph.model import Json
from pipelines.models import Pipeline, PipelineVersion

MOST_NAMES, MOST_KEPT = 100, 1_000


@dataclass(frozen=True, slots=True)
class Lists:
    """Roles, and addresses of members. An empty list leaves it to the roles."""

    see: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    edit: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        return bool(self.see or self.run or self.edit)

    @property
    def by_share(self) -> Sequence[tuple[Share, tuple[str, ...]]]:
        return (Share.SEE, self.see), (Share.RUN, self.run), (Share.EDIT, self.edit)


def read(actor: Actor, pipeline: Pipeline) -> Lists:
    """Return for whom the pipeline is kept."""
    kept = actor.workspace.sharing.get(str(pipeline.pk), {})
    return Lists(*(tuple(kept.get(share, ())) for share in Share))


@transaction.atomic
def put(actor: Actor, pipeline: Pipeline, lists: Lists) -> Lists:
    """Keep the pipeline for these, from now on, and return them; what is under way goes on.

    Raises Forbidden; Invalid `unknown_name` for what is no role or member, `locks_you_out` where the actor could not
    take it back; Conflict `too_many_kept`. Locks the workspace's row.
    """
    now = _locked(actor)
    require(now, Capability.EDIT, pipeline)
    clean = Lists(*(_names(actor, share, given) for share, given in lists.by_share))
    workspace, before = now.workspace, read(now, pipeline)
    was = dict(workspace.sharing)
    for one in (pipeline, *Pipeline.objects.filter(workspace=workspace, slug__in=homes.beside(pipeline))):
        _keep(workspace.sharing, one, clean)
    if not shares(now, Share.EDIT, str(pipeline.pk)):
        message = "You could not change this back. Leave yourself, or a role of yours, in."
        raise Invalid(message, code="locks_you_out")
    if workspace.sharing != was:
        workspace.save(update_fields=["sharing"])
    if before != clean:
        data = {"before": asdict(before), "after": asdict(clean)}
        audit.record(workspace, actor.user, "pipeline.shared", pipeline.slug, data)
    actor.workspace.sharing = workspace.sharing
    return clean


@transaction.atomic
def follow(actor: Actor, pipeline: Pipeline, made: Pipeline, *, is_home: bool = False) -> None:
    """Keep what this transaction made of a pipeline for those who see that; a home also from who may not run or edit
    it, since that holds what the pipeline itself does.

    Raises Conflict `too_many_kept`. Locks the workspace's row.
    """
    now = _locked(actor)
    lists = read(now, pipeline)
    lists = lists if is_home else Lists(see=lists.see)
    if lists.is_kept:
        _keep(now.workspace.sharing, made, lists)
        now.workspace.save(update_fields=["sharing"])
        actor.workspace.sharing = now.workspace.sharing


def home(actor: Actor, pipeline: Pipeline, kind: str, title: str, first: Json) -> Pipeline:
    """Return the home of this kind that holds what a pipeline says: it is kept as that is."""
    found, is_new = homes.opened(actor, homes.slug_of(kind, pipeline.slug), f"{title} {pipeline.name}", first)
    if is_new:
        follow(actor, pipeline, found, is_home=True)
    return found


def require_all_below(actor: Actor, version: PipelineVersion) -> None:
    """Raise Forbidden `not_shared` unless the actor may run every pipeline that a run of the version may start."""
    if not actor.workspace.sharing:
        return
    hidden = hidden_from(actor)
    for lock in locks_below(version):
        for one in lock.get("pipelines", {}).values():
            named = "a pipeline that it starts" if one["pipeline"] in hidden else one["name"]
            require_share(actor, Share.RUN, one["pipeline"], named)


def seen_of(actor: Actor, lock: Json) -> Json:
    """Return a version's lock as the actor sees it: without the pipelines that are kept from them."""
    hidden = hidden_from(actor)
    named = {key: one for key, one in lock.get("pipelines", {}).items() if one["pipeline"] not in hidden}
    return {**lock, "pipelines": named} if hidden else lock


def locks_below(version: PipelineVersion) -> Iterator[Json]:
    """Yield a version's lock, then those of all versions that it may start. One query for each level."""
    seen: set[str] = set()
    locks: Sequence[Json] = [version.lock]
    while locks:
        yield from locks
        fresh = {one["version"] for lock in locks for one in lock.get("pipelines", {}).values()} - seen
        seen |= fresh
        locks = list(PipelineVersion.objects.filter(pk__in=fresh).values_list("lock", flat=True))


def _locked(actor: Actor) -> Actor:
    """Return the actor with the lists as they are, which nobody else changes until the transaction ends."""
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)
    return replace(actor, workspace=workspace)


def _keep(sharing: dict[str, Mapping[str, object]], pipeline: Pipeline, lists: Lists) -> None:
    if lists.is_kept:
        if str(pipeline.pk) not in sharing and len(sharing) >= MOST_KEPT:
            raise Conflict(f"{MOST_KEPT} pipelines are kept for some already.", code="too_many_kept")
        named = {share.value: list(names) for share, names in lists.by_share}
        sharing[str(pipeline.pk)] = {"slug": pipeline.slug, **named}
    else:
        sharing.pop(str(pipeline.pk), None)


def _names(actor: Actor, share: Share, given: Sequence[str]) -> tuple[str, ...]:
    names = sorted({name.strip().lower() for name in given if name.strip()})
    if len(names) > MOST_NAMES:
        raise Invalid(f"Name at most {MOST_NAMES} roles and people.", code="unknown_name", where=f"/{share}")
    people = [name for name in names if name not in set(Role)]
    members = Membership.objects.filter(workspace=actor.workspace, user__email__in=people)
    unknown = sorted(set(people) - set(members.values_list("user__email", flat=True)))
    if unknown:
        message = f"{unknown[0][:80]!r} is no role, and no member of this workspace."
        raise Invalid(message, code="unknown_name", where=f"/{share}")
    return tuple(names)
