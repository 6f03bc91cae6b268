"""The second factor: apps, recovery codes, what is asked before a change, the throttle, and where one is required."""

import time
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from accounts import attempts, second_factor, socket_access
from accounts.models import AuditEntry, BrowserSession
from accounts.socket_access import Knock
from tests.people import Team, a_team, signed_in_as

PASSWORD = "correct horse battery"
JSON = {"Accept": "application/json"}

pytestmark = pytest.mark.usefixtures("site_addresses")


class Clock:
    """The clock of the codes: it stands, for a period that ended between making a code and using it would undo it."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    def go(self, periods: int = 1) -> None:
        self.now += periods * 30


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(totp, "time", clock)
    return clock


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    made.alice.set_password(PASSWORD)
    made.alice.save()
    return made


def password(client: Client, **more: str) -> Any:
    return client.post("/login/", {"email": "alice@example.com", "password": PASSWORD, **more})


def code_of(secret: str) -> str:
    """Return the one code that holds now; it counts once."""
    [counter] = totp.yield_hotp_counters_from_time()
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def wrong_code(secret: str) -> str:
    return next(code for code in ("000000", "000001") if code != code_of(secret))


def set_up(client: Client) -> str:
    """Set an app up for who is signed in, and return its key."""
    secret = client.get("/account/app/").context["form"].secret
    answer = client.post("/account/app/", {"code": code_of(secret)})
    assert len(answer.context["codes"]) == 10, answer.content.decode()
    return str(secret)


@pytest.fixture
def secret(team: Team, clock: Clock, django_capture_on_commit_callbacks: Any) -> str:
    """Return the key of an app of alice's; the code that it was set up with holds no more."""
    client = Client()
    assert password(client)["Location"] == "/"
    with django_capture_on_commit_callbacks(execute=True):
        secret = set_up(client)
    team.alice.refresh_from_db()
    clock.go()
    return secret


def inside(client: Client) -> bool:
    return client.get("/api/v1/members").status_code == 200


def test_with_an_app_the_password_alone_opens_nothing(team: Team, secret: str) -> None:
    client = Client()
    assert password(client, next="/runs/")["Location"] == "/login/code/"
    assert not inside(client)
    assert "does not fit" in client.post("/login/code/", {"code": wrong_code(secret)}).content.decode()
    assert client.post("/login/code/", {"code": code_of(secret)})["Location"] == "/runs/"
    assert inside(client)
    acts = list(team.workspace.auditentry_set.order_by("id").values_list("action", flat=True))
    assert sorted(acts[1:4]) == ["other_sessions_ended", "recovery_codes_made", "second_factor_added"]
    assert (acts[0], acts[4:]) == ("signed_in", ["second_factor_failed", "signed_in"])
    assert AuditEntry.objects.last().data == {"ways": ["mfa", "password"]}  # type: ignore[union-attr]


def test_a_code_counts_once(team: Team, secret: str) -> None:
    first, second = Client(), Client()
    code = code_of(secret)
    password(first)
    assert first.post("/login/code/", {"code": code})["Location"] == "/"
    password(second)
    assert second.post("/login/code/", {"code": code}).context["form"].errors
    assert not inside(second)
    cache.clear()  # as another process would see it
    for spelled in (code, f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}", f".{code}"):
        cache.clear()
        assert "used already" in second.post("/login/code/", {"code": spelled}).content.decode()


def test_the_code_that_an_app_was_set_up_with_is_used(team: Team, secret: str, clock: Clock) -> None:
    client = Client()
    password(client)
    clock.go(-1)
    assert "used already" in client.post("/login/code/", {"code": code_of(secret)}).content.decode()
    assert not inside(client)


def test_a_code_holds_for_its_thirty_seconds_alone(team: Team, secret: str, clock: Clock) -> None:
    client = Client()
    password(client)
    code = code_of(secret)
    for periods in (1, -2):
        clock.go(periods)
        assert "does not fit" in client.post("/login/code/", {"code": code}).content.decode()
    clock.go()
    assert client.post("/login/code/", {"code": code})["Location"] == "/"


@pytest.mark.parametrize("with_factor", [True, False])
def test_who_shows_again_who_they_are_gets_a_session_with_a_new_key(
    team: Team, request: pytest.FixtureRequest, with_factor: bool
) -> None:
    secret = request.getfixturevalue("secret") if with_factor else ""
    client = signed_in_as(team.alice)
    place = "/login/again/code/" if with_factor else "/login/again/"
    before = str(client.session.session_key)
    BrowserSession.objects.create(user=team.alice, session=before)
    sent = {"code": code_of(secret)} if with_factor else {"password": PASSWORD}
    assert client.post(place, {**sent, "next": "/account/"})["Location"] == "/account/"
    after = str(client.session.session_key)
    assert after != before
    assert inside(client)
    assert [one.is_this for one in client.get("/account/").context["sessions"]].count(True) == 1
    assert not BrowserSession.objects.filter(session=before).exists()
    old, new = (socket_access.answers([Knock(key, "", "acme")])[0] for key in (before, after))
    assert old == socket_access.SIGN_IN_AGAIN
    assert new != socket_access.SIGN_IN_AGAIN
    thief = Client()
    thief.cookies["sessionid"] = before
    assert not inside(thief)


@pytest.mark.django_db(transaction=True)
def test_the_first_factor_ends_every_session_that_was_opened_without_one(team: Team) -> None:
    mine, older = Client(), Client()
    password(mine)
    password(older)
    set_up(mine)
    assert inside(mine)
    assert not inside(older)
    again = mine.post("/account/codes/new/")
    assert len(again.context["codes"]) == 10, "who has just set it up is not asked again"


def test_a_session_without_the_factor_changes_nothing_however_well_it_knows_the_password(team: Team) -> None:
    mine, other = Client(), Client()
    password(mine)
    password(other)
    other.post("/login/again/", {"password": PASSWORD, "next": "/account/"})
    set_up(mine)  # nothing is committed in this test, so the other session goes on
    assert inside(other)
    for place in ("/account/app/off/", "/account/codes/new/", "/account/passkeys/new/"):
        there = other.post(place)
        assert unquote(there["Location"]) == f"/login/again/code/?next={place}"
    again = other.post("/login/again/", {"password": PASSWORD, "next": "/account/app/off/"})
    assert unquote(again["Location"]) == "/login/again/code/?next=/account/app/off/"
    assert Authenticator.objects.filter(type="totp").exists()


def test_codes_are_throttled_from_everywhere_together(team: Team, secret: str) -> None:
    for number in range(attempts.MOST):
        client = Client(REMOTE_ADDR=f"192.0.2.{number}")
        password(client)
        client.post("/login/code/", {"code": wrong_code(secret)})
    client = Client(REMOTE_ADDR="192.0.2.77")
    assert password(client)["Location"] == "/login/code/"
    assert "Wait 15 minutes" in client.post("/login/code/", {"code": code_of(secret)}).content.decode()
    assert not inside(client)


def test_a_right_password_does_not_wipe_out_the_failures(team: Team, secret: str) -> None:
    for _ in range(attempts.MOST):
        password(Client())
    assert password(Client()).status_code == 429


def test_who_came_in_long_ago_shows_again_who_they_are(team: Team, secret: str) -> None:
    client = signed_in_as(team.alice)
    there = client.get("/account/app/off/")
    assert unquote(there["Location"]) == "/login/again/code/?next=/account/app/off/"
    wrong = client.post(there["Location"], {"code": wrong_code(secret)})
    assert wrong.status_code == 200
    assert wrong.context["form"].errors
    assert "/login/again/?" not in wrong.content.decode(), "a password is no other way"
    again = client.post("/login/again/code/", {"code": code_of(secret), "next": "/account/app/off/"})
    assert again["Location"] == "/account/app/off/"
    assert client.post("/account/app/off/")["Location"] == "/account/"
    assert not Authenticator.objects.exists()
    assert password(Client())["Location"] == "/"


@pytest.mark.django_db(transaction=True)
def test_who_has_no_factor_yet_shows_the_password_before_they_set_one_up(team: Team, settings: Any) -> None:
    settings.SECOND_FACTOR = "required"
    client = signed_in_as(team.alice)
    there = client.get("/account/app/")
    assert unquote(there["Location"]) == "/login/again/?next=/account/app/"
    assert client.post(there["Location"], {"password": "wrong"}).context["form"].errors
    again = client.post("/login/again/", {"password": PASSWORD, "next": "/account/app/"})
    assert again["Location"] == "/account/app/"
    set_up(client)
    assert client.get("/runs/").status_code == 200


def test_the_confirming_password_is_throttled_too(team: Team) -> None:
    client = signed_in_as(team.alice)
    for _ in range(attempts.MOST):
        client.post("/login/again/", {"password": "wrong", "next": "/account/app/"})
    answer = client.post("/login/again/", {"password": PASSWORD, "next": "/account/app/"})
    assert "Wait 15 minutes" in answer.content.decode()


def test_failures_of_one_secret_neither_block_nor_forgive_another(team: Team) -> None:
    client = Client()
    password(client)
    secret = client.get("/account/app/").context["form"].secret
    for _ in range(attempts.MOST):
        client.post("/account/app/", {"code": wrong_code(secret)})
    again = client.post("/login/again/", {"password": PASSWORD, "next": "/account/app/"})
    assert again["Location"] == "/account/app/"
    assert "Wait 15 minutes" in client.post("/account/app/", {"code": wrong_code(secret)}).content.decode()


def test_what_would_sign_in_for_a_person_is_sealed_at_rest(team: Team, secret: str) -> None:
    rows = {row.type: row.data for row in Authenticator.objects.all()}
    assert secret not in str(rows)
    before = rows["totp"]["secret"]
    call_command("rotate_secrets")
    row = Authenticator.objects.get(type="totp")
    assert row.data["secret"] != before
    assert second_factor.Adapter().decrypt(row.data["secret"]) == secret


@pytest.mark.django_db(transaction=True)
def test_where_it_is_required_a_password_alone_leads_to_the_set_up(team: Team, settings: Any) -> None:
    settings.SECOND_FACTOR = "required"
    client = Client()
    assert password(client)["Location"] == "/"
    assert client.get("/runs/")["Location"] == "/account/"
    assert client.get("/runs/", headers={"HX-Request": "true"})["HX-Redirect"] == "/account/"
    refused = client.get("/api/v1/members")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_needed")
    knock = Knock(client.session.session_key or "", "", "acme")
    assert socket_access.answers([knock]) == [socket_access.SIGN_IN_AGAIN]
    assert "asks for a second factor" in client.get("/account/").content.decode()
    set_up(client)
    assert client.get("/runs/").status_code == 200
    assert socket_access.answers([knock]) != [socket_access.SIGN_IN_AGAIN]
    assert "this is the last one" in client.get("/account/app/off/").content.decode()
    client.post("/account/app/off/")
    assert Authenticator.objects.filter(type="totp").exists()


def test_where_it_is_required_an_older_session_shows_it(team: Team, secret: str, settings: Any) -> None:
    settings.SECOND_FACTOR = "required"
    client = signed_in_as(team.alice)
    assert client.get("/runs/")["Location"] == "/account/"
    assert "Show your second factor" in client.get("/account/").content.decode()
    answer = client.post("/login/again/code/", {"code": code_of(secret), "next": "/runs/"})
    assert answer["Location"] == "/runs/"
    assert client.get("/runs/").status_code == 200


def test_a_passkey_nobody_has_signs_nobody_in(team: Team) -> None:
    client = Client()
    asked = client.get("/login/passkey/", headers={**JSON, "X-Requested-With": "XMLHttpRequest"})
    assert asked.json()["request_options"]["publicKey"]["userVerification"] == "required"
    for credential in ("{}", "[]", "x", '{"response": {"userHandle": "Zm9v"}}', '{"id": "AA", "rawId": "AA"}'):
        client.post("/login/passkey/", {"credential": credential})
        assert not inside(client)
