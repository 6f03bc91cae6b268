"""What other apps ask of a draft before it may be published; each registers its condition when it is loaded."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.graph.model import Json
from pipelines.graph.problems import Problem
from pipelines.models import Pipeline


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draft as it would be published: the content hash of its document, and its lock as JSON."""

    pipeline: Pipeline
    hash: str
    lock: Json


Condition = Callable[[Candidate], Problem | None]
_conditions: list[Condition] = []


def on_publish(condition: Condition) -> None:
    """Have a condition asked before each publishing; it returns what stands in the way, or None."""
    _conditions.append(condition)


def unmet(candidate: Candidate) -> list[Problem]:
    """Return what stands in the way of publishing a draft that has no errors itself."""
    return [problem for condition in _conditions if (problem := condition(candidate)) is not None]
