"""Whom a supervisor may give tasks to: agents, tools, pipelines, and supervisors of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.graph.model import Json

AGENT, TOOL, PIPELINE, SUPERVISOR = "agent", "tool", "pipeline", "supervisor"


@dataclass(frozen=True, slots=True)
class Worker:
    """One who may be given a task. `name` is what the leader calls it, `ref` the agent, tool or pipeline.

    A supervisor's `ref` is the agent that leads it, and `config` its fields. `at` is the JSON pointer within the step.
    """

    name: str
    kind: str
    ref: str
    at: str
    config: Mapping[str, Json] | None = None


def workers_of(config: Mapping[str, Json], at: str = "workers") -> tuple[Worker, ...]:
    """Return the workers of a supervisor, without those of the supervisors among them."""
    return tuple(_worker(entry, f"{at}/{index}") for index, entry in enumerate(config.get("workers") or ()))


def all_workers(config: Mapping[str, Json], at: str = "workers") -> Iterator[Worker]:
    """Yield the workers of a supervisor and of every supervisor under it."""
    for worker in workers_of(config, at):
        yield worker
        if worker.config is not None:
            yield from all_workers(worker.config, f"{worker.at}/{SUPERVISOR}/workers")


def levels_of(config: Mapping[str, Json]) -> int:
    """Return how many supervisors stand one under another, this one included."""
    return 1 + max((levels_of(worker.config) for worker in workers_of(config) if worker.config is not None), default=0)


def _worker(entry: Mapping[str, Json], at: str) -> Worker:
    kind, value = next(iter(entry.items()))
    if kind == SUPERVISOR:
        return Worker(value["name"], kind, value["agent"], at, value)
    return Worker(value.partition("@")[0], kind, value, at)


def step_for(worker: Worker, task: Json, args: Json) -> dict[str, Json]:
    """Return the step, as a document has it, that carries a task out; `task` and `args` stand as they are given."""
    match worker.kind:
        case "agent":
            return {"kind": AGENT, "agent": worker.ref, "prompt": task}
        case "tool":
            return {"kind": TOOL, "tool": worker.ref, "args": args}
        case "pipeline":
            return {"kind": PIPELINE, "pipeline": worker.ref, "inputs": args}
        case _:
            own = {key: value for key, value in (worker.config or {}).items() if key not in ("name", "about")}
            return {"kind": SUPERVISOR, "task": task, **own}


def takes_task(worker: Worker) -> bool:
    """Tell whether a worker is told what to do in words; tools and pipelines take arguments."""
    return worker.kind in (AGENT, SUPERVISOR)
