"""The table of handlers: which rows follow from which event, written in the same commit as the event.

A handler is pure: it gets the event and the facts about its run and returns rows. So `approvals` reacts to `runs`
without `runs` importing it, and an approval cannot exist without the decision that asked for it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipelines.graph.model import Json
from runs.engine.decision import Event


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a handler may know of the run. Ids are strings."""

    id: str
    workspace_id: str
    pipeline_id: str
    version_id: str
    started_by: str | None
    editors: tuple[str, ...]
    now: datetime
    board_id: str = ""
    rehearsal: bool = False
    unattended: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """A row to add unless its unique key is taken already. Values are JSON (ids and times as strings).

    `beside` names a question by its id: the row is added only where that stands on the desk.
    """

    table: str
    row: Mapping[str, Json]
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class AskOnce:
    """A question for whose answer several runs may wait: its row, or a place beside the one that is open already."""

    row: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Close:
    """Withdraw the open question of this run."""

    run_id: str
    request: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take rows away by the values of some columns."""

    table: str
    where: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class AddMoney:
    """Allow a budget more in one of its periods, in micro-dollars, and keep who allowed it (an email) and why."""

    budget_id: str
    period_start: str
    micros: int
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StartRun:
    """A child run to create, with its first event and the fact that starts it.

    `row` has the columns of `runs_run` but its number, which is counted up in the same commit; `created` is what its
    first event says.
    """

    row: Mapping[str, Json]
    created: Mapping[str, Json]


Row = Insert | AskOnce | Close | Remove | AddMoney | StartRun
Handler = Callable[[Event, RunFacts], list[Row]]

_HANDLERS: dict[str, list[Handler]] = defaultdict(list)


def on(event_type: str) -> Callable[[Handler], Handler]:
    """Register a pure handler for an event type; call it once, from an app's `ready`."""

    def register(handler: Handler) -> Handler:
        if handler not in _HANDLERS[event_type]:
            _HANDLERS[event_type].append(handler)
        return handler

    return register


def rows_for(events: list[Event], run: RunFacts) -> list[Row]:
    """Return the rows that follow from these events, in order."""
    return [row for event in events for handler in _HANDLERS.get(event.type, ()) for row in handler(event, run)]
