"""Sub-pipeline: its inputs are rendered here (a leader's stand as they are), a run of its own carries it out.

That run is started and heard of in `runs.engine.children`.
"""

from runs.engine import spread, starting, values
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Step


def call(move: Move, step: Step) -> None:
    if not spread.is_item(step):
        try:
            inputs = values.rendered(move.run, step, step.node.config["inputs"])
        except values.Unusable as unusable:
            give_up(move, step, unusable.error)
            return
        step.record.input = {"inputs": inputs}
    starting.launch(move, step)
