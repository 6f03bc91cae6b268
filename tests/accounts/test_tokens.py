"""API tokens: shown once, kept hashed, acting within their scopes until they end."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.errors import Invalid
from accounts.models import ApiToken, AuditEntry, Membership, User
from accounts.roles import Role, Scope
from tests.people import Team, bearer, just_come_in, signed_in_as


def test_a_token_acts_for_its_person_within_its_scopes(team: Team) -> None:
    actor = tokens.resolve(tokens.create(team.alice, team.workspace, ["read", "run"]))
    assert actor is not None
    assert (actor.user, actor.workspace) == (team.alice, team.workspace)
    assert actor.roles == {Role.COMPOSER}
    assert actor.scopes == {Scope.READ, Scope.RUN}


def test_the_row_does_not_hold_the_token(team: Team) -> None:
    bare = tokens.create(team.alice, team.workspace, ["read"], "ci")
    row = ApiToken.objects.get()
    assert bare.startswith("baton_")
    assert len(bare) > 40
    assert bare.encode() not in bytes(row.digest)
    assert row.prefix == bare[:12]


def ended(row: ApiToken, team: Team, how: str) -> None:
    if how == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif how == "revoked":
        tokens.revoke(row)
    elif how == "left":
        Membership.objects.filter(user=team.alice).delete()
    else:
        User.objects.filter(pk=team.alice.pk).update(is_active=False)


@pytest.mark.parametrize("how", ["expired", "revoked", "left", "deactivated"])
def test_a_token_ends(team: Team, how: str) -> None:
    bare = tokens.create(team.alice, team.workspace, ["read"], expires_at=timezone.now() + timedelta(hours=1))
    assert tokens.resolve(bare) is not None
    ended(ApiToken.objects.get(), team, how)
    assert tokens.resolve(bare) is None


@pytest.mark.parametrize("bare", ["", "baton_", "baton_x", "\0", "\ud800", "x" * 100_000])
def test_a_token_nobody_made_is_nobodys(team: Team, bare: str) -> None:
    assert tokens.resolve(bare) is None


@pytest.mark.parametrize("scopes", [[], ["owner"], ["read", ""]])
def test_a_token_needs_scopes_that_exist(team: Team, scopes: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        tokens.create(team.alice, team.workspace, scopes)
    assert refused.value.code == "bad_scope"


def test_its_use_is_noted_once_a_minute(team: Team, django_assert_num_queries: Any) -> None:
    bare = tokens.create(team.alice, team.workspace, ["read"])
    tokens.resolve(bare)
    assert ApiToken.objects.get().last_used_at is not None
    with django_assert_num_queries(2):
        tokens.resolve(bare)


def test_the_command_prints_the_bare_token_and_nothing_else(team: Team) -> None:
    out = StringIO()
    call_command("create_token", user="Dana@example.com", workspace="acme", scopes="read, admin", stdout=out)
    actor = tokens.resolve(out.getvalue().removesuffix("\n"))
    assert actor is not None
    assert actor.user == team.dana
    assert actor.scopes == {Scope.READ, Scope.ADMIN}
    assert AuditEntry.objects.get().action == "token_created"


@pytest.mark.parametrize(
    ("user", "workspace", "scopes"),
    [("dana@example.com", "globex", "read"), ("x@example.com", "acme", "read"), ("dana@example.com", "acme", "root")],
)
def test_the_command_refuses_who_is_no_member_and_scopes_that_do_not_exist(
    team: Team, user: str, workspace: str, scopes: str
) -> None:
    with pytest.raises(CommandError):
        call_command("create_token", user=user, workspace=workspace, scopes=scopes)
    assert not ApiToken.objects.exists()


def test_a_person_makes_sees_and_revokes_their_own_token(team: Team) -> None:
    browser = just_come_in(signed_in_as(team.alice))
    made = browser.post("/api/v1/tokens", {"scopes": ["read"], "name": "ci"}, content_type="application/json").json()
    (listed,) = browser.get("/api/v1/tokens").json()["items"]
    assert listed == {key: value for key, value in made.items() if key != "token"} | {"last_used_at": None}
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert Client().get("/api/v1/members", headers=headers).status_code == 200
    assert browser.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert Client().get("/api/v1/members", headers=headers).status_code == 401
    assert browser.get("/api/v1/tokens").json()["items"] == []
    assert [entry.action for entry in AuditEntry.objects.order_by("seq")] == ["token_created", "token_revoked"]


def test_others_do_not_see_it_but_an_admin_revokes_it(team: Team) -> None:
    tokens.create(team.alice, team.workspace, ["read"])
    path = f"/api/v1/tokens/{ApiToken.objects.get().pk}"
    for person in (team.bob, team.charlie):
        assert signed_in_as(person).get("/api/v1/tokens").json()["items"] == []
        assert signed_in_as(person).delete(path).status_code == 404
    assert signed_in_as(team.dana).delete(path).status_code == 204


def test_a_token_does_not_make_a_stronger_one(team: Team) -> None:
    program = Client()
    headers = bearer(team.dana, team.workspace, Scope.READ, Scope.ADMIN)
    stronger = program.post("/api/v1/tokens", {"scopes": ["edit"]}, content_type="application/json", headers=headers)
    assert stronger.status_code == 403
    weaker = program.post("/api/v1/tokens", {"scopes": ["read"]}, content_type="application/json", headers=headers)
    assert weaker.status_code == 201


def test_a_token_made_by_another_ends_no_later_than_that(team: Team) -> None:
    until = timezone.now() + timedelta(days=2)
    bare = tokens.create(team.dana, team.workspace, ["read", "admin"], expires_at=until)

    def made(**body: Any) -> Any:
        sent = {"scopes": ["read"], **body}
        headers = {"Authorization": f"Bearer {bare}"}
        return Client().post("/api/v1/tokens", sent, content_type="application/json", headers=headers)

    assert made().status_code == 201
    assert ApiToken.objects.latest("created_at").expires_at == until
    assert made(expires_at=(until - timedelta(days=1)).isoformat()).status_code == 201
    refused = made(expires_at=(until + timedelta(seconds=1)).isoformat())
    assert (refused.status_code, refused.json()["where"]) == (422, "/expires_at")
    assert ApiToken.objects.count() == 3


def test_a_token_of_an_operator_that_does_not_end_makes_those_that_do(team: Team) -> None:
    bare = tokens.new()
    tokens.keep(bare, team.dana, team.workspace, ["admin"])
    headers = {"Authorization": f"Bearer {bare}"}
    answer = Client().post("/api/v1/tokens", {"scopes": ["admin"]}, content_type="application/json", headers=headers)
    assert answer.status_code == 201
    row = ApiToken.objects.latest("created_at")
    assert row.expires_at is not None
    assert row.expires_at - timezone.now() > timedelta(days=364)


def test_an_end_in_the_offset_of_another_zone_is_shown_as_it_is_listed(team: Team) -> None:
    browser = just_come_in(signed_in_as(team.alice))
    body = {"scopes": ["read"], "expires_at": (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S+02:00")}
    made = browser.post("/api/v1/tokens", body, content_type="application/json").json()
    (listed,) = browser.get("/api/v1/tokens").json()["items"]
    assert made["expires_at"] == listed["expires_at"]


@pytest.mark.parametrize("end", ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00", "2999-01-01T00:00:00"])
def test_a_token_cannot_be_born_expired_or_end_in_no_zone(team: Team, end: str) -> None:
    body = {"scopes": ["read"], "expires_at": end}
    answer = just_come_in(signed_in_as(team.alice)).post("/api/v1/tokens", body, content_type="application/json")
    assert (answer.status_code, answer.json()["where"]) == (422, "/expires_at")


def test_a_session_that_was_left_open_makes_no_token(team: Team) -> None:
    team.alice.set_password("correct horse battery")
    team.alice.save()
    browser = signed_in_as(team.alice)
    refused = browser.post("/api/v1/tokens", {"scopes": ["read"]}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "show_again")
    assert not ApiToken.objects.exists()


def test_a_token_ends_within_a_year_and_older_ones_without_an_end_stay(team: Team, settings: Any) -> None:
    tokens.create(team.alice, team.workspace, ["read"])
    row = ApiToken.objects.get()
    assert row.expires_at is not None
    assert timedelta(days=364) < row.expires_at - timezone.now() <= timedelta(days=365)
    assert not row.is_over
    assert ApiToken(expires_at=tokens.ends_in(0)).is_over
    settings.TOKEN_DAYS = 30
    body = {"scopes": ["read"], "expires_at": (timezone.now() + timedelta(days=31)).isoformat()}
    refused = just_come_in(signed_in_as(team.alice)).post("/api/v1/tokens", body, content_type="application/json")
    assert (refused.status_code, refused.json()["where"]) == (422, "/expires_at")
    assert "at most 30 days" in refused.json()["message"]
    bare = tokens.new()
    tokens.keep(bare, team.alice, team.workspace, ["read"])
    assert tokens.resolve(bare) is not None


def works(bare: str) -> bool:
    return tokens.resolve(bare) is not None


def test_an_operator_who_signs_people_out_revokes_their_tokens_in_all_workspaces(team: Team) -> None:
    Membership.objects.create(workspace=team.elsewhere, user=team.alice, roles=["viewer"])
    here, there, bobs = (
        tokens.create(who, where, ["read"])
        for who, where in ((team.alice, team.workspace), (team.alice, team.elsewhere), (team.bob, team.workspace))
    )
    call_command("end_sessions", "alice@example.com", stdout=StringIO())
    assert [works(one) for one in (here, there, bobs)] == [False, False, True]
    told = AuditEntry.objects.filter(action="tokens_revoked", actor="alice@example.com")
    assert [(one.workspace, one.data) for one in told.order_by("workspace__slug")] == [
        (team.workspace, {"count": 2}),
        (team.elsewhere, {"count": 2}),
    ]
    call_command("end_sessions", "--everybody", stdout=StringIO())
    assert not works(bobs)


@pytest.mark.usefixtures("site_addresses")
@pytest.mark.parametrize("wished", [True, False])
def test_whoever_changes_their_password_may_revoke_their_tokens_with_it(team: Team, wished: bool) -> None:
    team.alice.set_password("correct horse battery")
    team.alice.save()
    bare, browser = tokens.create(team.alice, team.workspace, ["read"]), signed_in_as(team.alice)
    assert "Revoke my API tokens too" in browser.get("/account/password/").content.decode()
    form = {"current": "correct horse battery", "password": "another staple entirely"}
    browser.post("/account/password/", form | ({"tokens_too": "on"} if wished else {}))
    assert works(bare) is not wished


@pytest.mark.usefixtures("site_addresses")
def test_the_page_makes_a_token_shows_its_value_once_lists_and_revokes_it(team: Team) -> None:
    browser = just_come_in(signed_in_as(team.alice))
    made = browser.post("/account/tokens/new/", {"name": "nightly", "scopes": ["read", "run"], "days": "30"})
    bare = made.context["bare"]
    assert bare in made.content.decode()
    actor = tokens.resolve(bare)
    assert actor is not None
    assert actor.scopes == {Scope.READ, Scope.RUN}
    row = ApiToken.objects.get()
    listed = browser.get("/account/tokens/").content.decode()
    assert "nightly" in listed
    assert "read, run" in listed
    assert bare not in listed
    assert "/account/tokens/" in browser.get("/account/").content.decode()
    bobs = signed_in_as(team.bob)
    assert "nightly" not in bobs.get("/account/tokens/").content.decode()
    for stranger in (bobs, signed_in_as(team.dana), signed_in_as(team.charlie)):
        assert stranger.post(f"/account/tokens/{row.pk}/revoke/").status_code == 404
    assert browser.post(f"/account/tokens/{row.pk}/revoke/")["Location"] == "/account/tokens/?workspace=acme"
    assert not works(bare)
    acts = [entry.action for entry in AuditEntry.objects.order_by("seq")]
    assert acts == ["token_created", "token_revoked"]


@pytest.mark.usefixtures("site_addresses")
@pytest.mark.parametrize(
    "sent",
    [
        {"days": "30"},
        {"name": "x", "days": "30"},
        {"name": "x", "scopes": "owner", "days": "30"},
        {"name": "x", "scopes": "read", "days": "366"},
        {"name": "x", "scopes": "read", "days": "0"},
    ],
)
def test_the_page_makes_no_token_of_what_is_none(team: Team, sent: dict[str, str]) -> None:
    answer = just_come_in(signed_in_as(team.alice)).post("/account/tokens/new/", sent)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not ApiToken.objects.exists()


@pytest.mark.usefixtures("site_addresses")
def test_the_page_asks_first_who_one_is_and_comes_back_to_the_same_workspace(team: Team) -> None:
    team.alice.set_password("correct horse battery")
    team.alice.save()
    browser, page = signed_in_as(team.alice), "/account/tokens/new/?workspace=acme"
    for answer in (browser.get(page), browser.post(page, {"name": "x"})):
        assert answer["Location"] == "/login/again/?next=%2Faccount%2Ftokens%2Fnew%2F%3Fworkspace%3Dacme"
    assert browser.post(answer["Location"], {"password": "correct horse battery"})["Location"] == page
