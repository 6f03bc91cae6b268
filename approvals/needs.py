"""Whose approvals a question needs and when they are complete: pure rules over values."""

from collections.abc import Iterable
from dataclasses import dataclass

# Seeing everything is not answering.
_ONLY_SEE = frozenset({"viewer", "auditor", "admin"})


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the question's workspace. Ids are strings; the email is in lower case.

    `stands_for` are the absent members this person answers for. Theirs are not followed: it goes one step only.
    """

    id: str
    email: str
    roles: frozenset[str]
    stands_for: "tuple[Person, ...]" = ()


@dataclass(frozen=True, slots=True)
class Need:
    """Approvals by `least` different people among these roles and addresses.

    `name` is the name of the rule that asks for them; "" for what the pipeline itself asks.
    """

    roles: frozenset[str]
    people: frozenset[str]
    least: int = 1
    name: str = ""


def answering_roles(roles: frozenset[str]) -> frozenset[str]:
    """Return those of a person's roles by which a question can be for them."""
    return roles - _ONLY_SEE


def asks(need: Need, person: Person) -> bool:
    """Tell whether the need is for this person in their own right."""
    return bool(need.roles & answering_roles(person.roles)) or person.email in need.people


def seat(need: Need, person: Person, barred: frozenset[str]) -> str | None:
    """Return the id of the member as whom this person counts: themselves, else somebody they stand for; or None.

    Neither of the two may be barred, so that nobody gets past four eyes through a colleague.
    """
    if person.id in barred:
        return None
    if asks(need, person):
        return person.id
    return next((other.id for other in person.stands_for if other.id not in barred and asks(need, other)), None)


def missing(needs: Iterable[Need], approvers: Iterable[Person], barred: frozenset[str]) -> tuple[tuple[Need, int], ...]:
    """Return the needs that are not met, each with the number of approvals it lacks.

    One person may count for several needs, and once for each. An absent member and the one who stands for them are
    one seat: together they count once.
    """
    people = list(approvers)
    found = ((need, need.least - len({seat(need, one, barred) for one in people} - {None})) for need in needs)
    return tuple((need, lack) for need, lack in found if lack > 0)


def addressees(needs: Iterable[Need]) -> str:
    """Return in words whom a question is for."""
    roles, people = (set[str](), set[str]())
    for need in needs:
        roles |= need.roles - _ONLY_SEE
        people |= need.people
    return " and ".join([f"{role}s" for role in sorted(roles)] + sorted(people)) or "nobody in this workspace"
