"""The words, icons and colours in which people see evaluations: always an icon and a word."""

from evals.comparison import Verdict
from evals.models import Evaluation, Pair, Result
from runs.words import Badge

_STATES = {
    Evaluation.State.RUNNING: Badge("Running", "half", "b-running"),
    Evaluation.State.FINISHED: Badge("Done", "check", "b-done"),
    Evaluation.State.CANCELLED: Badge("Cancelled", "ban", ""),
    Evaluation.State.FAILED: Badge("Failed", "x", "b-failed"),
}
_GATE_MISSED = Badge("Gate missed", "x", "b-failed")
_GATE_HELD = Badge("Gate held", "check", "b-done")
_RESULTS = {
    Result.State.WAITING: Badge("Waiting", "circle", ""),
    Result.State.RUNNING: Badge("Running", "half", "b-running"),
    Result.State.JUDGING: Badge("Being judged", "half", "b-running"),
    Result.State.ERROR: Badge("Not scored", "circle-alert", "b-degraded"),
}
PASSED = Badge("Passed", "check", "b-done")
NOT_PASSED = Badge("Failed", "x", "b-failed")
FLAKY = Badge("Flaky", "shuffle", "b-degraded")
_PAIRS = {
    Pair.Outcome.WON: Badge("Won", "check", "b-done"),
    Pair.Outcome.TIED: Badge("Tied", "circle", ""),
    Pair.Outcome.LOST: Badge("Lost", "x", "b-failed"),
}
_NOT_CHOSEN = Badge("Not chosen", "circle-alert", "b-degraded")
_BEING_READ = Badge("Being judged", "half", "b-running")
VERDICTS = {
    Verdict.BETTER: ("Better", "better"),
    Verdict.WORSE: ("Worse", "worse"),
    Verdict.UNCLEAR: ("No clear difference", "unclear"),
}


def badge_of(row: Evaluation) -> Badge:
    if row.state == Evaluation.State.FINISHED and row.gate:
        return _GATE_MISSED if row.missed else _GATE_HELD
    return _STATES[Evaluation.State(row.state)]


def badge_of_result(row: Result) -> Badge:
    if row.state == Result.State.SCORED:
        return PASSED if row.passed else NOT_PASSED
    return _RESULTS[Result.State(row.state)]


def badge_of_pair(row: Pair) -> Badge:
    if row.outcome:
        return _PAIRS[Pair.Outcome(row.outcome)]
    return _NOT_CHOSEN if row.error else _BEING_READ


def version_of(row: Evaluation) -> str:
    return f"v{row.version.number}" if row.version.number else "draft"
