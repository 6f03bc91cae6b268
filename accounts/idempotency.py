"""`Idempotency-Key`: a POST that comes again with the same key is answered as it was the first time."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from accounts import audit, secrets
from accounts.access import Actor
from accounts.errors import Conflict, Invalid
from accounts.models import IdempotentResponse

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT = timedelta(hours=24)
BATCH, MOST_BATCHES = 1_000, 50
WAIT = "10s"
_LOCK_NOT_AVAILABLE = "55P03"


class _Undone(Exception):
    """Carries a refusal out of the transaction, which rolls back."""

    def __init__(self, response: HttpResponseBase) -> None:
        self.response = response


def once(actor: Actor, request: HttpRequest, act: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the answer kept under the request's key, or act and keep the answer for 24 hours.

    The key and all that `act` writes are committed together, so a crash leaves neither, and a second request with
    the key waits for the first. Refusals (status 400 and above) are rolled back and not kept. `act` must not wait
    for another process to see what it wrote. Raises Conflict (`idempotency_conflict`, `in_progress`, `shown_once`)
    or Invalid.
    """
    key = request.headers[HEADER]
    if not 1 <= len(key) <= 200:
        raise Invalid(f"{HEADER} has 1 to 200 characters, not {len(key)}.", code="bad_idempotency_key")
    try:
        with audit.anyway(), transaction.atomic():
            row, mine = _claim(actor, key, _fingerprint(request))
            return _act(row, request, act) if mine else _replay(row, request)
    except _Undone as undone:
        return undone.response


def sweep() -> None:
    """Forget the answers that were kept long enough, a thousand in a transaction. Each worker's poll calls it."""
    for _ in range(MOST_BATCHES):
        if _forget() < BATCH:
            return


def _forget() -> int:
    with transaction.atomic():
        kept = IdempotentResponse.objects.filter(at__lt=timezone.now() - KEPT).order_by("id")
        old = list(kept.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
        IdempotentResponse.objects.filter(pk__in=old).delete()
    return len(old)


def rotate() -> None:
    """Encrypt every kept answer anew with the first key, and drop those kept long enough."""
    sweep()
    with transaction.atomic():
        for row in IdempotentResponse.objects.select_for_update().exclude(sealed=None).iterator():
            row.sealed = secrets.resealed(bytes(row.sealed or b""))
            row.save(update_fields=["sealed"])


def show_once(request: HttpRequest) -> None:
    """Have the answer to this request not kept: what it shows is not shown again."""
    request.shown_once = True  # type: ignore[attr-defined]


def _fingerprint(request: HttpRequest) -> str:
    """Return what tells requests apart; a token is part of it, for another of the same person may do less."""
    token = hashlib.sha256(request.headers.get("Authorization", "").encode()).digest()
    said = b"\n".join([str(request.method).encode(), request.get_full_path().encode(), token, request.body])
    return "sha256:" + hashlib.sha256(said).hexdigest()


def _claim(actor: Actor, key: str, fingerprint: str) -> tuple[IdempotentResponse, bool]:
    """Return the row of this key and whether this request made it; waits while another request holds the key."""
    rows = IdempotentResponse.objects.filter(workspace=actor.workspace, user=actor.user)
    rows.filter(at__lt=timezone.now() - KEPT).delete()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
            row, mine = rows.get_or_create(
                workspace=actor.workspace, user=actor.user, key=key, defaults={"request_hash": fingerprint}
            )
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
            return row, mine
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(
            "The first request with this Idempotency-Key is still being worked on. Try again shortly.",
            code="in_progress",
        ) from None


def _act(row: IdempotentResponse, request: HttpRequest, act: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    response = act()
    if response.status_code >= 400:
        raise _Undone(response)
    if not isinstance(response, HttpResponse):
        row.delete()  # a stream cannot be kept
    elif getattr(request, "shown_once", False):
        row.status = response.status_code
        row.save(update_fields=["status"])
    else:
        answer = {"headers": dict(response.items()), "body": response.content.decode()}
        row.status = response.status_code
        row.sealed = secrets.seal(json.dumps(answer))
        row.save(update_fields=["status", "sealed"])
    return response


def _replay(row: IdempotentResponse, request: HttpRequest) -> HttpResponse:
    if row.request_hash != _fingerprint(request):
        raise Conflict(
            "This Idempotency-Key was used for another request. Use a new key for a new request.",
            code="idempotency_conflict",
        )
    if row.sealed is None:
        raise Conflict(
            "This request was carried out, and its answer is shown once. Revoke what it made, and use a new key.",
            code="shown_once",
        )
    answer = json.loads(secrets.unseal(bytes(row.sealed)))
    headers = answer["headers"] | {REPLAYED: "true"}
    return HttpResponse(answer["body"], status=row.status, headers=headers)
