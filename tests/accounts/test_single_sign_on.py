"""Single sign-on with a real provider on loopback: who comes in, in which role, and what is not believed."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import invitations, published, single_sign_on
from accounts.models import AuditEntry, Membership, User
from accounts.roles import Role
from orchestrator_site import outgoing
from orchestrator_site.outgoing import SocialAdapter
from tests.oidc_provider import CLIENT, SECRET, Provider, another_key
from tests.people import Team, acting, signed_in_as
from tests.site.test_settings import manage

BEGIN = "/login/with/sso/"


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> Request | None:
        return None


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    published.published.clear()


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    made = Provider()
    provide(settings, made)
    yield made
    made.close()


@pytest.fixture
def another_provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


def provide(settings: Any, made: Provider) -> None:
    app = {"provider_id": "sso", "name": "Acme", "client_id": CLIENT, "secret": SECRET}
    app["settings"] = {"server_url": made.issuer}  # type: ignore[assignment]
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    settings.OIDC_ISSUER, settings.OIDC_NAME = made.issuer, "Acme"
    settings.BASE_URL = "http://testserver"


def leave(client: Client, **query: str) -> str:
    """Begin, agree at the provider, and return the address with which the browser comes back."""
    there = client.get(BEGIN, query)
    assert there.status_code == 302, there.content.decode()
    opener = build_opener(_Stay())
    try:
        opener.open(there["Location"])
    except OSError as answer:  # urllib's way to hand out a redirect that is not followed
        back = urlsplit(answer.headers["Location"])  # type: ignore[attr-defined]
    return f"{back.path}?{back.query}"


def sign_in(client: Client, **query: str) -> Any:
    return client.get(leave(client, **query), headers={"Accept": "application/json"})


def refused(client: Client) -> str:
    answer = sign_in(client)
    assert client.get("/api/v1/members").status_code == 401
    return str(answer.json()["code"])


def test_a_member_comes_in_and_stays_the_same_person(team: Team, provider: Provider) -> None:
    client = Client()
    answer = sign_in(client, next="/runs/?state=failed")
    assert (answer.status_code, answer["Location"]) == (302, "/runs/?state=failed")
    assert client.get("/api/v1/members").status_code == 200
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["single_sign_on_connected", "signed_in"]
    tie = SocialAccount.objects.get()
    assert (tie.user, tie.uid.partition(":")[2], len(tie.uid)) == (team.alice, "s-1", 20)
    provider.person["email"] = "alice.new@example.com"  # who they are is the subject's to say
    again = Client()
    assert sign_in(again)["Location"] == "/"
    assert User.objects.count() == 6


def test_the_login_page_offers_it_only_where_it_is_set(team: Team, provider: Provider, settings: Any) -> None:
    assert "Sign in with Acme" in Client().get("/login/?next=/runs/").content.decode()
    settings.OIDC_ISSUER = ""
    assert "Sign in with Acme" not in Client().get("/login/").content.decode()
    assert Client().get(BEGIN).status_code == 404
    assert Client().get("/login/with/other/").status_code == 404


def test_nobody_else_is_let_in(team: Team, provider: Provider) -> None:
    provider.person |= {"sub": "s-9", "email": "frank@example.com"}
    assert refused(Client()) == "not_invited"
    assert not User.objects.filter(email="frank@example.com").exists()


def test_strangers_of_the_domain_get_the_role_that_was_set(team: Team, provider: Provider, settings: Any) -> None:
    settings.OIDC_NEW_PEOPLE, settings.OIDC_WORKSPACE, settings.OIDC_DOMAINS = "viewer", "acme", {"example.com"}
    provider.person |= {"sub": "s-9", "email": "Frank@Example.com", "name": "Frank\x00 F"}
    client = Client()
    assert sign_in(client).status_code == 302
    assert client.get("/api/v1/members").status_code == 200
    made = Membership.objects.get(user__email="frank@example.com")
    assert (made.roles, made.user.name, made.workspace.slug) == ([Role.VIEWER], "Frank F", "acme")
    assert not made.user.has_usable_password()
    provider.person |= {"sub": "s-10", "email": "eve@example.com.evil.example"}
    assert refused(Client()) == "sso_other_domain"


@pytest.mark.parametrize("verified", [False, None, "no"])
def test_an_email_that_is_not_verified_proves_nothing(
    team: Team, provider: Provider, settings: Any, verified: Any
) -> None:
    provider.person["email_verified"] = verified
    assert refused(Client()) == "sso_no_email"
    settings.OIDC_EMAIL = "trusted"
    assert sign_in(Client()).status_code == 302


def test_another_subject_with_a_members_email_is_not_the_member(team: Team, provider: Provider) -> None:
    assert sign_in(Client()).status_code == 302
    provider.person["sub"] = "s-2"
    assert refused(Client()) == "sso_other_person"


def test_the_same_subject_of_another_issuer_is_somebody_else(
    team: Team, provider: Provider, settings: Any, another_provider: Provider
) -> None:
    assert sign_in(Client()).status_code == 302
    another_provider.person = {"sub": "s-1", "email": "bob@example.com", "email_verified": True}
    provide(settings, another_provider)
    client = Client()
    assert sign_in(client).status_code == 302
    assert set(SocialAccount.objects.values_list("user__email", flat=True)) == {"alice@example.com", "bob@example.com"}
    assert AuditEntry.objects.filter(action="signed_in").last().actor == "bob@example.com"  # type: ignore[union-attr]


@pytest.mark.parametrize("sub", ["", "s" * 175, "s\n1"])
def test_a_subject_that_cannot_be_kept_as_it_is_is_refused(team: Team, provider: Provider, sub: str) -> None:
    provider.person["sub"] = sub
    assert refused(Client()) == "sso_failed"
    provider.person["sub"] = "s" * 174
    assert sign_in(Client()).status_code == 302


@pytest.mark.parametrize(
    "email",
    [
        "alice\x00@example.com",
        "al\u0131ce@example.com",
        "alice@example.com\u200b",
        " alice@example.com",
        f"{'a' * 250}@a.example",
    ],
)
def test_an_email_that_would_have_to_be_repaired_is_refused(team: Team, provider: Provider, email: str) -> None:
    provider.person["email"] = email
    assert refused(Client()) == "sso_failed"
    assert not SocialAccount.objects.exists()


def test_whoever_names_the_email_says_whether_it_is_verified(team: Team, provider: Provider) -> None:
    provider.user_info = {"sub": "s-1", "email": provider.person.pop("email"), "email_verified": False}
    assert provider.person["email_verified"] is True
    assert refused(Client()) == "sso_no_email"


def test_who_was_deactivated_stays_outside(team: Team, provider: Provider) -> None:
    assert sign_in(Client()).status_code == 302
    User.objects.filter(pk=team.alice.pk).update(is_active=False)
    assert refused(Client()) == "deactivated"


def test_who_was_deactivated_is_tied_to_nothing_and_accepts_nothing(team: Team, provider: Provider) -> None:
    invitations.invite(acting(team.charlie), "alice@example.com", [Role.ADMIN])
    User.objects.filter(pk=team.alice.pk).update(is_active=False)
    assert refused(Client()) == "deactivated"
    assert not SocialAccount.objects.exists()
    assert not Membership.objects.filter(user=team.alice, workspace=team.elsewhere).exists()


def test_who_is_invited_to_several_workspaces_joins_them_all(team: Team, provider: Provider) -> None:
    Membership.objects.filter(user=team.alice).delete()
    for admin in (team.charlie, team.dana):
        invitations.invite(acting(admin), "alice@example.com", [Role.VIEWER])
    with CaptureQueriesContext(connection) as queries:
        assert sign_in(Client()).status_code == 302
    assert Membership.objects.filter(user=team.alice).count() == 2
    held = [re.findall(r"[0-9a-f-]{36}", one["sql"])[-1] for one in queries if "pg_advisory_xact_lock" in one["sql"]]
    assert held == sorted(str(one.pk) for one in (team.workspace, team.elsewhere))


def test_what_the_provider_answers_instead_of_a_token_stands_in_no_log(
    team: Team, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.token_answer = {"id_token": "eyJ-very-secret"}
    assert refused(Client()) == "sso_failed"
    assert "Are the client's id and secret right?" in caplog.text
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_a_provider_with_https_names_and_leads_to_nothing_without(settings: Any, name: str) -> None:
    settings.OIDC_ISSUER = "https://id.example"
    places = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    config = {"issuer": "https://id.example", **{place: f"https://id.example/{place}" for place in places}}
    single_sign_on.check_discovery(config)
    with pytest.raises(single_sign_on.Doubtful, match=name):
        single_sign_on.check_discovery(config | {name: "http://id.example/"})
    with SocialAdapter().get_requests_session() as session, pytest.raises(requests.exceptions.InvalidSchema):
        session.get("http://id.example/")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"exp": int(time.time()) - 3600},
        {"sub": None},
    ],
)
def test_a_token_for_somebody_else_or_too_old_is_not_believed(
    team: Team, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    assert refused(Client()) == "sso_failed"


def test_a_token_that_another_key_signed_is_not_believed(team: Team, provider: Provider) -> None:
    provider.key = another_key()
    assert refused(Client()) == "sso_failed"


def a_key(algorithm: str, bits: int = 2048) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, bits)


@pytest.mark.parametrize(
    ("algorithm", "bits", "why"),
    [
        ("RS256", 2048, "with RSA in the padding of PKCS#1 v1.5"),
        ("RS512", 3072, "with RSA in the padding of PKCS#1 v1.5"),
        ("PS256", 2048, "with RSA of 2,048 bits"),
        ("PS512", 3064, "with RSA of 3,064 bits"),
    ],
)
def test_where_strong_signatures_are_asked_for_a_weaker_token_lets_nobody_in(
    team: Team,
    provider: Provider,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    algorithm: str,
    bits: int,
    why: str,
) -> None:
    provider.algorithm, provider.key = algorithm, a_key(algorithm, bits)
    provider.published = provider.key
    assert sign_in(Client())["Location"] == "/"
    settings.SIGNATURES = "strong"
    assert refused(Client()) == "sso_weak_signature"
    assert f"The ID token is too weak for BATON_SIGNATURES=strong: it is signed {why}." in caplog.text


@pytest.mark.parametrize(("algorithm", "bits"), [("PS256", 3072), ("ES256", 0), ("ES384", 0), ("EdDSA", 0)])
def test_where_strong_signatures_are_asked_for_a_strong_token_lets_in(
    team: Team, provider: Provider, settings: Any, algorithm: str, bits: int
) -> None:
    settings.SIGNATURES = "strong"
    provider.algorithm, provider.key = algorithm, a_key(algorithm, bits)
    provider.published = provider.key
    assert sign_in(Client())["Location"] == "/"
    provider.key = a_key(algorithm, bits)
    assert refused(Client()) == "sso_failed", "it is believed for its strength alone"


def test_a_token_that_was_made_for_another_request_is_not_believed(team: Team, provider: Provider) -> None:
    for nonce in ("", "0" * 64):
        provider.claims = {"nonce": nonce}
        assert refused(Client()) == "sso_failed"
    provider.claims = {}
    assert sign_in(Client())["Location"] == "/"
    nonces = [asked["nonce"] for asked in provider.asked]
    assert len(set(nonces)) == len(nonces) == 3


def test_who_signed_in_at_the_provider_too_long_ago_comes_again(team: Team, provider: Provider, settings: Any) -> None:
    assert sign_in(Client())["Location"] == "/"
    assert "max_age" not in provider.asked[-1]
    settings.OIDC_MAX_AGE = 3600
    for at in (None, time.time() - 3600 - single_sign_on.LEEWAY - 5, "now"):
        provider.claims = {"auth_time": int(at) if isinstance(at, float) else at}
        assert refused(Client()) == "sso_failed", at
    provider.claims = {"auth_time": int(time.time()) - 3_000}
    assert sign_in(Client())["Location"] == "/"
    assert provider.asked[-1]["max_age"] == "3600"


def test_what_the_provider_publishes_is_asked_for_once_in_minutes_and_a_new_key_found_at_once(
    team: Team, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        assert sign_in(Client())["Location"] == "/"
    assert [provider.gets.count(place) for place in ("/.well-known/openid-configuration", "/jwks")] == [1, 1]
    provider.key_id = "key-2"
    assert refused(Client()) == "sso_failed", "asked again too soon"
    monkeypatch.setattr(single_sign_on, "FRESH_SECONDS", 0)
    assert sign_in(Client())["Location"] == "/"
    assert provider.gets.count("/jwks") == 2


@pytest.mark.parametrize("place", ["/.well-known/openid-configuration", "/jwks"])
@pytest.mark.parametrize("how", ["long", "slow"])
def test_a_provider_that_answers_without_end_is_given_up(
    team: Team, provider: Provider, monkeypatch: pytest.MonkeyPatch, place: str, how: str
) -> None:
    def endless(path: str, body: bytes) -> Iterator[bytes]:
        if path != place:
            yield body
            return
        while True:
            time.sleep(0.02 if how == "slow" else 0)
            yield b" " if how == "slow" else b" " * 65_536

    provider.sends = endless
    monkeypatch.setattr(outgoing, "SECONDS_IN_ALL", 2.0)
    answer = Client().get(BEGIN, headers={"Accept": "application/json"})
    if place != "/jwks":
        assert (answer.status_code, answer.json()["code"]) == (503, "sso_unreachable")
    else:
        assert refused(Client()) == "sso_failed"


def test_the_email_may_come_from_the_user_info_of_the_same_person(team: Team, provider: Provider) -> None:
    email = provider.person.pop("email")
    provider.user_info = {"sub": "somebody-else", "email": email, "email_verified": True}
    assert refused(Client()) == "sso_failed"
    provider.user_info["sub"] = "s-1"
    assert sign_in(Client()).status_code == 302


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(team: Team, provider: Provider) -> None:
    theirs, mine = Client(), Client()
    back = leave(theirs)
    assert mine.get(back, headers={"Accept": "application/json"}).json()["code"] == "sso_failed"
    assert theirs.get(back)["Location"] == "/"
    assert theirs.get(back, headers={"Accept": "application/json"}).json()["code"] == "sso_failed"  # once


def test_the_code_is_worth_nothing_without_the_verifier(team: Team, provider: Provider) -> None:
    client = Client()
    stolen = dict(parse_qsl(urlsplit(leave(client)).query))["code"]
    other = Client()
    mine = dict(parse_qsl(urlsplit(leave(other)).query))
    answer = other.get(
        f"{BEGIN}callback/", {"code": stolen, "state": mine["state"]}, headers={"Accept": "application/json"}
    )
    assert answer.json()["code"] == "sso_failed"


def test_cancelling_at_the_provider_leads_back(team: Team, provider: Provider) -> None:
    provider.deny = True
    assert refused(Client()) == "sso_failed"


@pytest.mark.parametrize("config", [{"issuer": "https://evil.example"}, {"token_endpoint": None}, {"jwks_uri": 7}])
def test_a_provider_that_is_not_the_one_that_was_set_is_refused(
    team: Team, provider: Provider, config: dict[str, Any]
) -> None:
    provider.config = config
    answer = Client().get(BEGIN, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (503, "sso_unreachable")


def test_a_provider_that_is_away_is_said_so(team: Team, provider: Provider) -> None:
    provider.close()
    answer = Client().get(BEGIN, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (503, "sso_unreachable")


@pytest.mark.parametrize("place", ["http://169.254.169.254/token", "http://localhost:1/token", "file:///etc/passwd"])
def test_what_the_provider_names_is_asked_only_through_the_guard(team: Team, provider: Provider, place: str) -> None:
    provider.config = {"token_endpoint": place}
    assert refused(Client()) == "sso_failed"
    with SocialAdapter().get_requests_session() as session, pytest.raises(requests.RequestException):
        session.get(place)


def test_it_begins_with_a_get_and_the_program_knows_no_other(team: Team, provider: Provider) -> None:
    assert Client().post(BEGIN).status_code == 405
    assert signed_in_as(team.bob).post(f"{BEGIN}callback/").status_code == 405


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"BATON_OIDC_ISSUER": "https://id.example"}, "needs BATON_OIDC_CLIENT_ID"),
        ({"BATON_OIDC_NEW_PEOPLE": "viewer"}, "lets strangers in"),
        ({"BATON_OIDC_NEW_PEOPLE": "admin"}, "must be one of"),
        ({"BATON_OIDC_ISSUER": "ldap://id.example"}, "must start with one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_start(wrong: dict[str, str], said: str) -> None:
    done = manage("check", BATON_ENV="development", **wrong)
    assert done.returncode == 1
    assert said in done.stderr
