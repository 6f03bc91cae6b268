"""Start, Result and Transform: done in the decision that reaches them."""

from runs.engine import values
from runs.engine.completing import complete
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Step


def take_input(move: Move, step: Step) -> None:
    complete(move, step, move.run.input)


def give_output(move: Move, step: Step) -> None:
    try:
        value = values.rendered(move.run, step, step.node.config.get("value"))
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    complete(move, step, value, ports=())


def transform(move: Move, step: Step) -> None:
    try:
        output = {
            name: values.evaluated(move.run, step, expression) for name, expression in step.node.config["set"].items()
        }
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    complete(move, step, output)
