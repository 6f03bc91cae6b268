"""Paths name everything that ever ran: `research[3].draft` is a step in item 3, `write#2.draft` one in round 2,
`chat~4.speak` one in turn 4, `lead>2.work` one in delegation 2."""

from collections.abc import Iterator
from functools import lru_cache

import re2

_INSTANCE = re2.compile(r"\[\d+\]|[#~>]\d+")
_MADE = re2.compile(r"[~>]\d+\.")
_LAST_INSTANCE = re2.compile(r"(?:\[\d+\]|[#~>]\d+)\.$")
_remembered = lru_cache(maxsize=4096)  # every step is asked for several times, and by every run of its pipeline


def of_item(container: str, index: int) -> str:
    """Return the prefix that the paths of one item's steps begin with."""
    return f"{container}[{index}]."


def of_round(container: str, number: int) -> str:
    """Return the prefix that the paths of one round's steps begin with."""
    return f"{container}#{number}."


def of_turn(container: str, number: int) -> str:
    """Return the prefix that the paths of one turn's steps begin with."""
    return f"{container}~{number}."


def of_delegation(container: str, number: int) -> str:
    """Return the prefix that the paths of one delegation's steps begin with."""
    return f"{container}>{number}."


def prefix_of(path: str) -> str:
    """Return the prefix of the scope a step stands in; "" is the pipeline's own graph."""
    return path[: path.rfind(".") + 1]


def node_of(path: str) -> str:
    """Return the id of the node that a step's path ends with."""
    return path[path.rfind(".") + 1 :]


@_remembered
def drawn_node_of(path: str) -> str:
    """Return the id of the document's node that a step belongs to: its own, or of the container that made the step."""
    return node_of(str(_MADE.split(path, 1)[0]))


@_remembered
def place_of(path: str) -> str:
    """Return the dotted place in the document, which all instances of a container share."""
    return str(_INSTANCE.sub("", path))


@_remembered
def container_of(prefix: str) -> str:
    """Return the path of the container that a prefix belongs to an instance of."""
    return str(_LAST_INSTANCE.sub("", prefix))


def round_before(prefix: str) -> str:
    """Return the prefix of the round before the one with this prefix."""
    container, _, number = prefix.rpartition("#")
    return of_round(container, int(number[:-1]) - 1)


def scopes_of(path: str) -> Iterator[str]:
    """Yield the prefixes of the items, rounds, turns and delegations around a step, innermost first."""
    while prefix := prefix_of(path):
        yield prefix
        path = container_of(prefix)


def containers_of(path: str) -> Iterator[str]:
    """Yield the paths of the containers around a step, innermost first."""
    return map(container_of, scopes_of(path))
