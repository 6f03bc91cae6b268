"""What was done, or may have been although nothing says so: no pipeline does that once more by another way.

It stands in the memo of the step, of what holds it, and of the steps above that wait for its run; it never goes.
"""

from collections.abc import Iterator

from pipelines.graph.lock import PIPELINE_TOOL
from pipelines.graph.model import Graph, Json, Kind, Node
from pipelines.graph.places import Place, within
from pipelines.graph.tools import Effect
from runs.engine import fallbacks, spread
from runs.engine.facts import ChildEnded, PipelineWanted, StepBlocked, StepError, StepFailed, StepSucceeded
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import StepState

# In memos, and in what a run is told of the end of one that it started.
MAYBE_DONE = "maybe_done"
# What others carry out as the run goes: it stands in no graph what they do.
_OTHERS_WORK = (Kind.PIPELINE, Kind.TEAM, Kind.SUPERVISOR)


def note_result(move: Move, step: Step, fact: StepSucceeded | StepFailed | StepBlocked | PipelineWanted) -> None:
    """Remember of a step that its attempt has changed something, or may have, whatever comes of what it brought."""
    match fact:
        case StepFailed(error=error):
            done = error.maybe_done
        case StepSucceeded():
            done = fact.maybe_done or is_action(move.run, step)
        case _:
            done = fact.maybe_done
    if done:
        note(move, step)


def note_loss(move: Move, step: Step, error: StepError | None = None) -> None:
    """Remember of a step that it may have changed something: a call had no answer, or one that does not do.

    Of an agent the error says it; of an action it is so with every loss (`error` None: its worker went).
    """
    if (error is not None and error.maybe_done) or is_action(move.run, step):
        note(move, step)


def note_stopped(move: Move, step: Step) -> None:
    """Remember of a step that is stopped where it stands, or given up, that it may have changed something."""
    if _may_act(move.run, step):
        note(move, step)


def note(move: Move, step: Step) -> None:
    """Remember of a step, of what holds it, and of the run, that something in it was or may have been done."""
    move.run.is_in_doubt = True
    around: Step | None = step
    while around:
        if MAYBE_DONE not in around.record.memo:
            around.record.memo[MAYBE_DONE] = True
            move.touch(around)
        around = around.scope.container


def note_child(move: Move, step: Step, fact: ChildEnded) -> None:
    """Remember of a step that the run it had started has changed something, or may have.

    One that was stopped, or given up unread, does not say.
    """
    untold = (fact.state == "cancelled" or fact.reason == "dead_letter") and _runs_may_act(move.run, step)
    if untold or (fact.error or {}).get(MAYBE_DONE):
        note(move, step)


def error_of(run: Execution) -> Json:
    """Return the error of a run as the run above is told it: of one that ended well, no more than what it has done."""
    return {**(run.error or {}), MAYBE_DONE: True} if run.is_in_doubt else run.error


def fallbacks_left(run: Execution, step: Step) -> int:
    """Return how many fallbacks the step has: in doubt, those before the next pipeline."""
    found = fallbacks.fallbacks_of(run, step)
    if not found or not _is_in_doubt(run, step):
        return len(found)
    tried = step.record.memo.get("fallback", 0)
    return next((n for n, entry in enumerate(found) if n >= tried and entry.kind == "pipeline"), len(found))


def _is_in_doubt(run: Execution, step: Step) -> bool:
    """Tell whether something was or may have been done, or may be being done in what the step holds."""
    inside = _inside(run, step)
    return MAYBE_DONE in step.record.memo or any(MAYBE_DONE in one.record.memo or _may_act(run, one) for one in inside)


def _inside(run: Execution, step: Step) -> Iterator[Step]:
    container = run.containers.get(step.path)
    for scope in container.scopes.values() if container else ():
        for inner in scope.steps.values():
            yield inner
            yield from _inside(run, inner)


def _may_act(run: Execution, step: Step) -> bool:
    """Tell whether what is under way of the step's own may change something: a call of it, or a run that it started."""
    record = step.record
    if record.memo.get("children", {}).get("live"):
        return _runs_may_act(run, step)
    if record.state is not StepState.RUNNING:
        return False
    return is_action(run, step) or (
        step.node.kind is Kind.AGENT and _has_acting_tool(run, step.node, fallbacks.agent_of(run, step))
    )


def _runs_may_act(run: Execution, step: Step) -> bool:
    """Tell whether a run that the step has started may change something: of an item of its For each its graph says."""
    container = step.scope.container
    if container is None or not spread.is_item(step):
        return True
    place = Place(container.place, "", container.node, container.scope.graph)
    try:
        return any(_node_may_act(run, inner.node) for inner in within(container.node.graph or Graph({}, ()), place))
    except KeyError:  # of what the version does not hold nobody knows
        return True


def _node_may_act(run: Execution, node: Node) -> bool:
    """Tell whether a step may change something, whatever it is given and whoever stands in for it."""
    stand_ins = node.on_error.fallback
    if node.kind in _OTHERS_WORK or any(entry.kind == "pipeline" for entry in stand_ins):
        return True
    if node.kind is Kind.TOOL:
        return run.lock.tool(node.config["tool"]).effect is not Effect.NONE
    if node.kind is not Kind.AGENT:
        return False
    agents = [str(node.config["agent"]), *(entry.ref for entry in stand_ins if entry.kind == "agent")]
    wants = any(name.startswith(PIPELINE_TOOL) for agent in agents for name in run.lock.agent(agent).tools)
    return wants or any(_has_acting_tool(run, node, agent) for agent in agents)


def _has_acting_tool(run: Execution, node: Node, agent: str) -> bool:
    """Tell whether an agent that carries a step out may call what changes something. A pipeline that it wants is
    started by the engine."""
    try:
        offered = run.lock.agent(agent).tools
        chosen = node.config.get("tools")
        names = [name for name in offered if not name.startswith(PIPELINE_TOOL) and (chosen is None or name in chosen)]
        return any(run.lock.tool(name).effect is not Effect.NONE for name in names)
    except KeyError:  # it has ended by that, or is about to
        return False


def is_action(run: Execution, step: Step) -> bool:
    """Tell whether the step's own call changes something."""
    if step.node.kind is not Kind.TOOL or not isinstance(step.record.input, dict) or fallbacks.pipeline_of(run, step):
        return False
    tool = run.lock.tool(step.node.config["tool"])
    return tool.effect_of(step.record.input["args"]) is not Effect.NONE
