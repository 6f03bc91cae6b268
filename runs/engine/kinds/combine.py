"""Combine: merges what arrived at a join, by a rule or by an agent's judgement."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from runs.engine import joins, starting, values
from runs.engine.completing import bring, complete
from runs.engine.facts import ErrorClass, StepError, StepSucceeded
from runs.engine.failing import attempt_failed, give_up
from runs.engine.move import Move
from runs.engine.scope import EdgeState, Scope, Step


def merge(move: Move, step: Step) -> None:
    """End the join with one value, or ask who merges by judgement."""
    config = step.node.config
    arrived = step.scope.arrived(step.node.id)
    meta: dict[str, Json] = {"missing": _missing(step)}
    match config["merge"]:
        case "object":
            output: Json = dict(_listed(step))
        case "list":
            output = [value for _, value in _listed(step)]
        case "first":
            winner = min(arrived, key=_when_done)
            output, meta["winner"] = winner.record.output, winner.node.id
        case "prefer":
            winner = _preferred(arrived, config.get("prefer") or ())
            output, meta["winner"] = winner.record.output, winner.node.id
        case "concat":
            output = _concatenated([value for _, value in _candidates(step)])
        case "vote":
            output, meta["votes"], meta["tied"] = _vote([value for _, value in _candidates(step)])
        case _:
            _ask(move, step)
            return
    complete(move, step, output, meta)


def merged(move: Move, step: Step, fact: StepSucceeded) -> None:
    """Take what the agent of a Combine came to: its text, or {"best": [names], "reason"} of the candidates.

    What wins is the candidate as it came: nothing that the judge wrote can change it.
    """
    meta = {**fact.meta, "missing": _missing(step)}
    output = fact.output
    if step.node.config["merge"] == "best_of":
        candidates = {entry["name"]: entry["value"] for entry in step.record.input["candidates"]}
        tied = [name for name in candidates if name in fact.output["best"]]
        if not tied:
            attempt_failed(move, step, _unknown_candidate(step, fact.output["best"]), 0.0)
            return
        output = candidates[tied[0]]
        meta |= {"winner": tied[0], "reason": fact.output["reason"], "tied": tied[1:]}
    bring(move, step, replace(fact, output=output, meta=meta, ports=step.node.own_ports[:1]))


def _ask(move: Move, step: Step) -> None:
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    candidates = [{"name": name, "value": value} for name, value in _candidates(step)]
    if step.node.config["merge"] == "best_of" and len(candidates) == 1:
        only = candidates[0]
        meta = {"missing": _missing(step), "winner": only["name"], "reason": "It was the only one.", "tied": []}
        complete(move, step, only["value"], meta)
        return
    try:
        prompt = values.rendered(move.run, step, step.node.config.get("prompt") or "")
        values.note_cache_words(move.run, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    step.record.input = {"prompt": prompt, "candidates": candidates}
    starting.launch(move, step)


def _unknown_candidate(step: Step, said: Json) -> StepError:
    message = f"{step.path} was to choose one of its candidates, and chose {said}."
    return StepError(ErrorClass.INVALID_OUTPUT, "unknown_candidate", message, findings=(message,), output=said)


def start_waiting(move: Move, scope: Scope, step: Step) -> None:
    """Set the join's timer at its first arrival."""
    if "due" not in step.record.memo and scope.counts[step.node.id][EdgeState.TAKEN]:
        move.run.set_timer(step, move.now + timedelta(seconds=step.node.config["wait_timeout"]))
        move.touch(step)


def is_enough(step: Step) -> bool:
    """Tell whether what arrived by the time limit lets the join run."""
    counts = step.scope.counts[step.node.id]
    return counts[EdgeState.TAKEN] >= max(1, joins.needed(step.node, sum(counts)))


def _sources(step: Step) -> list[str]:
    """Return the steps before the join in the order of their arrows, each once."""
    graph = step.scope.graph
    return list(dict.fromkeys(graph.edges[index].source for index in graph.ins[step.node.id]))


def _missing(step: Step) -> list[str]:
    here = {source.node.id for source in step.scope.arrived(step.node.id)}
    return [name for name in _sources(step) if name not in here]


def _listed(step: Step) -> list[tuple[str, Json]]:
    """Return what arrived, in order, and what stands for what did not, as `missing` says."""
    config = step.node.config
    here = {source.node.id: source.record.output for source in step.scope.arrived(step.node.id)}
    stand_in = config.get("default") if config["missing"] == "default" else None
    return [(name, here.get(name, stand_in)) for name in _sources(step) if name in here or config["missing"] != "omit"]


def _candidates(step: Step) -> list[tuple[str, Json]]:
    """Return the same without the nulls that stand for nothing: they have no voice and nothing to say."""
    absent = set(_missing(step)) if step.node.config["missing"] == "null" else set()
    return [(name, value) for name, value in _listed(step) if name not in absent]


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


def _vote(outputs: Sequence[Json]) -> tuple[Json, list[Json], bool]:
    """Return what most said (of equals the one listed first), the count of each answer, and whether it was a tie."""
    keys = [canonical_json(output) for output in outputs]
    counts = Counter(keys)
    most = max(counts.values())
    first = next(output for key, output in zip(keys, outputs, strict=True) if counts[key] == most)
    values_of = dict(zip(keys, outputs, strict=True))
    votes: list[Json] = [{"value": values_of[key], "count": count} for key, count in counts.items()]
    return first, votes, list(counts.values()).count(most) > 1
