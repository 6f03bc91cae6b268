"""What an HTTP answer of 400 or more says of the request: it was refused, it may come again, or nobody knows.

A 4xx refuses it (RFC 9110, 15.5). Of the 5xx, 501 and 505 say that the server cannot serve such a request (15.6.2,
15.6.6), 511 that it never got beyond the network (RFC 6585, 6), and a 503 that names a time that the server does not
take it now (15.6.4). Every other 5xx leaves open what was done before it: a gateway's 502 and 504 speak of an answer
that it did not get, a 500 of a server that broke on the way, and gateways say 503 too when a connection broke after the
request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from runs.engine.facts import ErrorClass
from runs.execution.failures import AnswerLost, Failure

_COME_AGAIN = frozenset({408, 425, 429})
_NOT_SERVED = frozenset({501, 505, 511})
_LONGEST = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of 400 or more. `message` is what is told of it; `retry_after` is in seconds."""

    status: int
    message: str
    retry_after: float | None = None

    @property
    def says_not_done(self) -> bool:
        if self.status == 503:
            return self.retry_after is not None
        return self.status < 500 or self.status in _NOT_SERVED


def failure_of(refusal: Refusal, *, changes: bool, repeatable: bool) -> Failure:
    """Return the failure that an answer means: AnswerLost where a call that `changes` something may have been done.

    It is transient where the call may be sent again (`repeatable`) and may then do better, and where it is lost.
    """
    code = f"http_{refusal.status}"
    if changes and not refusal.says_not_done:
        return AnswerLost(ErrorClass.TRANSIENT, code, refusal.message, retry_after=refusal.retry_after)
    may_do_better = refusal.status >= 500 or refusal.status in _COME_AGAIN
    cls = ErrorClass.TRANSIENT if repeatable and may_do_better else ErrorClass.TOOL_ERROR
    return Failure(cls, code, refusal.message, retry_after=refusal.retry_after)


def seconds_after(headers: Mapping[str, str], asked_at: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After (RFC 9110, 10.2.3) asks for, as number or date; None where it says none.

    A date counts from the answer's own Date, since both are of the other side's clock; without one, from `asked_at`.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value[:8])
    else:
        until, said = _moment(value), _moment(headers.get("Date", "")) or asked_at
        if until is None or said is None:
            return None
        seconds = max(0.0, (until - said).total_seconds())
    return seconds if seconds < _LONGEST else None


def _moment(value: str) -> datetime | None:
    """Return the moment that an HTTP date names, in any of its three forms."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
