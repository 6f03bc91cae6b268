"""What each kind of step does when its turn comes. A handler gets the move and the step, and decides nothing else."""

from collections.abc import Callable, Mapping

from pipelines.graph.model import Kind
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import give_up
from runs.engine.kinds import (
    board,
    check,
    combine,
    each,
    human,
    pipeline,
    plain,
    repeat,
    route,
    supervisor,
    team,
    wait,
    work,
)
from runs.engine.move import Move
from runs.engine.scope import Step

Handler = Callable[[Move, Step], None]

HANDLERS: Mapping[Kind, Handler] = {
    Kind.INPUT: plain.take_input,
    Kind.OUTPUT: plain.give_output,
    Kind.TRANSFORM: plain.transform,
    Kind.AGENT: work.ask_agent,
    Kind.TOOL: work.act,
    Kind.DECIDE: route.choose,
    Kind.COMBINE: combine.merge,
    Kind.EACH: each.open_container,
    Kind.REPEAT: repeat.open_container,
    Kind.TEAM: team.open_container,
    Kind.SUPERVISOR: supervisor.open_container,
    Kind.HUMAN: human.ask_person,
    Kind.CHECK: check.examine,
    Kind.WAIT: wait.begin,
    Kind.BOARD: board.use,
    Kind.PIPELINE: pipeline.call,
}


def carry_out(move: Move, step: Step) -> None:
    """Let a step whose turn has come do what its kind does."""
    handler = HANDLERS.get(step.node.kind)
    if handler:
        handler(move, step)
        return
    message = f"{step.path} is a {step.node.kind} step, which this version of the engine cannot run."
    give_up(move, step, StepError(ErrorClass.CONFIG, "unsupported_kind", message))


def bypass_ports(step: Step) -> tuple[str, ...]:
    """Return the ports through which the run goes past a disabled step."""
    match step.node.kind:
        case Kind.DECIDE:
            return (str(step.node.config["otherwise"]),)
        case _:
            return step.node.own_ports[:1]
