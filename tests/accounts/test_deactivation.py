"""Members who are shut out: nothing of theirs works here, nothing elsewhere changes, and they can be let in again."""

from typing import Any

import pytest
from django.test import Client

from accounts import invitations, members, passwords, tokens
from accounts.access import actor_for, may_come_in
from accounts.door import AccountAdapter
from accounts.errors import Conflict, Deactivated, Gone
from accounts.models import AuditEntry, Invitation, Membership
from accounts.roles import Role
from tests.people import Team, acting, bearer, signed_in_as

MEMBERS = "/api/v1/members"
PASSWORD = "correct horse battery"


def change(team: Team, active: bool, name: str = "bob") -> Any:
    address = f"{MEMBERS}/{name}@example.com"
    return signed_in_as(team.dana).patch(address, {"active": active}, content_type="application/json")


def elsewhere_too(team: Team) -> None:
    Membership.objects.create(workspace=team.elsewhere, user=team.bob, roles=[Role.VIEWER])


def sign_in(client: Client, password: str) -> Any:
    return client.post("/login/", {"email": "bob@example.com", "password": password})


@pytest.fixture
def _whole_site(settings: Any) -> None:
    settings.ROOT_URLCONF = "orchestrator_site.urls"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_sessions_and_tokens_of_whoever_is_deactivated_end(team: Team) -> None:
    browser, headers = signed_in_as(team.bob), bearer(team.bob, team.workspace)
    answer = change(team, False)
    assert answer.json() == {"email": "bob@example.com", "name": "Bob", "roles": ["reviewer"], "active": False}
    assert browser.get(MEMBERS).status_code == 401
    assert Client().get(MEMBERS, headers=headers).status_code == 401


def test_whoever_is_activated_again_has_their_roles_and_signs_in_anew(team: Team) -> None:
    browser, headers = signed_in_as(team.bob), bearer(team.bob, team.workspace)
    change(team, False)
    assert change(team, True).json()["active"] is True
    assert browser.get(MEMBERS).status_code == 401
    assert Client().get(MEMBERS, headers=headers).status_code == 401
    team.bob.refresh_from_db()
    assert signed_in_as(team.bob).get(MEMBERS).status_code == 200
    assert acting(team.bob).roles == {Role.REVIEWER}


def test_both_are_written_down_once_however_often_they_are_asked_for(team: Team) -> None:
    for active in (True, False, False, True, True):
        assert change(team, active).json()["active"] is active
    entries = AuditEntry.objects.order_by("seq").values_list("actor", "action", "target")
    acts = ["member_deactivated", "member_activated"]
    assert list(entries) == [("dana@example.com", act, "bob@example.com") for act in acts]


@pytest.mark.usefixtures("_whole_site")
def test_who_is_deactivated_is_answered_like_an_unknown_person(team: Team) -> None:
    team.bob.set_password(PASSWORD)
    team.bob.save()
    change(team, False)
    right, wrong = sign_in(Client(), PASSWORD), sign_in(Client(), "wrong")
    assert (right.status_code, right.context["form"].errors) == (wrong.status_code, wrong.context["form"].errors)
    change(team, True)
    assert sign_in(Client(), PASSWORD).status_code == 302


def test_who_is_deactivated_gets_no_new_password(team: Team) -> None:
    token = passwords.token_of(team.bob)
    change(team, False)
    assert passwords.receiver("bob@example.com") is None
    with pytest.raises(Gone):
        passwords.holder(team.bob.pk, token)


def test_another_workspace_is_not_touched(team: Team) -> None:
    elsewhere_too(team)
    browser = signed_in_as(team.bob)
    there = bearer(team.bob, team.elsewhere)
    change(team, False)
    shut, absent = (browser.get(f"{MEMBERS}?workspace={slug}") for slug in ("acme", "absent"))
    assert (shut.status_code, shut.content) == (404, absent.content)
    assert browser.get(MEMBERS).status_code == 200
    assert actor_for(team.bob).workspace == team.elsewhere
    assert Client().get(MEMBERS, headers=there).status_code == 200


def test_who_is_deactivated_here_accepts_an_invitation_there(team: Team) -> None:
    change(team, False)
    made = invitations.invite(acting(team.charlie), "bob@example.com", [Role.VIEWER])
    invitations.accept(made, team.bob)
    assert may_come_in(team.bob)
    assert not Membership.objects.active().filter(user=team.bob, workspace=team.workspace).exists()


def test_no_invitation_leads_back_in(team: Team) -> None:
    change(team, False)
    with pytest.raises(Conflict, match="already"):
        invitations.invite(acting(team.dana), "bob@example.com", [Role.VIEWER])


def test_a_deactivated_admin_has_invited_nobody(team: Team) -> None:
    Membership.objects.filter(user=team.bob).update(roles=[Role.ADMIN])
    invitations.invite(acting(team.bob), "own@example.com", [Role.ADMIN])
    change(team, False)
    assert not Invitation.objects.filter(withdrawn_at=None).exists()


def test_the_last_admin_who_may_act_stays(team: Team) -> None:
    answer = change(team, False, "dana")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    Membership.objects.filter(user=team.bob).update(roles=[Role.ADMIN])
    members.deactivate(acting(team.bob), "dana@example.com")
    with pytest.raises(Conflict, match="needs an admin"):
        members.deactivate(acting(team.bob), "bob@example.com")


@pytest.mark.parametrize("name", ["charlie", "nobody"])
def test_of_strangers_and_nobody_the_same_is_said(team: Team, name: str) -> None:
    for active in (True, False):
        answer = change(team, active, name)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert AuditEntry.objects.count() == 0


def test_who_came_as_far_as_the_second_factor_is_not_let_in(team: Team, rf: Any) -> None:
    change(team, False)
    with pytest.raises(Deactivated):
        AccountAdapter().login(rf.post("/login/code/"), team.bob)


def test_no_token_is_made_for_who_is_deactivated(team: Team) -> None:
    change(team, False)
    assert tokens.resolve(tokens.create(team.bob, team.workspace, ["read"])) is None


@pytest.mark.usefixtures("_whole_site")
def test_the_page_deactivates_and_activates(team: Team) -> None:
    dana = signed_in_as(team.dana)
    answer = dana.post("/people/deactivate/?workspace=acme", {"email": "bob@example.com"}, follow=True)
    assert "deactivated since" in answer.content.decode()
    assert "/people/activate/?workspace=acme" in answer.content.decode()
    answer = dana.post("/people/activate/?workspace=acme", {"email": "bob@example.com"}, follow=True)
    assert "deactivated since" not in answer.content.decode()
