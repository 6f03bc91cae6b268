"""Passkeys sign in as they were asked to, and where the operator says so with strong signatures alone."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from tests.people import Team
from tests.soft_passkey import SoftPasskey

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("site_addresses")


@pytest.fixture
def team(team: Team) -> Team:
    team.alice.set_password(PASSWORD)
    team.alice.save()
    return team


def add(made: SoftPasskey) -> str:
    """Add a passkey for alice; return what the page says of it."""
    client = Client()
    client.post("/login/", {"email": "alice@example.com", "password": PASSWORD})
    options = client.get("/account/passkeys/new/").context["js_data"]["creation_options"]["publicKey"]
    sent = {"name": "mine", "passwordless": "on", "credential": made.created(options["challenge"])}
    return client.post("/account/passkeys/new/", sent).content.decode()


def sign_in(made: SoftPasskey, team: Team) -> str:
    """Sign alice in by her passkey alone; return what the page of signing in says where she stays outside."""
    client = Client()
    asked = client.get("/login/passkey/", headers={"X-Requested-With": "XMLHttpRequest"}).json()
    challenge = asked["request_options"]["publicKey"]["challenge"]
    client.post("/login/passkey/", {"credential": made.shown(challenge, team.alice)})
    return "" if client.get("/runs/").status_code == 200 else client.get("/login/").content.decode()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (("RS256", 2048), "is signed with RSA in the padding of PKCS#1 v1.5"),
        (("RS256", 3072), "is signed with RSA in the padding of PKCS#1 v1.5"),
        (("PS256", 2048), "is signed with RSA of 2,048 bits"),
        (("ES256K",), "signs over a curve that is not approved"),
    ],
)
def test_where_strong_signatures_are_asked_for_a_weaker_passkey_is_neither_added_nor_believed(
    team: Team, settings: Any, made: tuple[Any, ...], why: str
) -> None:
    passkey = SoftPasskey(*made)
    add(passkey)
    assert Authenticator.objects.filter(user=team.alice, type="webauthn").exists()
    assert sign_in(passkey, team) == ""
    settings.SIGNATURES = "strong"
    assert f"too weak for this installation: it {why}. Sign in another way" in sign_in(passkey, team)
    Authenticator.objects.all().delete()
    assert f"too weak for this installation: it {why}. Use another device" in add(passkey)
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize("made", [("ES256",), ("EdDSA",), ("PS256", 3072)])
def test_where_strong_signatures_are_asked_for_a_strong_passkey_signs_in(
    team: Team, settings: Any, made: tuple[Any, ...]
) -> None:
    settings.SIGNATURES = "strong"
    passkey = SoftPasskey(*made)
    add(passkey)
    assert sign_in(passkey, team) == ""
    assert sign_in(SoftPasskey(*made), team) != ""


def test_a_weak_passkey_is_no_second_step_either(team: Team, settings: Any) -> None:
    passkey = SoftPasskey("RS256", 2048)
    add(passkey)
    settings.SIGNATURES = "strong"
    client = Client()
    client.post("/login/", {"email": "alice@example.com", "password": PASSWORD})
    step = client.get("/login/code/")
    challenge = step.context["js_data"]["request_options"]["publicKey"]["challenge"]
    answer = client.post("/login/code/", {"credential": passkey.shown(challenge, team.alice)})
    assert "too weak for this installation" in answer.content.decode()
    assert client.get("/runs/").status_code == 302


def test_a_passkey_that_signs_in_a_way_nobody_asked_for_is_not_added(team: Team) -> None:
    assert "it signs in a way that was not asked for" in add(SoftPasskey("RS1", 2048))
    assert not Authenticator.objects.exists()
