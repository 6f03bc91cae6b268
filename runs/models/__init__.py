"""What did run: runs and their inbox, steps, events, spans, calls and the money ledger.

`runs.store` writes these rows with one SQL statement per decision; everything else reads them with the ORM.
The tables a run appends to carry no database foreign key to it: each row enters through the run's fence
(`owner` and `epoch`), which already proves that the run exists.
"""

from runs.models.journal import Artifact, Call, LedgerEntry, Span, SpanExport
from runs.models.kept import CacheEntry, Note, Summary, Turn
from runs.models.limits import BudgetCounter, BudgetHold, ConnectionUse
from runs.models.meeting import BoardEntry, EventWait, SentEvent, StepLock, TakenEvent
from runs.models.run import OPEN_RUN_STATES, Event, Inbox, Run, RunCounter, Step, Totals, Via, by_trigger
from runs.models.spending import RunDay, SpendBook, SpendDay, SpendHour, SpendVisit, StepDay, StepReading
from runs.models.triggers import Firing, HookAttempt, Trigger

__all__ = [
    "OPEN_RUN_STATES",
    "Artifact",
    "BoardEntry",
    "BudgetCounter",
    "BudgetHold",
    "CacheEntry",
    "Call",
    "ConnectionUse",
    "Event",
    "EventWait",
    "Firing",
    "HookAttempt",
    "Inbox",
    "LedgerEntry",
    "Note",
    "Run",
    "RunCounter",
    "RunDay",
    "SentEvent",
    "Span",
    "SpanExport",
    "SpendBook",
    "SpendDay",
    "SpendHour",
    "SpendVisit",
    "Step",
    "StepDay",
    "StepLock",
    "StepReading",
    "Summary",
    "TakenEvent",
    "Totals",
    "Trigger",
    "Turn",
    "Via",
    "by_trigger",
]
