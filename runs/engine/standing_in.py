"""Answers for people in a run in which nobody is asked: a rehearsal that an evaluation started.

What a person would approve is taken as approved, as it was asked: the worker only pretends the call of an action that a
Person step guards, whatever it does (`Start.unasked`), and every call that needs an approval, as in any rehearsal.
Nobody invents an answer, more money or a way around a failure: there the run goes as it does when people say nothing or
no.
"""

from runs.engine import answers, flow
from runs.engine.facts import Answered
from runs.engine.move import Move
from runs.engine.origin import child_id

REASON = "Nobody is asked in this rehearsal."
_DECISIONS = {"approve": "approve", "edit": "approve", "answer": "expire", "failure": "stop", "budget": "reject"}


def answer(move: Move) -> None:
    """Answer every question that came up, and those that come of the answers."""
    while move.unasked and not move.run.state.is_terminal:
        step = move.unasked.popleft()
        request = step.record.memo.get("request")
        if request is None:
            continue
        # What an approval is called by; no call is made under it, since each that it allows is only pretended.
        approval = child_id(move.run.origin.run, request["id"], 0)
        decision = _DECISIONS.get(request["kind"], "stop")
        answers.answer(move, Answered(request["id"], approval, decision, reason=REASON))
        flow.drain(move)
