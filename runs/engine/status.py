"""The states of runs and steps, and which change may follow which."""

from enum import StrEnum


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _ENDED_RUN


class StepState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _ENDED_STEP


_ENDED_RUN = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_ENDED_STEP = (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)


class WaitReason(StrEnum):
    APPROVAL = "approval"
    ANSWER = "answer"
    EVENT = "event"
    TIMER = "timer"
    BUDGET = "budget"
    CIRCUIT = "circuit"
    CHILDREN = "children"
    LOCK = "lock"
    PARENT = "parent"
    FAILURE = "failure"
    OUTCOME_UNKNOWN = "outcome_unknown"
