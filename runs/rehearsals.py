"""What a rehearsal would have done: every call that only pretended to change something."""

from collections.abc import Iterator
from dataclasses import dataclass

from runs.agent_bench import tool_calls
from runs.models import Call, Run, Step

MOST = 200


@dataclass(frozen=True, slots=True)
class Pretended:
    """One call that was simulated, in words, and the step that would have made it."""

    path: str
    would_have: str


def pretended(run: Run) -> list[Pretended]:
    """Return what the steps of a rehearsal would have done, actions first, then what agents did with their tools.

    Two queries; a run that is no rehearsal has none. What runs that it started would have done stands on their pages.
    """
    return [*_actions(run), *_by_agents(run)] if run.rehearsal else []


def _actions(run: Run) -> Iterator[Pretended]:
    acted = Step.objects.filter(run=run, kind="tool", output__simulated=True).order_by("position", "id")
    for path, words in acted.values_list("path", "output__would_have")[:MOST]:
        yield Pretended(path, str(words))


def _by_agents(run: Run) -> Iterator[Pretended]:
    """The last request of a step repeats the talk before it, with every tool call in it."""
    calls = Call.objects.filter(run=run, kind="model", request__tools__isnull=False)
    for last in calls.order_by("path", "-id").distinct("path")[:MOST]:
        for one in tool_calls(last):
            if one.is_simulated:
                yield Pretended(last.path, one.would_have)
