"""Steps made as the run goes: what runs in a turn or a delegation stands in no document.

A made step's row says all that it is: `memo["made"]` has it as a document would say it, `input` what it is given. So a
restart rebuilds a turn's graph from the rows of its steps, whatever decided on them. Nothing in a made step is a
template: its texts are put together from what people and models said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.graph import parse
from pipelines.graph.model import Edge, Json, Kind, Node
from runs.engine import instances, settling, trust
from runs.engine.decision import StepRecord
from runs.engine.move import Move
from runs.engine.scope import MADE, Container, Scope
from runs.engine.state import Execution

# What such a step is given stands in its input from the beginning, and there alone.
_GIVEN: Mapping[Kind, str] = {Kind.AGENT: "prompt", Kind.TOOL: "args", Kind.PIPELINE: "inputs"}
_NOTHING: Mapping[str, Json] = {"prompt": "", "args": {}, "inputs": {}}


@dataclass(frozen=True, slots=True)
class Made:
    """One step to make. `raw` is it as a document would say it, its prompt or arguments meant literally.

    `after` names the steps made with it that it waits for; `label` says whose words it is given. Retry, repair,
    fallbacks and the time limit of an attempt are the container's; `then` is `raw`'s own.
    """

    name: str
    raw: Mapping[str, Json]
    after: tuple[str, ...] = ()
    label: str = trust.MODEL


def begin(move: Move, container: Container, made: Sequence[Made], prefix: str = "") -> Scope:
    """Begin the container's next turn or delegation with these steps; see `instances.too_many_steps` before.

    `prefix` is where their paths begin when not as the container's kind has it.
    """
    scope = instances.begin(move.run, container, prefix)
    _make(move, scope, made)
    return scope


def go_on(move: Move, scope: Scope, made: Sequence[Made]) -> None:
    """Make further steps in a turn; where all its steps had ended, it is under way again."""
    if scope.container:
        container = move.run.containers[scope.container.path]
        container.active += not scope.open
        _make(move, scope, made)


def again(move: Move, scope: Scope) -> None:
    """Run once more what did not end well in a turn that had ended, with what it was given."""
    if scope.container:
        move.run.containers[scope.container.path].active += 1
        instances.reset(move, scope, [name for name, step in scope.steps.items() if step.record.ports])


def recall(scope: Scope, records: Iterable[StepRecord]) -> None:
    """Give a turn that had begun before a restart the steps that its rows speak of."""
    if not scope.container:
        return
    nodes, edges = {}, []
    for record in records:
        if MADE in record.memo:
            nodes[record.node] = _node(scope.container.node, record)
            edges += [Edge(source, "done", record.node) for source in record.memo[MADE]["after"]]
    scope.grow(nodes, edges)


def forget_ended(run: Execution, container: Container) -> None:
    """Drop the turns all of whose steps have ended; their rows stay in the database."""
    for index in [index for index, scope in container.scopes.items() if not scope.open]:
        run.forget_scope(container.scopes.pop(index))


def agent_of(record: StepRecord) -> str | None:
    """Return the reference of the agent that a made step asks, None for any other step."""
    found = record.memo.get(MADE)
    return found["step"].get("agent") if found else None


def _make(move: Move, scope: Scope, made: Sequence[Made]) -> None:
    records = [_record(scope, one, move.run.next_position()) for one in made]
    recall(scope, records)
    for record in records:
        settling.adopt(move, scope, record)
    move.dirty.extend((scope, one.name) for one in made if not one.after)


def _record(scope: Scope, one: Made, position: int) -> StepRecord:
    kind = Kind(one.raw["kind"])
    given = _GIVEN.get(kind)
    step = {name: value for name, value in one.raw.items() if name != given}
    return StepRecord(
        path=scope.prefix + one.name,
        node=one.name,
        kind=kind,
        title=str(one.raw.get("title", "")),
        input={given: one.raw[given]} if given else None,
        memo={MADE: {"step": step, "after": list(one.after), "trust": one.label}},
        position=position,
    )


def _node(around: Node, record: StepRecord) -> Node:
    """Return what a made step is, from its row alone."""
    step = record.memo[MADE]["step"]
    given = _GIVEN.get(Kind(record.kind))
    node = parse.step(record.node, {**step, given: _NOTHING[given]} if given else step)
    if given:
        node = replace(node, config={**node.config, given: record.input[given]})
    stand_ins = tuple(entry for entry in around.on_error.fallback if entry.kind != "pipeline")  # it does the whole
    policy = replace(around.on_error, fallback=stand_ins, then=node.on_error.then, default=node.on_error.default)
    return replace(node, on_error=policy, timeout=around.timeout)
