"""Plans that a model or a person makes for a supervisor: tasks for its workers, and which task builds on which.

A plan is read as a pipeline: it must pass what every pipeline must pass to be published, end in one task, and have an
arrow between two tasks if and only if one uses what the other brings.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.common import NAME
from pipelines.graph.composite import Field, Listing, Record
from pipelines.graph.lock import Library, Lock
from pipelines.graph.model import Json
from pipelines.graph.parse import FORMAT, parse
from pipelines.graph.problems import Refusal, shown
from pipelines.graph.shape import MAX_TEXT, Anything, Text
from pipelines.graph.validate import problems
from pipelines.graph.workers import Worker, step_for, takes_task

RESULT_OF = "result_of"
MOST_USES = 50
_STEP = Record(
    {
        "id": Field(NAME, required=True),
        "worker": Field(Text(200, 1), required=True),
        "task": Field(Text(MAX_TEXT), ""),
        "args": Field(Anything(object_only=True), {}),
        "uses": Field(Listing(NAME, MOST_USES), ()),
    }
)

# What a person who edits a plan may write.
FORM: Mapping[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["steps"],
    "properties": {"steps": {"type": "array", "minItems": 1, "items": _STEP.schema()}},
}


class BadPlan(Refusal):
    """A plan that cannot be carried out; its maker is told the sentence, and may make another."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a plan. An arg that is exactly {"result_of": id} stands for what the task `id` brings."""

    id: str
    worker: str
    task: str
    args: Mapping[str, Json]
    uses: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "worker": self.worker,
            "task": self.task,
            "args": dict(self.args),
            "uses": list(self.uses),
        }


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a plan is held against: who may work, what is locked, how many tasks, and the ids that have a result."""

    workers: Mapping[str, Worker]
    lock: Lock
    most: int
    known: Collection[str] = ()


def read(plan: Json, bounds: Bounds) -> tuple[Task, ...]:
    """Return the tasks of a plan {"steps": […]}, each after those it uses; raise Refusal with words for its maker."""
    tasks = _tasks(plan, bounds)
    for task in tasks:
        _check_task(task, bounds)
    _check_end(tasks)
    graph = _as_pipeline(tasks, bounds)
    document = parse({**_HEAD, "graph": graph})
    lock = bounds.lock
    library = Library(lock.agents, lock.tools, lock.prices, lock.windows, lock.pipelines)
    for problem in problems(document, library):
        if problem.severity == "error":
            raise BadPlan(problem.code, problem.message, problem.where)
    by_id = {task.id: task for task in tasks}
    return tuple(by_id[name] for name in document.graph.order if name in by_id)


def results_in(args: Json) -> Iterator[str]:
    """Yield the ids whose results an argument stands for, at any depth."""
    if _is_result(args):
        yield args[RESULT_OF]
    elif isinstance(args, Mapping):
        for value in args.values():
            yield from results_in(value)
    elif isinstance(args, list | tuple):
        for value in args:
            yield from results_in(value)


def filled(args: Json, result_of: Callable[[str], Json], text: Callable[[str], Json] = str) -> Json:
    """Return arguments with each {"result_of": id} replaced, and every other text as `text` gives it."""
    if _is_result(args):
        return result_of(args[RESULT_OF])
    if isinstance(args, Mapping):
        return {key: filled(value, result_of, text) for key, value in args.items()}
    if isinstance(args, list | tuple):
        return [filled(value, result_of, text) for value in args]
    return text(args) if isinstance(args, str) else args


def _is_result(value: Json) -> bool:
    return isinstance(value, Mapping) and set(value) == {RESULT_OF} and isinstance(value[RESULT_OF], str)


def _tasks(plan: Json, bounds: Bounds) -> tuple[Task, ...]:
    steps = plan.get("steps") if isinstance(plan, Mapping) else None
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise BadPlan("empty_plan", "The plan has no task. Give at least one.", "/steps")
    if len(steps) > bounds.most:
        message = f"The plan has {len(steps):,} tasks; {bounds.most:,} more may be given out. Plan fewer."
        raise BadPlan("too_many_delegations", message, "/steps")
    read_steps = [_STEP.read(step, f"/steps/{index}") for index, step in enumerate(steps)]
    return tuple(Task(**{**step, "uses": tuple(dict.fromkeys(step["uses"]))}) for step in read_steps)


def _check_task(task: Task, bounds: Bounds) -> None:
    worker = bounds.workers.get(task.worker)
    if worker is None:
        raise BadPlan("unknown_worker", f"{no_worker(task.worker, bounds.workers)} (task {task.id!r})")
    if takes_task(worker) and not task.task.strip():
        raise BadPlan("no_task", f"The task {task.id!r} does not say what {worker.name} is to do.")
    if not takes_task(worker) and set(results_in(task.args)) != set(task.uses):
        message = (
            f'The task {task.id!r} must take each result it uses as an argument {{"{RESULT_OF}": id}}, and name in '
            "`uses` each one it takes, no more and no fewer."
        )
        raise BadPlan("uses_differ", message)


def no_worker(name: str, workers: Collection[str]) -> str:
    """Return the sentence about a worker that is not there."""
    return f"There is no worker {shown(name)}. There are: {', '.join(workers)}."


def _check_end(tasks: Sequence[Task]) -> None:
    """Refuse ids that stand for two things, and a plan that ends in more than one task."""
    ids = [task.id for task in tasks]
    twice = next((name for index, name in enumerate(ids) if name in ids[:index]), None)
    if twice is not None:
        raise BadPlan("duplicate_task", f"Two tasks of the plan have the id {twice!r}. Give each its own.")
    used = {name for task in tasks for name in task.uses}
    ends = [name for name in ids if name not in used]
    if len(ends) > 1:
        named = ", ".join(ends[:10])
        message = f"The plan ends in {len(ends)} tasks ({named}). One last task must use what the others bring."
        raise BadPlan("several_ends", message)


_HEAD: Mapping[str, Json] = {"format": FORMAT, "format_version": "1.0", "id": "plan", "name": "Plan"}


def _as_pipeline(tasks: Sequence[Task], bounds: Bounds) -> dict[str, Json]:
    """Return the graph of a plan as a document has it, between a Start and a Result.

    What an earlier plan brought stands in it as a step of which nothing is known.
    """
    ids = {task.id for task in tasks}
    for task in tasks:
        if task.id in bounds.known:
            raise BadPlan("duplicate_task", f"The id {task.id!r} belongs to a task that is done. Choose another.")
    earlier = sorted({name for task in tasks for name in task.uses if name not in ids and name in bounds.known})
    start, result = _free("start", ids, earlier), _free("result", ids, earlier)
    end = next((task.id for task in reversed(tasks) if not any(task.id in other.uses for other in tasks)), tasks[-1].id)
    nodes: dict[str, Json] = {start: {"kind": "input"}, result: {"kind": "output", "value": _reference(end)}}
    nodes |= {name: {"kind": "combine", "merge": "first"} for name in earlier}
    edges = [{"from": start, "to": name} for name in earlier]
    for task in tasks:
        nodes[task.id] = _step(task, bounds.workers[task.worker])
        edges += [{"from": name, "to": task.id} for name in task.uses or (start,)]
    return {"nodes": nodes, "edges": [*edges, {"from": end, "to": result}]}


def _step(task: Task, worker: Worker) -> dict[str, Json]:
    """Return a task as a document's step, its maker's words escaped so that none of them is an expression."""
    holes = "".join(f"\n{_reference(name)}" for name in task.uses)
    args = filled(task.args, _reference, _escaped)
    return step_for(worker, _escaped(task.task) + holes, args)


def _escaped(text: str) -> str:
    return text.replace("${", "$${")


def _reference(name: str) -> str:
    return f"${{steps.{name}.output}}"


def _free(name: str, *taken: Collection[str]) -> str:
    while any(name in names for names in taken):
        name += "_"
    return name
