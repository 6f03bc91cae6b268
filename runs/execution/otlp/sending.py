"""Sends what is new to the collector, in a thread of its own beside the poll: a dead collector delays no run.

The cursor moves after the collector has taken a batch, so a sender that dies sends it again; a collector tells spans
apart by their ids. What it cannot take now waits; of what it will never take, the one span to blame is left out, and a
row that cannot be read is sent as a marker.
"""

import asyncio
import logging
import time
from importlib.metadata import PackageNotFoundError, version

from django.conf import settings
from django.db import Error, close_old_connections, connection

from runs.execution import spans
from runs.execution.beside import Beside
from runs.execution.egress import operators_guard
from runs.execution.failures import Failure
from runs.execution.fetch import Exchange, fetch
from runs.execution.otlp import reading, wire
from runs.execution.otlp.cursor import Cursor, Horizon, Lost, has_more, take
from runs.models import Span

log = logging.getLogger("baton.otlp")

BATCH, BATCH_WITH_CONTENT = 256, 32
SECONDS = 10.0
AT_ONCE_SECONDS = 20.0
_WILL_NEVER_DO = frozenset({400, 413, 422})
"""What a collector answers to a request that is itself at fault; all else may be another time's."""
_horizon = Horizon()


class Unsent(Exception):
    """The collector did not take a batch. `is_final`: and never will."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


def wake() -> None:
    """Let a thread send what is new, unless one is at it already or no collector is set. Returns at once."""
    if settings.OTLP_ENDPOINT:
        _sender.wake()


def send_new(seconds: float = AT_ONCE_SECONDS) -> int:
    """Send what is new, oldest first, and return how many spans the collector took."""
    until, sent = time.monotonic() + seconds, 0
    safe = _horizon.safe()
    if safe is None or not has_more(safe) or (cursor := take()) is None:
        return 0
    try:
        while time.monotonic() < until and not _sender.is_ending and (rows := _next(cursor, safe)):
            sent += _send(cursor, rows)
    except Unsent as unsent:
        cursor.fail(str(unsent))
        log.warning("The collector does not take spans; they wait: %s", unsent)
    except Lost:
        log.warning("Another worker sends the spans now.")
    else:
        cursor.let_go()
    return sent


def _work() -> None:
    try:
        close_old_connections()
        send_new()
    except Error as error:
        log.warning("The spans could not be read, trying again: %s", error)
    except Exception:
        log.exception("Spans could not be sent; they are tried again.")
    finally:
        connection.close()


_sender = Beside("otlp", _work)


def _next(cursor: Cursor, safe: int) -> list[Span]:
    most = BATCH_WITH_CONTENT if settings.OTLP_CONTENT else BATCH
    return list(Span.objects.filter(pk__gt=cursor.position, pk__lte=safe).order_by("pk")[:most])


def _send(cursor: Cursor, rows: list[Span]) -> int:
    """Send a batch and move the cursor behind it; halve what the collector will never take, down to one span."""
    try:
        body, count = _body(rows)
    except Error:
        raise  # the database is away
    except Exception as error:  # noqa: BLE001 - whatever a row holds, it must not stop all that come after it
        if len(rows) == 1:
            return _send_marker(cursor, rows[0], error)
        half = len(rows) // 2
        return _send(cursor, rows[:half]) + _send(cursor, rows[half:])
    try:
        taken, refused, why = _post(body, count)
    except Unsent as unsent:
        if not unsent.is_final:
            raise
        if len(rows) == 1:
            log.warning("The collector refused the span %s of run %s: %s", rows[0].span_id, rows[0].run_id, unsent)
            cursor.move(rows[0].pk, 0, 1, str(unsent))
            return 0
        half = len(rows) // 2
        return _send(cursor, rows[:half]) + _send(cursor, rows[half:])
    if refused:
        log.warning("The collector refused %d of %d spans: %s", refused, len(rows), why)
    cursor.move(rows[-1].pk, taken - refused, refused, why)
    return taken - refused


def _send_marker(cursor: Cursor, row: Span, error: Exception) -> int:
    """Go on behind a row of which no span can be made: send what stands for it, if even that can be, and count it."""
    log.error("No span can be made of %s of run %s.", row.span_id, row.run_id, exc_info=error)
    why = f"No span could be made of {row.span_id} of run {row.run_id}: {type(error).__name__}."
    marker = reading.marker_of(row)
    if marker is not None:
        try:
            _post(_encoded([marker]), 1)
        except Unsent as unsent:
            if not unsent.is_final:
                raise
    cursor.move(row.pk, 0, 1, why)
    return 0


def _body(rows: list[Span]) -> tuple[bytes, int]:
    """Return the body of a request with these spans, and how many they are."""
    found = reading.spans_of(rows, with_content=settings.OTLP_CONTENT)
    return _encoded(found), len(found)


def _encoded(found: list[wire.OtlpSpan]) -> bytes:
    resource = {spans.SERVICE_NAME: settings.OTLP_SERVICE_NAME, spans.SERVICE_VERSION: _version() or None}
    return wire.encoded(settings.OTLP_PROTOCOL, found, resource, _version())


def _post(body: bytes, count: int) -> tuple[int, int, str]:
    """Return how many spans were sent, how many of them the collector refused, and why. Raise Unsent."""
    if not count:
        return 0, 0, ""
    headers = {**settings.OTLP_HEADERS, "Content-Type": wire.CONTENT_TYPES[settings.OTLP_PROTOCOL]}
    exchange = Exchange("POST", f"{settings.OTLP_ENDPOINT}/v1/traces", headers, body)
    try:
        answer = asyncio.run(_exchanged(exchange))
    except TimeoutError:
        raise Unsent(f"{settings.OTLP_ENDPOINT} did not answer within {SECONDS:.0f} s.") from None
    except Failure as failure:
        raise Unsent(failure.error.message) from None
    if answer.status >= 300:
        said = answer.body[:200].decode("utf-8", "replace")
        why = f"{settings.OTLP_ENDPOINT} answered {answer.status}: {said}".rstrip(": ")
        raise Unsent(why, is_final=answer.status in _WILL_NEVER_DO)
    return count, *wire.refused_of(settings.OTLP_PROTOCOL, answer.body)


async def _exchanged(exchange: Exchange):  # type: ignore[no-untyped-def]  # an Answer
    async with asyncio.timeout(SECONDS):
        # The operator's own setting says where the collector is, so that one host may be a private one.
        return await fetch(operators_guard(settings.OTLP_ENDPOINT), exchange)


def _version() -> str:
    try:
        return version("baton")
    except PackageNotFoundError:  # it runs from its source
        return ""
