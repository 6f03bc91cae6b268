"""What an SDK's exception means to us: try again, ask anew, fix the set-up, or count the answer as lost."""

from collections.abc import Callable, Iterator

from pydantic_ai import exceptions as provider

from runs.engine.facts import ErrorClass
from runs.execution.failures import AnswerLost, Failure, config, refused, transient

_RETRYABLE = {408, 409, 425, 429}
_FILTER_CODES = {"content_filter", "content_policy_violation", "moderation_blocked"}


Hide = Callable[[str], str]


def failure_of(error: Exception, ref: str, hide: Hide) -> Failure:
    """Return our failure for what asking `ref` raised. `hide` takes secrets out of what the provider said, before it is
    cut: a part of one is worth hiding too."""
    for cause in _causes(error):
        if isinstance(cause, Failure):
            return _of_the_wire(cause, ref)
    match error:
        case provider.ModelConnectionError():
            return _connection(error, ref, hide)
        case provider.ContentFilterError():
            return refused(ref)
        case provider.ModelHTTPError():
            return _status(error, ref, hide)
        case provider.ModelAPIError() | provider.UnexpectedModelBehavior():
            # The provider said 200, so it has probably charged; nobody knows how much.
            return AnswerLost(
                ErrorClass.TRANSIENT,
                "malformed_answer",
                f"{ref} sent an answer that cannot be read: {_short(error, hide)}",
            )
    return Failure(
        ErrorClass.INTERNAL, "adapter_error", f"Asking {ref} failed: {type(error).__name__}: {_short(error, hide)}"
    )


def _of_the_wire(failure: Failure, ref: str) -> Failure:
    """Return the guard's or the reader's own failure, as a model's: no tool is at fault."""
    error = failure.error
    if error.cls is not ErrorClass.TOOL_ERROR:
        return failure
    return AnswerLost(ErrorClass.LIMIT, error.code, f"{ref}: {error.message}")


def _connection(error: provider.ModelConnectionError, ref: str, hide: Hide) -> Failure:
    if error.phase in ("pool", "connect"):
        return transient("cannot_connect", f"{ref} cannot be reached: {_short(error, hide)}")
    return AnswerLost(
        ErrorClass.TRANSIENT,
        "connection_lost",
        f"The connection to {ref} broke before the answer came: {_short(error, hide)}",
    )


def _status(error: provider.ModelHTTPError, ref: str, hide: Hide) -> Failure:
    status = error.status_code
    if error.provider_error_code in _FILTER_CODES:
        return refused(ref)
    match error:
        case provider.ModelQuotaExceededError():
            return config("quota_exceeded", f"The account behind {ref} has no credit left ({status}). Top it up.")
        case provider.ModelContextWindowExceededError():
            return Failure(
                ErrorClass.LIMIT, "context_window_exceeded", f"The prompt is too long for {ref}: {_said(error, hide)}"
            )
        case provider.ModelAuthenticationError():
            return config("not_authorised", f"{ref} did not accept the key ({status}). Check the connection's secret.")
        case provider.ModelNotFoundError():
            return config("no_such_model", f"{ref} was not found ({status}): {_said(error, hide)}")
    if status == 429:
        return transient("rate_limited", f"{ref} is limiting requests (429).", error.retry_after)
    if status in _RETRYABLE or status >= 500:
        return transient(f"http_{status}", f"{ref} answered {status}: {_said(error, hide)}", error.retry_after)
    return config(f"http_{status}", f"{ref} refused the request ({status}): {_said(error, hide)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: provider.ModelHTTPError, hide: Hide) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") if isinstance(inner, dict) else inner
        return hide(str(said))[:500]
    return hide(str(body))[:500] if body else "no explanation"


def _short(error: BaseException, hide: Hide) -> str:
    return (hide(str(error)) or type(error).__name__)[:500]
