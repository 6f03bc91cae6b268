"""What a scorer is shown, and what it says: a score, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.graph.model import Json


class Nothing:
    """The expected output of a case that has none; null is a value like others."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class StepSeen:
    """What became of one step of a run. `loops` is how many items or rounds a container went through."""

    state: str
    node: str = ""
    output: Json = None
    loops: int = 0


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The way that a run took: its steps by path, how often each tool was called, how many questions were asked."""

    steps: Mapping[str, StepSeen] = field(default_factory=dict)
    tools: Mapping[str, int] = field(default_factory=dict)
    questions: int = 0

    def as_json(self) -> dict[str, Json]:
        steps = {
            path: {"state": step.state, "node": step.node, "loops": step.loops} for path, step in self.steps.items()
        }
        return {"steps": steps, "tools": dict(self.tools), "questions": self.questions}


@dataclass(frozen=True, slots=True)
class Subject:
    """One answer to one case. Cost is in micro-dollars, None where a price is unknown; time in seconds.

    `broke` says why the run came to no output, "" where it did.
    """

    output: Json = None
    expected: Json | Nothing = NOTHING
    cost_micros: int | None = None
    seconds: float | None = None
    trajectory: Trajectory = field(default_factory=Trajectory)
    broke: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """`score` is between 0 and 1. `cost_micros` is what scoring cost, None where that is unknown."""

    score: float
    passed: bool
    reason: str
    cost_micros: int | None = 0


@dataclass(frozen=True, slots=True)
class Unscored:
    """Nothing can be said of the answer: an error of the assertion or of a judge, not a failure of the pipeline."""

    reason: str
    cost_micros: int | None = 0


Verdict = Score | Unscored


def of_parts(held: int, parts: int, reason: str) -> Score:
    """Return the score of an assertion of several parts, of which some hold; it passes when all do."""
    return Score(held / parts if parts else 1.0, held == parts, reason)


def whether(passed: bool, yes: str, no: str) -> Score:
    return Score(1.0 if passed else 0.0, passed, yes if passed else no)
