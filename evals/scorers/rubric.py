"""What a model says of an answer: what it is shown, and how its verdict becomes a score. The call is made elsewhere."""

from collections.abc import Mapping

from evals.scorers.texts import as_text
from evals.scorers.values import NOTHING, Score, Subject, Unscored, Verdict
from pipelines.graph.model import Json

_LONGEST = 50_000


def shown(subject: Subject, inputs: Json, context: Json) -> str:
    """Return the text that is judged: the answer, and beside it what the case says of it."""
    parts = [("The input", inputs), ("The answer to judge", subject.output)]
    if subject.expected is not NOTHING:
        parts.append(("The expected answer", subject.expected))
    if context not in (None, [], ""):
        parts.append(("The context", context))
    return "\n\n".join(f"{title}:\n{as_text(value)[:_LONGEST]}" for title, value in parts)


def judged(assertion: Mapping[str, Json], said: Mapping[str, Json], cost_micros: int | None) -> Verdict:
    """Return the score that a judge's {score, reason} comes to."""
    score = said.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        return Unscored("The judge gave no score between 0 and 1.", cost_micros)
    return Score(float(score), score >= assertion["min_score"], str(said.get("reason") or ""), cost_micros)
