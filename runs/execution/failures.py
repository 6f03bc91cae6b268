"""What can go wrong while a step acts, named by the reaction wanted; `steps.carry_out` turns each into a fact."""

from collections.abc import Mapping, Sequence

from pipelines.graph.model import Json
from runs.engine.facts import ErrorClass, StepError


class Failure(Exception):
    """The attempt is over with this error."""

    is_lost = False

    def __init__(
        self,
        cls: ErrorClass,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        findings: Sequence[str] = (),
        output: Json = None,
    ) -> None:
        super().__init__(message)
        self.error = StepError(cls, code, message, retry_after, tuple(findings), output, lost=self.is_lost)


class AnswerLost(Failure):
    """No answer came, or none that says what was done; the other side may have acted or charged: the call counts as
    unfinished."""

    is_lost = True


class Wanted(Exception):
    """An agent wants a pipeline started before the attempt can go on; `call` names the wish within the step."""

    def __init__(self, pipeline: str, inputs: Json, call: str) -> None:
        super().__init__(pipeline)
        self.pipeline, self.inputs, self.call = pipeline, inputs, call


class Blocked(Exception):
    """A person must answer before the attempt can go on."""

    def __init__(
        self, kind: str, payload: Json, title: str, why: str, trust: Mapping[str, str] | None = None, call: str = ""
    ) -> None:
        super().__init__(title)
        self.kind, self.payload, self.title, self.why = kind, payload, title, why
        self.trust, self.call = trust or {}, call


def transient(code: str, message: str, retry_after: float | None = None) -> Failure:
    return Failure(ErrorClass.TRANSIENT, code, message, retry_after=retry_after)


def config(code: str, message: str) -> Failure:
    return Failure(ErrorClass.CONFIG, code, message)


def invalid_output(code: str, message: str, findings: Sequence[str], output: Json) -> Failure:
    """Return the failure that asks for a repair: the findings and the answer as it came go into the next prompt."""
    return Failure(ErrorClass.INVALID_OUTPUT, code, message, findings=findings, output=output)


def refused(model: str, reason: str = "") -> Failure:
    """Return the failure of a model that declines."""
    said = f": {reason[:500]}" if reason else "."
    return Failure(ErrorClass.REFUSED, "refused", f"{model} refused to answer{said}", output=reason or None)
