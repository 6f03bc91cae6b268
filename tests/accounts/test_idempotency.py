"""Two requests with one key at the same moment: one acts, the other waits for its answer."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts import audit, idempotency
from accounts.access import Actor
from accounts.errors import Conflict
from accounts.models import ApiToken, AuditEntry, IdempotentResponse
from accounts.roles import Scope
from tests.people import a_team, acting, bearer

pytestmark = pytest.mark.django_db(transaction=True)


def a_request() -> Any:
    return RequestFactory().post(
        "/api/v1/x", {"a": 1}, content_type="application/json", headers={"Idempotency-Key": "k"}
    )


def at_once(actor: Actor, first_may_end: threading.Event) -> list[Any]:
    """Send the request, and again while the first is still acting; return both outcomes in order."""
    acting_now, outcomes = threading.Event(), [None, None]

    def act() -> HttpResponse:
        audit.record(actor.workspace, actor.user, "acted")
        acting_now.set()
        first_may_end.wait(10)
        return HttpResponse("done", status=201)

    def send(place: int) -> None:
        try:
            outcomes[place] = idempotency.once(actor, a_request(), act)  # type: ignore[call-overload]
        except Conflict as refused:
            outcomes[place] = refused  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=[place]) for place in (0, 1)]
    threads[0].start()
    acting_now.wait(10)
    threads[1].start()
    threads[1].join(0.5)
    first_may_end.set()
    for thread in threads:
        thread.join()
    return outcomes


def test_the_second_waits_and_is_answered_as_the_first() -> None:
    first, second = at_once(acting(a_team().alice), threading.Event())
    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, b"done")
    assert second[idempotency.REPLAYED] == "true"
    assert AuditEntry.objects.count() == 1


def test_the_second_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT", "100ms")
    first, second = at_once(acting(a_team().alice), threading.Event())
    assert first.status_code == 201
    assert isinstance(second, Conflict)
    assert second.code == "in_progress"


def test_a_crash_leaves_neither_the_key_nor_the_act() -> None:
    actor = acting(a_team().alice)

    def crash() -> HttpResponse:
        audit.record(actor.workspace, actor.user, "acted")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        idempotency.once(actor, a_request(), crash)
    assert not IdempotentResponse.objects.exists()
    assert not AuditEntry.objects.exists()


def make_a_token(headers: dict[str, str]) -> Any:
    body, key = {"scopes": ["read", "edit"]}, {"Idempotency-Key": "k"}
    return Client().post("/api/v1/tokens", body, "application/json", headers={**headers, **key})


def test_a_weaker_token_of_the_same_person_is_not_answered_as_the_stronger_was() -> None:
    team = a_team()
    strong, weak = (bearer(team.alice, team.workspace, *scopes) for scopes in ([*Scope], [Scope.READ]))
    assert make_a_token(strong).status_code == 201
    refused = make_a_token(weak)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_conflict")
    assert "token" not in refused.json()


def test_a_token_that_was_made_is_neither_kept_nor_shown_again() -> None:
    team = a_team()
    headers = bearer(team.alice, team.workspace)
    assert make_a_token(headers).status_code == 201
    assert IdempotentResponse.objects.get().sealed is None
    made = ApiToken.objects.count()
    again = make_a_token(headers)
    assert (again.status_code, again.json()["code"]) == (409, "shown_once")
    assert ApiToken.objects.count() == made
