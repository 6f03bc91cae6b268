"""A workspace's secrets as its people keep them: written, listed with what uses each, forgotten. Never read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts import audit, secrets
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict
from accounts.models import AuditEntry, Secret

WRITTEN = "secret_written"


@dataclass(frozen=True, slots=True)
class Use:
    """What relies on something by its name: a word for what it is, its own name, its page, and how far it relies."""

    what: str
    name: str
    url: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A secret by name. `by` is None for who may not read the audit log, and where it says nothing."""

    name: str
    hosts: Sequence[str]
    set_at: datetime
    by: str | None
    uses: Sequence[Use]


Finder = Callable[[Actor], Iterable[tuple[str, Use]]]
_finders: list[Finder] = []


def on_look(finder: Finder) -> None:
    """Have an app asked what of its own uses which secret; it yields (name of the secret, use)."""
    _finders.append(finder)


def uses(actor: Actor) -> dict[str, list[Use]]:
    """Return what uses which secret, by the secret's name, as far as the actor sees it."""
    return grouped(pair for finder in _finders for pair in finder(actor))


def grouped(pairs: Iterable[tuple[str, Use]]) -> dict[str, list[Use]]:
    """Return uses by the name they rely on, each once."""
    found: dict[str, dict[Use, None]] = {}
    for name, use in pairs:
        found.setdefault(name, {})[use] = None
    return {name: list(known) for name, known in found.items()}


def lines(actor: Actor) -> list[Line]:
    """Return the workspace's secrets by name."""
    rows = list(scoped(Secret, actor).defer("ciphertext").order_by("name"))
    used, by = uses(actor) if rows else {}, _writers(actor, [row.name for row in rows])
    return [_line(row, used, by) for row in rows]


def line(actor: Actor, name: str) -> Line:
    """Return one secret; NotFound."""
    row = get(Secret.objects.defer("ciphertext"), actor, name=name)
    return _line(row, uses(actor), _writers(actor, [name]))


@transaction.atomic
def write(actor: Actor, name: str, value: str, hosts: Sequence[str] = ()) -> Secret:
    """Keep the value under this name, instead of the one before; Forbidden, or Invalid as `secrets.put`."""
    require(actor, Capability.SECRETS)
    secret = secrets.put(actor.workspace, name, value, hosts)
    audit.record(actor.workspace, actor.user, WRITTEN, secret.name, {"hosts": secret.hosts})
    return secret


@transaction.atomic
def forget(actor: Actor, name: str, *, unless_used: bool = False) -> None:
    """Forget a secret; what uses it fails from now on. Forbidden, NotFound.

    With `unless_used` raises Conflict `secret_in_use` while anything does.
    """
    require(actor, Capability.SECRETS)
    row = get(Secret, actor, name=name)
    if unless_used and (found := uses(actor).get(name)):
        raise Conflict(
            f"The secret {name} is used by {told(found)}. Replace its value, or let them name another, then remove it.",
            code="secret_in_use",
        )
    row.delete()
    audit.record(actor.workspace, actor.user, "secret_deleted", name)


def told(found: Sequence[Use], most: int = 3) -> str:
    """Return uses in words: "the agent Writer, the pipeline Brief and 4 more"."""
    named = [f"the {use.what} {use.name[:80]}" for use in found[:most]]
    if len(found) > most:
        named.append(f"{len(found) - most} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _line(row: Secret, used: Mapping[str, Sequence[Use]], by: Mapping[str, str]) -> Line:
    return Line(row.name, row.hosts, row.updated_at, by.get(row.name), used.get(row.name, ()))


def _writers(actor: Actor, names: Sequence[str]) -> dict[str, str]:
    """Return who wrote each secret last, by the audit log and for its readers."""
    if not names or not actor.can(Capability.READ_AUDIT):
        return {}
    entries = scoped(AuditEntry, actor).filter(action=WRITTEN, target__in=names)
    return dict(entries.order_by("target", "-seq").distinct("target").values_list("target", "actor"))
