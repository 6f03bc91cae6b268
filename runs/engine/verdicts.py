"""What an ended item or round came to where that was read from the board, which says something else later.

Everything else that judges an instance is in its steps' rows and stays as it was. Such a verdict stands in the memo of
one of its steps, so that a list of thousands is not written again with each item.
"""

from collections.abc import Iterable

from pipelines.graph.expressions import ExpressionError, Reference, expression_references, references
from pipelines.graph.model import Json, Node
from runs.engine.scope import Scope, Step

VERDICT = "verdict"
_BOARD = "board"


def noted(scope: Scope) -> Json:
    """Return the verdict on an instance that was noted when it ended, None where there is none."""
    keeper = keeper_of(scope)
    return keeper.record.memo.get(VERDICT) if keeper else None


def note(scope: Scope, verdict: Json) -> None:
    keeper = keeper_of(scope)
    if keeper:
        keeper.record.memo[VERDICT] = verdict


def forget(scope: Scope) -> None:
    """Have an instance judged anew: something has run in it since."""
    keeper = keeper_of(scope)
    if keeper:
        keeper.record.memo.pop(VERDICT, None)


def keeper_of(scope: Scope) -> Step | None:
    """Return the step whose row keeps the verdict on its instance: always the same."""
    return next((scope.steps[name] for name in scope.graph.nodes if name in scope.steps), None)


def reads_board(node: Node) -> bool:
    """Tell whether what a container's author wrote about its items or rounds reads the board."""
    config = node.config
    metric = (config.get("no_progress") or {}).get("metric")
    bare = (config.get("until"), config.get("best_by"), metric)
    return any(reference.root == _BOARD for reference in _read(config.get("result"), filter(None, bare)))


def _read(template: Json, bare: Iterable[str]) -> Iterable[Reference]:
    try:
        return [*references(template), *(found for one in bare for found in expression_references(one))]
    except ExpressionError:  # what cannot be read at all is refused each time alike
        return []
