"""The earlier calls of a step, matched against what it asks again: what was paid for is not asked twice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.graph.tools import Effect
from runs.execution.context import FINISHED, LOST, STARTED, JournalEntry


@dataclass(frozen=True, slots=True)
class Earlier:
    """One request and all its sendings, which share an idempotency key."""

    sendings: tuple[JournalEntry, ...]

    @property
    def last(self) -> JournalEntry:
        """Return the sending that answered, else the newest."""
        return next((entry for entry in self.sendings if entry.state == FINISHED), self.sendings[-1])

    @property
    def idempotency_key(self) -> str:
        return self.sendings[0].idempotency_key

    @property
    def was_approved(self) -> bool:
        return any(entry.approval for entry in self.sendings)

    @property
    def is_finished(self) -> bool:
        return self.last.state == FINISHED

    @property
    def is_in_doubt(self) -> bool:
        lost = any(entry.state in (STARTED, LOST) and entry.effect != Effect.NONE for entry in self.sendings)
        return lost and not self.is_finished

    @property
    def has_acted(self) -> bool:
        return any(entry.state == FINISHED and entry.effect != Effect.NONE for entry in self.sendings)


class Journal:
    """Hands out earlier calls in their order, each once; `next_n` numbers new ones over all attempts of the path.

    `judged` is what each judge has cost, or may have, in micro-dollars, and `unknown`, by model, the same of calls that
    do not say whose they were: they count for every judge with that model. `in_doubt` are the idempotency keys of calls
    that change something and may have done so without an answer, `acted` those of calls that did.
    """

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        ordered = sorted(entries, key=lambda entry: entry.n)
        by_key: dict[str, list[JournalEntry]] = {}
        for entry in ordered:
            by_key.setdefault(entry.idempotency_key, []).append(entry)
        self._left = [Earlier(tuple(sendings)) for sendings in by_key.values()]
        self._newest = ordered[-1].n if ordered else 0
        self.consumed = {entry.approval for entry in ordered if entry.approval}
        self.in_doubt = {earlier.idempotency_key for earlier in self._left if earlier.is_in_doubt}
        self.acted = {earlier.idempotency_key for earlier in self._left if earlier.has_acted}
        self.judged, self.unknown = Counter[str](), Counter[str]()
        for entry in ordered:
            if entry.judge is None:
                self.unknown[entry.name] += entry.most_micros
            elif entry.judge:
                self.judged[entry.judge] += entry.most_micros

    @property
    def maybe_done(self) -> bool:
        """Whether a call has changed something, or may have."""
        return bool(self.in_doubt or self.acted)

    def take(self, *request_hashes: str, finished: bool = False) -> Earlier | None:
        """Return the oldest earlier call (that has `finished`) with one of these hashes, and remember that it is used
        up."""
        for index, earlier in enumerate(self._left):
            if earlier.last.request_hash in request_hashes and (earlier.is_finished or not finished):
                return self._left.pop(index)
        return None

    def belongs_to(self, earlier: Earlier, judge: str) -> None:
        """Count calls that do not say whose they were for the one who asks the same again: a judge, or "" the step."""
        for entry in earlier.sendings:
            if entry.judge is None:
                self.unknown[entry.name] -= entry.most_micros
                self.judged[judge] += entry.most_micros

    def next_n(self) -> int:
        self._newest += 1
        return self._newest

    def newest_key(self, path: str, attempt: int) -> str:
        """Return the key of the call made last."""
        return f"{path}@{attempt}/{self._newest}"
