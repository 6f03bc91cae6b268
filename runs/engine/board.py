"""The run's board: named values that its steps write and read, each with a version that rises by one per change.

Only the run's owner changes it, in its decisions, so what a step sees is what was last decided. Every change is in the
memo of the step that made it, so that the board is rebuilt from step rows alone.

A board that several runs share is rows (`runs.boards`): a change is carried out there, and each run's own `Board` shows
what stood there when it last looked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from runs.engine.decision import StepRecord
from runs.engine.facts import ErrorClass, StepError

MAX_ENTRIES = 1_000
MAX_BYTES = 256 * 1024
LONGEST_KEY = 200
WRITE, APPEND = "write", "append"
# In the memo of a step: the changes it has made, oldest first, over all its lives.
CHANGES = "board"


class Change(NamedTuple):
    """One change: of the entry `key` to `version`. `op` is write (the value) or append (one more entry of a list)."""

    key: str
    version: int
    op: str
    value: Json


@dataclass(slots=True)
class Board:
    """`values` and `versions` by key; a key that nobody has written has version 0. `sizes` are bytes of JSON.

    `others` counts the entries that stand on the board and are not kept here.
    """

    values: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    others: int = 0

    @classmethod
    def of(cls, first: Mapping[str, Json]) -> "Board":
        """Return a board with its first values, each at version 1."""
        board = cls()
        for key, value in first.items():
            board.apply(Change(key, 1, WRITE, value), size_of(value))
        return board

    def version_of(self, key: str) -> int:
        return self.versions.get(key, 0)

    def change(self, key: str, op: str, value: Json, expected: int | None) -> Change | StepError:
        """Change an entry and return how, or return why not: `board_conflict`, `not_a_list`, `board_full`."""
        version = self.version_of(key)
        if expected is not None and expected != version:
            message = f"The board's {key!r} is at version {version}, not {expected}: somebody changed it meanwhile."
            return StepError(ErrorClass.TRANSIENT, "board_conflict", message)
        if op == APPEND and not isinstance(self.values.get(key, []), list):
            message = f"The board's {key!r} is no list, so nothing can be appended to it."
            return StepError(ErrorClass.CONFIG, "not_a_list", message)
        size = size_of(value) + (self.sizes.get(key, 0) if op == APPEND else 0)
        if size > MAX_BYTES or (not version and len(self.values) + self.others >= MAX_ENTRIES):
            message = f"The board takes {MAX_ENTRIES:,} entries of {MAX_BYTES:,} bytes each; {key!r} would be too much."
            return StepError(ErrorClass.LIMIT, "board_full", message)
        change = Change(key, version + 1, op, value)
        self.apply(change, size)
        return change

    def apply(self, change: Change, size: int) -> None:
        before = self.values.get(change.key) or []
        # A list of its own each time: what a step has read must not change under it.
        self.values[change.key] = [*before, change.value] if change.op == APPEND else change.value
        self.versions[change.key], self.sizes[change.key] = change.version, size

    def see(self, changes: Iterable[Change]) -> None:
        """Take in changes that were made elsewhere, oldest first; what is known already changes nothing."""
        for change in changes:
            if change.version > self.version_of(change.key):
                earlier = self.sizes.get(change.key, 0) if change.op == APPEND else 0
                self.apply(change, earlier + size_of(change.value))

    def replay(self, records: Iterable[StepRecord]) -> None:
        """Make once more what the steps of these rows have changed, in the order in which they did."""
        found = [Change(*entry) for record in records for entry in record.memo.get(CHANGES, ())]
        for change in sorted(found, key=lambda change: (change.key, change.version)):
            earlier = self.sizes.get(change.key, 0) if change.op == APPEND else 0
            self.apply(change, earlier + size_of(change.value))


def size_of(value: Json) -> int:
    """Return how many bytes a value has as canonical JSON."""
    return len(canonical_json(value))
