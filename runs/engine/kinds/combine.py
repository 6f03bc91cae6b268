"""Combine: merges what arrived at a join."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from runs.engine import joins
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import EdgeState, Scope, Step


def merge(move: Move, step: Step) -> None:
    scope, config = step.scope, step.node.config
    arrived = scope.arrived(step.node.id)
    here = {source.node.id for source in arrived}
    sources = dict.fromkeys(scope.graph.edges[index].source for index in scope.graph.ins[step.node.id])
    missing = [name for name in sources if name not in here]
    meta: dict[str, Json] = {"missing": missing}
    match config["merge"]:
        case "object":
            found = {source.node.id: source.record.output for source in arrived}
            output: Json = {name: found.get(name, _stand_in(config)) for name in _kept(config, sources, here)}
        case "list":
            outputs = {source.node.id: source.record.output for source in arrived}
            output = [outputs.get(name, _stand_in(config)) for name in _kept(config, sources, here)]
        case "first":
            winner = min(arrived, key=_when_done)
            output, meta["winner"] = winner.record.output, winner.node.id
        case "prefer":
            winner = _preferred(arrived, config.get("prefer") or ())
            output, meta["winner"] = winner.record.output, winner.node.id
        case "concat":
            output = _concatenated([source.record.output for source in arrived])
        case "vote":
            output, meta["votes"] = _vote([source.record.output for source in arrived])
        case other:
            message = f"{step.path} merges by {other!r}, which needs a model; this version of the engine cannot."
            give_up(move, step, StepError(ErrorClass.CONFIG, "unsupported_merge", message))
            return
    complete(move, step, output, meta)


def start_waiting(move: Move, scope: Scope, step: Step) -> None:
    """Set the join's timer at its first arrival."""
    if "due" not in step.record.memo and scope.counts[step.node.id][EdgeState.TAKEN]:
        move.run.set_timer(step, move.now + timedelta(seconds=step.node.config["wait_timeout"]))
        move.touch(step)


def is_enough(step: Step) -> bool:
    """Tell whether what arrived by the time limit lets the join run."""
    counts = step.scope.counts[step.node.id]
    return counts[EdgeState.TAKEN] >= max(1, joins.needed(step.node, sum(counts)))


def _kept(config: Mapping[str, Json], sources: Mapping[str, None], here: set[str]) -> list[str]:
    return [name for name in sources if name in here or config["missing"] != "omit"]


def _stand_in(config: Mapping[str, Json]) -> Json:
    return config.get("default") if config["missing"] == "default" else None


def _when_done(step: Step) -> tuple[str, int]:
    done = step.record.finished_at
    return (done.isoformat() if done else "", step.record.position)


def _preferred(arrived: Sequence[Step], order: Sequence[str]) -> Step:
    rank = {name: index for index, name in enumerate(order)}
    return min(arrived, key=lambda step: rank.get(step.node.id, len(rank)))


def _concatenated(outputs: Sequence[Json]) -> Json:
    """Join lists into one list, anything else as paragraphs of text."""
    if all(isinstance(output, list) for output in outputs):
        return [item for output in outputs for item in output]
    return "\n\n".join(output if isinstance(output, str) else canonical_json(output).decode() for output in outputs)


def _vote(outputs: Sequence[Json]) -> tuple[Json, list[Json]]:
    """Return what most said (of equals the one listed first), and the count of each answer."""
    keys = [canonical_json(output) for output in outputs]
    counts = Counter(keys)
    winner = max(counts.values())
    first = next(output for key, output in zip(keys, outputs, strict=True) if counts[key] == winner)
    values = dict(zip(keys, outputs, strict=True))
    return first, [{"value": values[key], "count": count} for key, count in counts.items()]
