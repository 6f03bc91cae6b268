"""Which way a run took: the steps that ran, the tools that were called, the rounds, and the questions to people."""

from collections.abc import Iterator, Mapping

from evals.scorers.values import Subject, Unscored, Verdict, of_parts
from pipelines.graph.model import Json

RAN = "succeeded"
NOT_RUN = frozenset({"skipped", "cancelled", "pending"})


def trajectory(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    """Score the part of the conditions that hold; the reason names those that do not."""
    broken, parts = [], 0
    for sentence in _conditions(assertion, subject):
        parts += 1
        broken += [sentence] if sentence else []
    if not parts:
        return Unscored("The trajectory assertion has no condition.")
    return of_parts(parts - len(broken), parts, " ".join(broken) or "It went the way that was expected.")


def _conditions(assertion: Mapping[str, Json], subject: Subject) -> Iterator[str]:
    """Yield, for each condition, what is wrong with the run, "" where it holds."""
    seen = subject.trajectory
    for path in assertion["ran"]:
        states = _states(subject, path)
        yield "" if RAN in states else f"{path} {_became(states)}, but should have succeeded."
    for path in assertion["skipped"]:
        states = _states(subject, path)
        yield "" if states <= NOT_RUN else f"{path} {_became(states)}, but should not have run."
    for tool, bounds in assertion["tools"].items():
        calls = sum(n for name, n in seen.tools.items() if tool in (name, name.partition("@")[0]))
        yield _outside(f"{tool} was called", calls, bounds)
    for path, bounds in assertion["loops"].items():
        yield _outside(f"{path} went round", max(_loops(subject, path), default=0), bounds)
    if "questions" in assertion:
        yield _outside("People were asked", seen.questions, assertion["questions"])


def _states(subject: Subject, path: str) -> set[str]:
    """Return the states of a step: of the one at this path, else of all that come from the node of this name."""
    steps = subject.trajectory.steps
    if path in steps:
        return {steps[path].state}
    return {step.state for step in steps.values() if step.node == path}


def _loops(subject: Subject, path: str) -> list[int]:
    return [step.loops for at, step in subject.trajectory.steps.items() if path in (at, step.node)]


def _became(states: set[str]) -> str:
    return " and ".join(sorted(states)) if states else "never began"


def _outside(what: str, count: int, bounds: Mapping[str, int]) -> str:
    least, most = bounds.get("min", 0), bounds.get("max")
    if count < least:
        return f"{what} {_times(count)}, at least {least} is wanted."
    if most is not None and count > most:
        return f"{what} {_times(count)}, at most {most} is allowed."
    return ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times" if count else "never"
