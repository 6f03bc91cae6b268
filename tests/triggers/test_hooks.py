"""Signed webhooks: what is let in, what is turned away and how, and that each call counts once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from accounts import secrets
from accounts.access import Actor
from accounts.models import Membership
from runs import artifacts
from runs.engine.trust import TOOL
from runs.models import Firing, HookAttempt, Run, Trigger
from runs.triggers import definitions, hooks, schedules
from tests.people import a_workspace
from tests.triggers.builders import KEY, a_composer, a_hook, a_schedule, call, firings, fresh, runs_of

pytestmark = pytest.mark.django_db
BODY = {"title": "Order 17", "lines": [1, 2]}


@pytest.fixture
def alice(db: Any) -> Actor:
    return a_composer()


def test_a_signed_call_starts_a_run_with_what_it_brought(alice: Actor) -> None:
    trigger = a_hook(alice)
    answer = call("orders", BODY)
    assert answer.status_code == 202, answer.content
    (run,) = runs_of(trigger)
    url = f"http://127.0.0.1:8000/runs/{run.pk}/"
    told = {"run": str(run.pk), "id": str(run.pk), "number": run.number, "url": url, "state": "queued"}
    assert answer.json() == told
    assert (run.input, run.started_by, run.tags) == ({"topic": "Order 17"}, alice.user, [])
    labels = {"input.topic": TOOL}
    assert run.origin == {"labels": labels, "editors": [str(alice.user.pk)]}, "what came from outside is a tool's words"
    assert fresh(trigger).last_run == run


def test_the_whole_event_may_be_the_input_and_what_it_lacks_refuses_the_run(alice: Actor) -> None:
    whole = a_hook(alice, "whole", input="${event}")
    assert call("whole", {"topic": "tides"}).status_code == 202
    assert runs_of(whole)[0].input == {"topic": "tides"}
    a_hook(alice)
    for slug, body, code in (
        ("orders", {}, "bad_template"),
        ("whole", [1], "invalid_input"),
        ("whole", {"topic": 7}, "invalid_input"),
    ):
        answer = call(slug, body)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert Run.objects.count() == 1
    assert (fresh(whole).last_error or {})["code"] == "invalid_input"


def test_a_caller_is_not_told_what_is_the_workspaces_own(alice: Actor) -> None:
    trigger = a_hook(alice)
    Membership.objects.filter(user=alice.user).delete()
    answer = call("orders", BODY)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_started")
    assert alice.user.email not in answer.content.decode()
    assert (fresh(trigger).last_error or {})["code"] == "starter_gone"


def test_a_nonce_counts_once(alice: Actor) -> None:
    trigger = a_hook(alice)
    sent = {"nonce": "nonce-0001", "timestamp": str(int(time.time()))}
    assert call("orders", BODY, **sent).status_code == 202
    again = call("orders", BODY, **sent)
    assert (again.status_code, again.json()["code"]) == (409, "replayed")
    other = call("orders", {"title": "Order 18"}, **sent)
    assert (other.status_code, other.json()["code"]) == (409, "replayed")
    assert len(runs_of(trigger)) == 1


def test_a_call_is_none_to_another_trigger_with_the_same_secret(alice: Actor) -> None:
    """Whoever saw a call on its way cannot have it start something else, where its nonce is new."""
    a_hook(alice)
    zoe = a_composer("zoe", a_workspace("globex"))
    others = [a_hook(alice, "refunds"), a_hook(zoe)]
    sent = {"nonce": "nonce-0001", "timestamp": str(int(time.time()))}
    assert call("orders", BODY, **sent).status_code == 202
    assert call("refunds", BODY, to="acme/orders", **sent).status_code == 401
    assert call("orders", BODY, path="/hooks/orders?workspace=globex", **sent).status_code == 401
    assert [len(firings(other)) for other in others] == [0, 0]


def test_the_short_form_is_taken_where_the_secret_opens_one_trigger(alice: Actor) -> None:
    trigger = a_hook(alice)
    sent = {"nonce": "nonce-0001", "timestamp": str(int(time.time()))}
    assert call("orders", BODY, to="", **sent).status_code == 202
    assert call("orders", BODY, to="", **sent).json()["code"] == "replayed"
    assert call("orders", BODY, **sent).json()["code"] == "replayed"
    assert len(firings(trigger)) == 1


def test_the_short_form_is_not_taken_where_another_trigger_has_the_secret(alice: Actor) -> None:
    orders, refunds = a_hook(alice), a_hook(alice, "refunds", enabled=False)
    assert call("orders", BODY, to="").status_code == 401
    assert call("orders", BODY).status_code == 202
    Trigger.objects.filter(pk=refunds.pk).update(secret="another")
    assert call("orders", BODY, to="").status_code == 202
    assert len(firings(orders)) == 2


def test_the_short_form_is_not_taken_where_two_workspaces_could_be_meant(alice: Actor) -> None:
    zoe = a_composer("zoe", a_workspace("globex"))
    hooks = [a_hook(alice), a_hook(zoe)]
    assert call("orders", BODY, to="").status_code == 401
    assert call("orders", BODY, to="", path="/hooks/orders?workspace=globex").status_code == 202
    assert [len(firings(hook)) for hook in hooks] == [0, 1]


@pytest.mark.parametrize("seconds", [-301, 360, -(10**6)])
def test_a_call_that_is_not_of_now_is_stale(alice: Actor, seconds: int) -> None:
    trigger = a_hook(alice)
    answer = call("orders", BODY, timestamp=str(int(time.time()) + seconds))
    assert (answer.status_code, answer.json()["code"]) == (401, "stale_timestamp")
    assert not firings(trigger)
    assert call("orders", BODY, timestamp=str(int(time.time()) - 290)).status_code == 202


WRONG: dict[str, dict[str, Any]] = {
    "another key": {"key": "another key of some length"},
    "a changed body": {"sent_body": b'{"title": "Order 18"}'},
    "a changed timestamp": {"sent_timestamp": "1"},
    "a changed nonce": {"sent_nonce": "nonce-of-another"},
    "no signature": {"signature": ""},
    "another version": {"signature": "v0=" + "0" * 64},
    "a signature beyond ASCII": {"signature": "v2=ä"},
    "no timestamp": {"timestamp": ""},
    "a timestamp that is no number": {"timestamp": "now"},
    "a timestamp of other digits": {"timestamp": "١٧"},
    "a short nonce": {"nonce": "short"},
    "a nonce of other characters": {"nonce": "nonce with blanks"},
    "a long nonce": {"nonce": "n" * 129},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrongly_signed_is_answered_as_what_is_not_there(alice: Actor, wrong: dict[str, Any]) -> None:
    trigger = a_hook(alice)
    answer, absent = call("orders", BODY, **wrong), call("absent", BODY)
    assert (answer.status_code, answer.content) == (absent.status_code, absent.content)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert answer.headers.keys() == absent.headers.keys()
    assert not firings(trigger)


def test_a_hook_that_is_off_a_schedule_and_a_lost_secret_are_answered_as_what_is_not_there(alice: Actor) -> None:
    a_hook(alice, enabled=False)
    a_schedule(alice, "daily")
    secrets.put(alice.workspace, "other-key", KEY)
    a_hook(alice, "lost", secret="other-key")
    alice.workspace.secret_set.filter(name="other-key").delete()
    absent = call("absent", BODY)
    for slug in ("orders", "daily", "lost"):
        answer = call(slug, BODY)
        assert (answer.status_code, answer.content) == (absent.status_code, absent.content)
        empty = call(slug, BODY, key=hooks._NOBODYS)
        assert empty.status_code == 401


def test_another_workspaces_secret_signs_for_another_workspaces_trigger_only(alice: Actor) -> None:
    here = a_hook(alice)
    zoe = a_composer("zoe", a_workspace("globex"))
    secrets.put(zoe.workspace, "hook-key", "the key of another workspace")
    there = a_hook(zoe)
    theirs = "the key of another workspace"
    assert call("orders", BODY, path="/hooks/orders?workspace=acme", key=theirs).status_code == 401
    assert call("orders", BODY, path="/hooks/orders?workspace=globex", to="globex/orders").status_code == 401
    assert call("orders", BODY, path="/hooks/orders?workspace=absent").status_code == 401
    assert (len(runs_of(here)), len(runs_of(there))) == (0, 0)
    assert call("orders", BODY, key=theirs).status_code == 401, "signed for our trigger"
    assert call("orders", BODY, key=theirs, to="globex/orders").status_code == 202
    assert (len(runs_of(here)), len(runs_of(there))) == (0, 1)
    assert call("orders", BODY, path="/hooks/orders?workspace=acme").status_code == 202
    assert (len(runs_of(here)), len(runs_of(there))) == (1, 1)


def test_a_hook_that_is_removed_while_it_is_called_is_answered_as_what_is_not_there(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = a_hook(alice)
    absent = call("absent", BODY)

    def removed(*_: Any) -> None:
        definitions.remove(alice, "orders")

    monkeypatch.setattr(hooks, "_refuse_stale", removed)  # after it was read and before it goes off
    answer = call("orders", BODY)
    assert (answer.status_code, answer.content) == (401, absent.content)
    assert not runs_of(trigger)


def test_a_large_event_that_the_input_repeats_is_refused_before_it_is_there(alice: Actor) -> None:
    trigger = a_hook(alice, input={"topic": "x", "all": ["${event}"] * 100})
    answer = call("orders", {"title": "x" * 200_000})
    assert (answer.status_code, answer.json()["code"]) == (409, "bad_template")
    assert "2 MB" in answer.json()["message"]
    assert not runs_of(trigger)


def test_an_input_made_of_a_large_event_stands_beside_its_run(alice: Actor) -> None:
    trigger = a_hook(alice, input={"topic": "x", "all": ["${event}"] * 5})
    event = {"title": "x" * 200_000}
    assert call("orders", event).status_code == 202
    (run,) = runs_of(trigger)
    assert (run.input, artifacts.input_of(run)) == (None, {"topic": "x", "all": [event] * 5})


def test_a_number_beyond_64_bits_stands_in_a_text_as_a_float(alice: Actor) -> None:
    trigger = a_hook(alice, input={"topic": "Pay ${event.amounts}"})
    assert call("orders", b'{"amounts": [1e20, 100000000000000000000]}').status_code == 202
    assert runs_of(trigger)[0].input == {"topic": "Pay [1e+20,1e+20]"}


def test_only_json_of_some_size_is_taken(alice: Actor) -> None:
    trigger = a_hook(alice)
    big = json.dumps({"title": "x" * hooks.MAX_BODY}).encode()
    for sent, status, code in (
        ({"content_type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "not_json"),
        ({"content_type": ""}, 415, "not_json"),
    ):
        answer = call("orders", BODY, **sent)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    answer = call("orders", big)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    for raw, code in (
        (b"{", "bad_json"),
        (b'{"a": NaN}', "bad_json"),
        (b'{"title": "\\u0000"}', "bad_text"),
        (b"\xff", "bad_json"),
    ):
        assert call("orders", raw).json()["code"] == code
    assert not firings(trigger)
    assert call("orders", BODY, content_type="application/json; charset=utf-8").status_code == 202


def test_only_a_post_is_answered(alice: Actor, client: Any) -> None:
    a_hook(alice)
    for method in ("get", "put", "patch", "delete"):
        assert getattr(client, method)("/hooks/orders").status_code == 405


GUESS = "a guess of some length"


def test_a_client_that_keeps_guessing_is_told_to_wait_and_locks_nobody_out(alice: Actor) -> None:
    a_hook(alice)
    for _ in range(hooks.MOST_REFUSED):
        assert call("orders", BODY, key=GUESS).status_code == 401
    refused = call("orders", BODY, key=GUESS)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "300")
    assert HookAttempt.objects.count() == hooks.MOST_REFUSED, "the wait itself costs no row"
    assert call("orders", BODY).status_code == 202, "who signs rightly is no guesser, and may share its address"
    assert call("others", BODY, key=GUESS).status_code == 401
    HookAttempt.objects.update(at=Now() - timedelta(minutes=6))
    assert call("orders", BODY, key=GUESS).status_code == 401
    HookAttempt.objects.update(at=Now() - timedelta(hours=2))
    schedules.sweep()
    assert not HookAttempt.objects.exists()


def test_guessers_behind_one_proxy_are_told_apart(alice: Actor, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8")]
    for _ in range(hooks.MOST_REFUSED):
        assert call("orders", BODY, key=GUESS, forwarded="192.0.2.1").status_code == 401
    assert call("orders", BODY, key=GUESS, forwarded="198.51.100.9, 192.0.2.1").status_code == 429
    assert call("orders", BODY, key=GUESS, forwarded="192.0.2.2").status_code == 401


def test_a_trigger_takes_so_many_signed_calls_a_minute_and_a_refused_one_can_be_sent_again(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "MOST_SIGNED", 3)
    trigger, other = a_hook(alice), a_hook(alice, "others")
    for _ in range(3):
        assert call("orders", BODY).status_code == 202
    sent = {"nonce": "nonce-0004", "timestamp": str(int(time.time()))}
    refused = call("orders", BODY, **sent)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_calls")
    assert refused.headers["Retry-After"] == "60"
    assert call("others", BODY).status_code == 202
    Firing.objects.filter(trigger=trigger).update(at=Now() - timedelta(minutes=2))
    assert call("orders", BODY, **sent).status_code == 202
    assert (len(runs_of(trigger)), len(runs_of(other))) == (4, 1)


def test_calls_let_in_are_not_slowed_by_the_limit_of_those_turned_away(alice: Actor) -> None:
    trigger = a_hook(alice)
    for _ in range(hooks.MOST_REFUSED + 2):
        assert call("orders", BODY).status_code == 202
    assert len(runs_of(trigger)) == hooks.MOST_REFUSED + 2


@pytest.mark.django_db(transaction=True)
def test_a_call_replayed_many_times_at_once_starts_one_run() -> None:
    alice = a_composer()
    trigger = a_hook(alice)
    sent = {"nonce": "nonce-0001", "timestamp": str(int(time.time()))}

    def send(_: int) -> int:
        try:
            return int(call("orders", BODY, **sent).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(send, range(8)))
    assert answers == [202] + [409] * 7
    assert len(runs_of(trigger)) == 1


def test_the_secret_can_be_changed_under_its_name(alice: Actor) -> None:
    a_hook(alice)
    secrets.put(alice.workspace, "hook-key", "a new key of some length")
    assert call("orders", BODY).status_code == 401
    assert call("orders", BODY, key="a new key of some length").status_code == 202
    definitions.remove(alice, "orders")
    assert call("orders", BODY, key="a new key of some length").status_code == 401
