"""The machine time that a step remembers: what counts towards its `total_timeout`, and what the caps count of that."""

from datetime import datetime, timedelta

from pipelines.graph.model import Json

Memo = dict[str, Json]
# In the memo of a step: the pauses in its `machine_ms`, what was worked before that was counted anew, and how long the
# wait for a circuit that it is in takes.
PAUSED, WORKED, CIRCUIT = "paused_ms", "worked_ms", "circuit_ms"


def worked_ms(memo: Memo) -> int:
    """Return the time of all attempts and waits for circuits, as the caps around a step count it: without the pauses
    between attempts."""
    return int(memo.get(WORKED, 0) + memo.get("machine_ms", 0) - memo.get(PAUSED, 0))


def pause(memo: Memo, seconds: float) -> None:
    """Count a pause before the next attempt."""
    for name in ("machine_ms", PAUSED):
        memo[name] = memo.get(name, 0) + int(seconds * 1000)


def wait_for_circuit(memo: Memo, seconds: float) -> None:
    """Begin a wait for a circuit: a pause until it is over, since a step may be cancelled in the middle of it."""
    pause(memo, seconds)
    memo[CIRCUIT] = int(seconds * 1000)


def circuit_waited(memo: Memo, now: datetime) -> int:
    """End the wait for a circuit that a step is in, 0 without one; return its milliseconds, which the caps count.

    Where nothing says when it was to be over, it is over: a worker of an older version had ended it and left it here.
    """
    whole: int = memo.pop(CIRCUIT, 0)
    if not whole:
        return 0
    left = datetime.fromisoformat(memo["due"]) - now if memo.get("due") else timedelta()
    waited = max(0, whole - max(0, left // timedelta(milliseconds=1)))
    memo[PAUSED] = memo.get(PAUSED, 0) - waited
    return waited


def forget(memo: Memo) -> None:
    """Begin the step's `total_timeout` anew; for the caps around it what was worked still counts."""
    worked = worked_ms(memo)
    for name in ("machine_ms", PAUSED):
        memo.pop(name, None)
    if worked:
        memo[WORKED] = worked
