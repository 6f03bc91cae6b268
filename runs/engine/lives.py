"""What a step takes along when its item, round or turn begins anew, whether its record is still in memory or not.

The steps of a container that ended within an item, round or turn are forgotten with it. If that is run once more, so is
the container, and steps stand at the same paths again: none of them may be taken for the earlier one.
"""

from collections.abc import Mapping

from pipelines.graph.model import Json
from runs.engine import worktime
from runs.engine.board import CHANGES
from runs.engine.decision import StepRecord
from runs.engine.doubts import MAYBE_DONE
from runs.engine.scope import MADE, Scope

_KEPT = ("requests", "raised", "used", "alerted", "children", worktime.WORKED, MADE, CHANGES, MAYBE_DONE)


def carried(memo: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a step remembers of the life before; its generation rises, so that the journal's answers are old."""
    worked = dict(memo)
    worktime.forget(worked)
    return {
        **{name: worked[name] for name in _KEPT if name in worked},
        "generation": memo.get("generation", 0) + 1,
    }


def take_up(scope: Scope, record: StepRecord) -> None:
    """Let a new step go on counting where an earlier one at its path had come to."""
    around = scope.container
    while around:
        if before := around.before.pop(record.path, None):
            record.attempt = before.attempt
            record.memo = {**carried(before.memo), **record.memo}
            return
        around = around.scope.container
