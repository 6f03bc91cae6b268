"""What an output passes before it counts: the checks; what it fails by is a failed attempt."""

from collections.abc import Mapping

from pipelines.graph.model import Json
from runs.engine import checks, failing, settling
from runs.engine.move import Move
from runs.engine.scope import Step

NO_META: Mapping[str, Json] = {}


def complete(
    move: Move, step: Step, output: Json, meta: Mapping[str, Json] = NO_META, ports: tuple[str, ...] = ("done",)
) -> None:
    """End a step that the engine itself carried out, unless its output does not fit."""
    error = checks.wrong_with(move.run, step, output)
    if error:
        failing.give_up(move, step, error)
    else:
        settling.succeed(move, step, output, meta, ports)
