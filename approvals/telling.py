"""Tells whoever wants to know what people do to a question, in the transaction of what was done.

So a notice cannot exist without what it tells of, and this app knows nothing of those who tell it. What the clock does
stands in rows of `approvals.models.Notice`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from accounts.models import User
from approvals.models import Approval
from pipelines.graph.model import Json


@dataclass(frozen=True, slots=True)
class Act:
    """What happened: assigned, commented or decided. `mark` tells the acts of one name apart: each is told once."""

    name: str
    approval: Approval
    by: User
    mark: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)


Listener = Callable[[Act], None]
_LISTENERS: list[Listener] = []


def on_act(listener: Listener) -> Listener:
    """Register a listener; call it once, from an app's `ready`. It may write rows and must not wait for anything."""
    if listener not in _LISTENERS:
        _LISTENERS.append(listener)
    return listener


def tell(act: Act) -> None:
    """Call the listeners. Within the transaction of the act: what a listener raises undoes it."""
    for listener in _LISTENERS:
        listener(act)
