"""Signing in: the same answer for every failure, ten of them, a new session key, and only our own pages after."""

from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import hashers
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts import attempts, hashing
from accounts.models import AuditEntry, LoginAttempt, User
from tests.people import Team, a_person, a_team, signed_in_as

PASSWORD = "correct horse battery"


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    made.alice.set_password(PASSWORD)
    made.alice.save()
    return made


def sign_in(client: Client, email: str, password: str, **more: str) -> Any:
    return client.post("/login/", {"email": email, "password": password, **more})


def test_a_member_signs_in_and_it_is_recorded(team: Team) -> None:
    client = Client()
    answer = sign_in(client, "Alice@Example.com", PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/api/v1/members").status_code == 200
    assert AuditEntry.objects.get().action == "signed_in"


@pytest.mark.parametrize(
    ("email", "password"),
    [("alice@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("bob@example.com", ""), ("x", PASSWORD)],
)
def test_a_wrong_sign_in_shows_the_form_again(team: Team, email: str, password: str) -> None:
    client = Client()
    answer = sign_in(client, email, password)
    assert answer.status_code == 200
    assert client.get("/api/v1/members").status_code == 401


def test_a_wrong_password_and_an_unknown_email_look_alike_and_hash_alike(team: Team) -> None:
    seen = []
    for email in ("alice@example.com", "nobody@example.com", "bob@example.com"):
        with mock.patch.object(
            hashers.MD5PasswordHasher, "encode", autospec=True, side_effect=hashers.MD5PasswordHasher.encode
        ) as encode:
            answer = sign_in(Client(), email, "wrong")
        seen.append((answer.status_code, answer.context["form"].non_field_errors(), encode.call_count))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2] >= 1


def test_a_deactivated_person_cannot_sign_in(team: Team) -> None:
    User.objects.filter(pk=team.alice.pk).update(is_active=False)
    assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 200


def test_the_session_gets_a_new_key(team: Team) -> None:
    client = Client()
    session = client.session
    session["before"] = 1
    session.save()
    client.cookies["sessionid"] = session.session_key or ""
    sign_in(client, "alice@example.com", PASSWORD)
    assert client.cookies["sessionid"].value != session.session_key


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/runs/?state=failed", "/runs/?state=failed"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("http://testserver/runs/", "http://testserver/runs/"),
    ],
)
def test_after_signing_in_one_stays_here(team: Team, asked: str, goes: str) -> None:
    assert sign_in(Client(), "alice@example.com", PASSWORD, next=asked)["Location"] == goes


def test_ten_failures_and_the_right_password_waits_too(team: Team) -> None:
    for _ in range(attempts.MOST):
        assert sign_in(Client(), "alice@example.com", "wrong").status_code == 200
    refused = sign_in(Client(), "alice@example.com", PASSWORD)
    assert refused.status_code == 429
    assert "Wait 15 minutes" in refused.context["form"].non_field_errors()[0]
    unknown = [sign_in(Client(), "nobody@example.com", "wrong").status_code for _ in range(11)]
    assert unknown == [200] * 10 + [429]
    assert int(refused["Retry-After"]) == 900


def test_a_client_that_tries_a_list_of_emails_once_each_waits_too(team: Team) -> None:
    tried = [LoginAttempt(email=f"{n}@example.com", address="127.0.0.1", failed=True) for n in range(98)]
    LoginAttempt.objects.bulk_create(tried)
    answers = [sign_in(Client(), f"{name}@example.com", "wrong").status_code for name in ("bob", "nobody", "carol")]
    assert answers == [200, 200, 429]
    for email in ("alice@example.com", "nobody@example.com"):
        refused = sign_in(Client(), email, PASSWORD)
        assert (refused.status_code, refused["Retry-After"]) == (429, "900")
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7"), "alice@example.com", PASSWORD).status_code == 302
    assert LoginAttempt.objects.filter(address="127.0.0.1").count() == attempts.MOST_OF_CLIENT


def test_people_behind_one_address_who_get_in_do_not_use_up_its_attempts(team: Team) -> None:
    for _ in range(3):
        sign_in(Client(), "alice@example.com", "wrong")
        assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 302
    assert not LoginAttempt.objects.filter(forgiven=False).exists()


def test_who_finds_no_room_is_told_when_to_come_back_and_nothing_is_counted(team: Team) -> None:
    with ExitStack() as others:
        for _ in range(hashing.AT_ONCE + hashing.WAITING):
            assert hashing._room.acquire(blocking=False)
            others.callback(hashing._room.release)
        refused = sign_in(Client(), "alice@example.com", PASSWORD)
    assert (refused.status_code, refused["Retry-After"]) == (429, "2")
    assert "Too many people" in refused.content.decode()
    assert not LoginAttempt.objects.exists()
    assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 302


def test_the_throttle_is_per_email_and_address(team: Team) -> None:
    for _ in range(attempts.MOST):
        sign_in(Client(), "alice@example.com", "wrong")
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(elsewhere, "alice@example.com", PASSWORD).status_code == 302


def test_the_throttle_ends_after_its_window_and_forgets(team: Team) -> None:
    for _ in range(attempts.MOST):
        sign_in(Client(), "alice@example.com", "wrong")
    LoginAttempt.objects.update(at=timezone.now() - attempts.WINDOW - timedelta(seconds=1))
    assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 302
    assert LoginAttempt.objects.filter(forgiven=False).count() == 0
    attempts.tell()
    LoginAttempt.objects.update(at=timezone.now() - attempts.WINDOW - timedelta(seconds=1))
    assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 302
    assert not LoginAttempt.objects.exists()


def test_a_refused_attempt_does_not_prolong_the_wait(team: Team) -> None:
    for _ in range(attempts.MOST + 5):
        sign_in(Client(), "alice@example.com", "wrong")
    assert LoginAttempt.objects.count() == attempts.MOST


def test_failures_stand_in_the_audit_log_of_their_person_and_no_password_anywhere(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    typed = "Tr0ub4dor-and-3"
    for _ in range(3):
        sign_in(Client(REMOTE_ADDR="192.0.2.7"), "alice@example.com", typed)
    sign_in(Client(), "alice@example.com", typed)
    sign_in(Client(), typed + "@example.com", typed)
    assert sign_in(Client(), "alice@example.com", PASSWORD).status_code == 302, "a success forgives and hides nothing"
    for _ in range(2):  # whoever comes second finds nothing to tell
        attempts.tell()
    told = AuditEntry.objects.filter(action="sign_in_failed").order_by("data__times")
    assert [(one.workspace, one.actor, one.data) for one in told] == [
        (team.workspace, "alice@example.com", {"from": "127.0.0.1", "times": 1}),
        (team.workspace, "alice@example.com", {"from": "192.0.2.7", "times": 3}),
    ]
    assert "3 sign-ins failed with alice@example.com from 192.0.2.7" in caplog.text
    assert "1 sign-ins failed with an email that nobody has" in caplog.text
    assert typed not in f"{caplog.text} {list(AuditEntry.objects.values_list('data', 'target'))}"


def test_what_failed_is_kept_until_it_was_told(team: Team) -> None:
    sign_in(Client(), "alice@example.com", "wrong")
    LoginAttempt.objects.update(at=timezone.now() - timedelta(days=1))
    sign_in(Client(), "nobody@example.com", "wrong")
    assert LoginAttempt.objects.filter(email="alice@example.com").exists()


def test_signing_in_needs_a_csrf_token(team: Team) -> None:
    assert sign_in(Client(enforce_csrf_checks=True), "alice@example.com", PASSWORD).status_code == 403


def test_signing_out_is_a_post(team: Team) -> None:
    browser = signed_in_as(team.alice)
    assert browser.get("/logout/").status_code == 405
    assert browser.get("/api/v1/members").status_code == 200
    assert browser.post("/logout/")["Location"] == "/login/"
    assert browser.get("/api/v1/members").status_code == 401
    assert signed_in_as(team.alice, csrf=True).post("/logout/").status_code == 403


def test_who_is_signed_in_is_sent_on_from_the_sign_in_page(team: Team) -> None:
    assert signed_in_as(team.alice).get("/login/?next=/runs/")["Location"] == "/runs/"
    assert Client().get("/login/").status_code == 200


def test_a_page_sends_a_stranger_to_sign_in_and_back(team: Team) -> None:
    answer = Client().get("/page/?a=1")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/page/%3Fa%3D1")
    assert signed_in_as(team.alice).get("/page/").content == b"Alice in acme"


def test_a_part_of_a_page_is_not_replaced_by_the_page_to_sign_in(team: Team) -> None:
    answer = Client().get("/page/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"], answer.content) == (401, "/login/", b"")


def test_a_page_refuses_in_a_sentence(team: Team) -> None:
    with mock.patch("accounts.middleware.render", return_value=HttpResponse(status=403)) as render:
        signed_in_as(team.bob).get("/page/")
    _, template, context = render.call_args.args
    assert template == "error.html"
    assert context["status"] == 403
    assert context["code"] == "forbidden"
    assert "needs the role composer or admin" in context["message"]


def test_an_htmx_request_is_refused_with_a_fragment(team: Team) -> None:
    answer = signed_in_as(team.bob).get("/page/", headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert "needs the role composer" in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_a_program_on_a_page_is_refused_in_json(team: Team) -> None:
    answer = signed_in_as(team.bob).get("/page/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_person_without_a_workspace_is_told_so_on_a_page(db: None) -> None:
    answer = signed_in_as(a_person("frank")).get("/page/", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert "no workspace yet" in answer.json()["message"]
