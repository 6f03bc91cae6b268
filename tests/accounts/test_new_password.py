"""A person changes their password with the one of before, and nobody who only found their session does."""

from importlib import import_module
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import attempts, second_factor
from accounts.models import AuditEntry, BrowserSession
from tests.people import Team, a_team, rested, signed_in_as

PAGE = "/account/password/"
OLD, NEW = "correct horse battery", "another staple entirely"
MIGRATION = import_module("accounts.migrations.0014_no_requests_kept_in_sessions")

pytestmark = pytest.mark.usefixtures("site_addresses")


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    made.alice.set_password(OLD)
    made.alice.save()
    return made


def signed_in(password: str = OLD) -> Client:
    client = Client()
    answer = client.post("/login/", {"email": "alice@example.com", "password": password})
    assert answer.status_code == 302, answer.content.decode()
    return client


def inside(client: Client) -> bool:
    return client.get("/api/v1/members").status_code == 200


def test_a_changed_password_ends_every_other_session_and_keeps_this_one(team: Team) -> None:
    here, there = signed_in(), signed_in()
    assert PAGE in here.get("/account/").content.decode()
    before = here.session.session_key
    assert here.post(PAGE, {"current": OLD, "password": NEW})["Location"] == "/account/"
    assert [inside(client) for client in (here, there)] == [True, False]
    assert here.session.session_key != before
    assert BrowserSession.objects.filter(session=here.session.session_key).exists()
    assert inside(signed_in(NEW))
    assert AuditEntry.objects.filter(action="password_changed", actor="alice@example.com").count() == 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"current": "wrong", "password": NEW}, "not your password of now"),
        ({"current": "", "password": NEW}, "required"),
        ({"current": OLD, "password": "short"}, "too short"),
        ({"current": OLD, "password": "baton-acme-1"}, "too little of this is left"),
    ],
)
def test_without_the_one_of_before_or_with_a_bad_one_nothing_changes(
    team: Team, sent: dict[str, str], said: str
) -> None:
    here = signed_in()
    page = here.post(PAGE, sent)
    assert page.status_code == 200
    assert said in page.content.decode()
    assert inside(signed_in())


def test_guesses_at_the_one_of_before_are_throttled(team: Team) -> None:
    here = signed_in()
    for _ in range(attempts.MOST):
        here.post(PAGE, {"current": "wrong", "password": NEW})
    assert "Too many failed sign-ins" in here.post(PAGE, {"current": OLD, "password": NEW}).content.decode()
    assert inside(signed_in())


def test_who_has_no_password_has_none_to_change_and_strangers_sign_in(team: Team) -> None:
    bob = signed_in_as(team.bob)
    assert bob.get(PAGE).status_code == 404
    assert PAGE not in bob.get("/account/").content.decode()
    assert Client().get(PAGE)["Location"].startswith("/login/?next=")


def test_with_a_second_factor_the_password_of_before_is_not_enough(team: Team) -> None:
    here = signed_in()
    key = second_factor.Adapter().encrypt("JBSWY3DPEHPK3PXP")
    Authenticator.objects.create(user=team.alice, type=Authenticator.Type.TOTP, data={"secret": key})
    led = here.post(PAGE, {"current": OLD, "password": NEW})
    assert (led.status_code, led["Location"]) == (302, "/login/again/code/?next=%2Faccount%2Fpassword%2F")
    team.alice.refresh_from_db()
    assert team.alice.check_password(OLD)


CHANGES = [
    ("/account/app/", {"code": "123456", "x": NEW}),
    ("/account/codes/new/", {"x": NEW}),
    ("/account/passkeys/new/", {"credential": NEW}),
    ("/account/passkeys/1/remove/", {"x": NEW}),
]


@pytest.mark.parametrize(
    ("address", "sent", "factor"),
    [
        (PAGE, {"current": OLD, "password": NEW}, True),  # without a factor the password of before is asked for there
        *((address, sent, factor) for address, sent in CHANGES for factor in (True, False)),
    ],
)
def test_no_session_keeps_what_was_sent_where_one_shows_again_who_one_is(
    team: Team, address: str, sent: dict[str, str], factor: bool
) -> None:
    here = rested(signed_in())
    if factor:
        key = second_factor.Adapter().encrypt("JBSWY3DPEHPK3PXP")
        Authenticator.objects.create(user=team.alice, type=Authenticator.Type.TOTP, data={"secret": key})
    led = here.post(address, sent)
    assert led.status_code == 302
    assert led["Location"].startswith("/login/again/")
    kept = str([row.get_decoded() for row in Session.objects.all()])
    for secret in (OLD, NEW, here.cookies["sessionid"].value, "HTTP_COOKIE", "123456"):
        assert secret not in kept


def test_what_sessions_kept_before_is_removed_by_the_migration(team: Team) -> None:
    here, there = signed_in(), signed_in()
    session = here.session
    session[MIGRATION.KEY] = {"request": f"current={OLD}"}
    session.save()
    MIGRATION.remove(apps, None)
    assert OLD not in str([row.get_decoded() for row in Session.objects.all()])
    assert inside(here)
    assert inside(there)


def test_the_migration_overwrites_nothing_that_a_server_of_before_writes_meanwhile(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = signed_in()
    session = here.session
    session[MIGRATION.KEY] = {"request": f"current={OLD}"}
    session.save()
    encode = MIGRATION.SessionStore.encode

    def encoded_late(store: SessionStore, data: dict[str, Any]) -> str:
        """The request of somebody else is done between the reading and the writing, once."""
        monkeypatch.setattr(MIGRATION.SessionStore, "encode", encode)
        meanwhile = here.session
        meanwhile["chosen"] = "acme"
        meanwhile.save()
        return str(encode(store, data))

    monkeypatch.setattr(MIGRATION.SessionStore, "encode", encoded_late)
    MIGRATION.remove(apps, None)
    (kept,) = [row.get_decoded() for row in Session.objects.all()]
    assert (MIGRATION.KEY in kept, kept.get("chosen")) == (False, "acme")
