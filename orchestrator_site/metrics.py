"""`/metrics`: what Prometheus asks, answered from the rows; and this web process's answers, counted at its edge."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from amqp.exceptions import ChannelError
from celery import current_app
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerError

from accounts import second_line
from accounts.access import Capability
from accounts.api.auth import authenticate
from accounts.errors import Forbidden, Insecure, Refused
from orchestrator_site import syslog
from orchestrator_site.edge import Application, Message, Receive, Send
from orchestrator_site.measured import measure
from orchestrator_site.near import is_near

TEXT = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BROKER_SECONDS = 1.0


class Answers:
    """How this process has answered since it started: by status, and how long each took to begin."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self.by_bucket: Counter[float] = Counter()
        self.seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        self.by_status[status] += 1
        self.seconds += seconds
        self.by_bucket[next((top for top in BUCKETS if seconds <= top), float("inf"))] += 1


ANSWERS = Answers()


def counted(application: Application) -> Application:
    """Count each answer of an ASGI application when it begins."""

    async def counting(scope: Message, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                ANSWERS.count(message["status"], time.monotonic() - began)
            await send(message)

        await application(scope, receive, sent)

    return counting


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer in Prometheus' text format: to an allowed address without a word, to others with an admin's token."""
    try:
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and "Authorization" in request.headers:
            raise Insecure
        if not is_near(request) and not authenticate(request).can(Capability.MEMBERS):
            raise Forbidden("Metrics are for admins: send the token of one, with the scope admin.")
        return HttpResponse("\n".join([*lines(), ""]), content_type=TEXT)
    except Refused as refused:
        return JsonResponse(refused.answer(), status=refused.status, headers=refused.headers)


def lines() -> Iterator[str]:
    """Give the lines of the answer. Without its database it is short, and says so."""
    yield from _http()
    yield from _log_lines()
    try:
        with second_line.everywhere():
            found = measure()
    except DatabaseError:
        yield from _one("database_up", "Whether the database answers.", 0.0)
        return
    yield from _one("database_up", "Whether the database answers.", 1)
    for one, rows in found:
        labelled = [(list(zip(one.labels, values, strict=True)), number) for values, number in rows]
        yield from _family(one.name, "gauge", one.means, labelled)
    yield from _doorbells()


def _doorbells() -> Iterator[str]:
    try:
        with current_app.connection_for_read(connect_timeout=BROKER_SECONDS) as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
            waiting = _waiting(link)
    except (BrokerError, OSError):
        yield from _one("broker_up", "Whether the broker answers.", 0)
        return
    yield from _one("broker_up", "Whether the broker answers.", 1)
    yield from _one("doorbells_waiting", "Doorbells that no worker has heard.", waiting)


def _waiting(link: Any) -> int:
    try:
        queue = link.default_channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE, passive=True)
    except ChannelError:  # Redis has no queue that is empty
        return 0
    return int(queue.message_count)


def _http() -> Iterator[str]:
    statuses = [([("status", str(status))], float(number)) for status, number in sorted(ANSWERS.by_status.items())]
    yield from _family("http_answers_total", "counter", "Answers of this web process, by status.", statuses)
    name = "baton_http_seconds"
    yield f"# HELP {name} Time until an answer of this web process began."
    yield f"# TYPE {name} histogram"
    below = 0
    for top in (*BUCKETS, float("inf")):
        below += ANSWERS.by_bucket[top]
        yield f'{name}_bucket{{le="{"+Inf" if top == float("inf") else top}"}} {below}'
    yield f"{name}_sum {ANSWERS.seconds:.6f}"
    yield f"{name}_count {below}"


def _log_lines() -> Iterator[str]:
    """Give how this web process's lines reach the log server; a worker says it on its standard error alone."""
    sender = syslog.sender()
    if sender is None:
        return
    yield from _one("log_server_up", "Whether the log server took lines when it was last tried.", not sender.away)
    yield from _one("log_lines_waiting", "Log lines of this web process that wait for the log server.", sender.waiting)
    means = "Log lines of it for which there was no room."
    yield from _family("log_lines_dropped_total", "counter", means, [([], float(sender.dropped))])


def _one(name: str, means: str, number: float) -> Iterator[str]:
    yield from _family(name, "gauge", means, [([], float(number))])


def _family(name: str, kind: str, means: str, rows: Iterable[tuple[Sequence[tuple[str, str]], float]]) -> Iterator[str]:
    yield f"# HELP baton_{name} {means}"
    yield f"# TYPE baton_{name} {kind}"
    for labels, number in rows:
        said = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
        yield f"baton_{name}{f'{{{said}}}' if said else ''} {int(number) if number.is_integer() else f'{number:.6f}'}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
