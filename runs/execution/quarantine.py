"""Which run a worker holds alone, because workers died over it, and when it stops waiting for that."""

from collections.abc import Collection, Mapping, Sequence

POLLS_OF_PATIENCE = 5


class Quarantine:
    """At most one suspect at a time. While one is chosen, the worker claims nothing else."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._polls: dict[str, int] = {}  # for how many polls each suspect has been waiting

    def watch(self, waiting: Sequence[str], held: Mapping[str, int], claiming: Collection[str]) -> None:
        """Take note of a poll: the suspects that wait for an owner, and what this worker holds, with its crashes.

        A suspect that another worker took, or that got further than it did before, is let go. The first seconds are
        left to workers that hold nothing: not all need to close themselves for one run.
        """
        known = self.run_id
        if known is not None and known in held:
            if not held[known]:
                self.run_id = None
        elif known not in claiming and known not in waiting:
            self.run_id = None
        self._polls = {run_id: self._polls.get(run_id, 0) + 1 for run_id in waiting}
        if self.run_id is None:
            patience = POLLS_OF_PATIENCE if held else 0
            self.run_id = next((run_id for run_id in waiting if self._polls[run_id] > patience), None)

    def forbids(self, run_id: str, *, holding: bool) -> bool:
        """Tell whether this run must not be claimed now; `holding` says that the worker has other runs."""
        return self.run_id is not None and (run_id != self.run_id or holding)

    def end(self, run_id: str) -> None:
        """The run has left this worker, or could not be had."""
        if self.run_id == run_id:
            self.run_id = None
