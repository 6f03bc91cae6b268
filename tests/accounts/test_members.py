"""Members and their roles, as the API changes them; and the audit log, as it shows them."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import audit, invitations, members
from accounts.models import AuditEntry, Invitation, Membership, User
from accounts.roles import Role
from tests.people import Team, acting, bearer, signed_in_as

MEMBERS = "/api/v1/members"


def add(client: Client, **body: Any) -> Any:
    return client.post(MEMBERS, body, content_type="application/json")


def test_everybody_here_sees_who_is_here(team: Team) -> None:
    items = signed_in_as(team.bob).get(MEMBERS).json()["items"]
    assert [item["email"].split("@")[0] for item in items] == ["alice", "bob", "carol", "dana", "erin"]
    assert items[0] == {"email": "alice@example.com", "name": "Alice", "roles": ["composer"], "active": True}


def test_an_admin_adds_a_person_new_to_baton(team: Team) -> None:
    answer = add(signed_in_as(team.dana), email="Frank@Example.com", name="Frank", roles=["reviewer", "composer"])
    assert answer.status_code == 201
    shown = {"email": "frank@example.com", "name": "Frank", "roles": ["composer", "reviewer"], "active": True}
    assert answer.json() == shown
    assert not User.objects.get(email="frank@example.com").has_usable_password()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.target) == ("dana@example.com", "member_added", "frank@example.com")


def test_who_has_an_account_is_invited_and_their_name_is_not_told(team: Team) -> None:
    answer = add(signed_in_as(team.dana), email="Charlie@example.com", name="Chuck", roles=["reviewer", "composer"])
    assert answer.status_code == 201
    shown = {"email": "charlie@example.com", "name": "Chuck", "roles": ["reviewer", "composer"], "active": False}
    assert answer.json() == shown
    assert not Membership.objects.filter(workspace=team.workspace, user=team.charlie).exists()
    listed = {one["email"] for one in signed_in_as(team.dana).get(MEMBERS).json()["items"]}
    assert "charlie@example.com" not in listed
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == ("member_invited", "charlie@example.com")


def test_who_did_not_accept_is_told_of_nowhere(team: Team) -> None:
    add(signed_in_as(team.dana), email="charlie@example.com", roles=["viewer"])
    audit.record_everywhere(team.charlie, "signed_in")
    assert not AuditEntry.objects.filter(workspace=team.workspace, actor="charlie@example.com").exists()
    invitations.accept(Invitation.objects.get(), team.charlie)
    assert Membership.objects.get(workspace=team.workspace, user=team.charlie).roles == ["viewer"]


def test_a_member_is_not_added_twice(team: Team) -> None:
    answer = add(signed_in_as(team.dana), email="bob@example.com", roles=["viewer"])
    assert (answer.status_code, answer.json()["code"]) == (409, "already_member")
    assert Membership.objects.get(user=team.bob).roles == ["reviewer"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"email": "x", "roles": ["viewer"]}, "/email"),
        ({"email": "x@example.com", "roles": []}, "/roles"),
        ({"email": "x@example.com", "roles": ["owner"]}, "/roles/0"),
        ({"email": "x@example.com", "roles": ["viewer"], "password": "p"}, "/password"),
    ],
)
def test_a_bad_member_is_refused_at_its_field(team: Team, body: dict[str, Any], where: str) -> None:
    answer = add(signed_in_as(team.dana), **body)
    assert (answer.status_code, answer.json()["where"]) == (422, where)
    assert not User.objects.filter(email="x@example.com").exists()


def test_a_change_of_roles_counts_at_once_and_is_recorded(team: Team) -> None:
    bob = signed_in_as(team.bob)
    assert bob.get("/api/v1/audit").status_code == 403
    answer = signed_in_as(team.dana).put(
        f"{MEMBERS}/bob@example.com", {"roles": ["auditor"]}, content_type="application/json"
    )
    assert answer.json()["roles"] == ["auditor"]
    (entry,) = bob.get("/api/v1/audit").json()["items"]
    assert entry["action"] == "roles_changed"
    assert entry["data"] == {"before": ["reviewer"], "roles": ["auditor"]}


def test_who_is_removed_loses_session_and_token(team: Team) -> None:
    bob, headers = signed_in_as(team.bob), bearer(team.bob, team.workspace)
    assert signed_in_as(team.dana).delete(f"{MEMBERS}/bob@example.com").status_code == 204
    assert bob.get(MEMBERS).status_code == 404
    assert Client().get(MEMBERS, headers=headers).status_code == 401


def test_who_comes_back_does_not_find_their_tokens_again(team: Team) -> None:
    headers, dana = bearer(team.bob, team.workspace), signed_in_as(team.dana)
    dana.delete(f"{MEMBERS}/bob@example.com")
    assert add(dana, email="bob@example.com", roles=["reviewer"]).status_code == 201
    invitations.accept(Invitation.objects.get(), team.bob)
    assert signed_in_as(team.bob).get(MEMBERS).status_code == 200
    assert Client().get(MEMBERS, headers=headers).status_code == 401


@pytest.mark.parametrize("how", ["removed", "demoted"])
def test_who_is_no_admin_any_more_has_invited_nobody(team: Team, how: str) -> None:
    Membership.objects.filter(user=team.bob).update(roles=[Role.ADMIN])
    dana, charlie = acting(team.dana), acting(team.charlie)
    kept = invitations.invite(dana, "kept@example.com", [Role.VIEWER])
    there = invitations.invite(charlie, "bob@example.com", [Role.VIEWER])
    invitations.invite(acting(team.bob), "own@example.com", [Role.ADMIN])
    Invitation.objects.create(
        workspace=team.workspace, email="bob@example.com", invited_by=team.dana, expires_at=kept.expires_at
    )
    if how == "removed":
        members.remove(dana, "bob@example.com")
    else:
        members.change_roles(dana, "bob@example.com", [Role.VIEWER])
    assert set(Invitation.objects.filter(withdrawn_at=None)) == {kept, there}
    withdrawn = AuditEntry.objects.filter(action="invitation_withdrawn", workspace=team.workspace)
    assert set(withdrawn.values_list("actor", "target")) == {
        ("dana@example.com", "own@example.com"),
        ("dana@example.com", "bob@example.com"),
    }


def test_a_change_of_roles_that_leaves_an_admin_one_leaves_invitations(team: Team) -> None:
    made = invitations.invite(acting(team.dana), "kept@example.com", [Role.VIEWER])
    members.change_roles(acting(team.dana), "dana@example.com", [Role.ADMIN, Role.VIEWER])
    assert Invitation.objects.filter(pk=made.pk, withdrawn_at=None).exists()


def test_the_forms_of_the_page_act_where_the_page_was_opened(team: Team, settings: Any) -> None:
    settings.ROOT_URLCONF = "orchestrator_site.urls"
    Membership.objects.create(workspace=team.elsewhere, user=team.dana, roles=[Role.ADMIN])
    Membership.objects.create(workspace=team.elsewhere, user=team.bob, roles=[Role.VIEWER])
    made = invitations.invite(acting(team.dana, team.workspace), "own@example.com", [Role.ADMIN])
    dana = signed_in_as(team.dana)
    page = dana.get("/people/?workspace=acme").content.decode()
    places = set(re.findall(r'action="(/people/[^"]*)"', page))
    withdraw = f"/people/invitations/{made.pk}/withdraw/?workspace=acme"
    changes = {f"/people/{change}/?workspace=acme" for change in ("invite", "deactivate", "remove", "content")}
    assert places == changes | {withdraw}
    dana.get("/people/?workspace=globex")  # in another tab
    removed = dana.post("/people/remove/?workspace=acme", {"email": "bob@example.com"})
    assert removed["Location"] == "/people/?workspace=acme"
    assert Membership.objects.get(user=team.bob).workspace == team.elsewhere


def test_the_last_admin_stays(team: Team) -> None:
    dana = signed_in_as(team.dana)
    body = {"roles": ["viewer"]}
    demoted = dana.put(f"{MEMBERS}/dana@example.com", body, content_type="application/json")
    removed = dana.delete(f"{MEMBERS}/dana@example.com")
    for answer in (demoted, removed):
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    Membership.objects.filter(user=team.bob).update(roles=[Role.ADMIN])
    assert dana.delete(f"{MEMBERS}/dana@example.com").status_code == 204


@pytest.mark.parametrize("who", ["alice", "bob", "carol", "erin"])
def test_who_is_no_admin_changes_nobody(team: Team, who: str) -> None:
    browser = signed_in_as(getattr(team, who))
    body = {"roles": ["admin"]}
    assert add(browser, email="x@example.com", roles=["admin"]).status_code == 403
    assert browser.put(f"{MEMBERS}/{who}@example.com", body, content_type="application/json").status_code == 403
    assert browser.delete(f"{MEMBERS}/dana@example.com").status_code == 403


def test_charlie_does_not_learn_who_is_elsewhere(team: Team) -> None:
    charlie = signed_in_as(team.charlie)
    for method in ("put", "delete"):
        answers = [
            getattr(charlie, method)(f"{MEMBERS}/{email}", {"roles": ["viewer"]}, content_type="application/json")
            for email in ("bob@example.com", "nobody@example.com")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("who", "status"), [("erin", 200), ("dana", 200), ("alice", 403), ("bob", 403), ("carol", 403)]
)
def test_the_audit_log_is_for_auditors_and_admins(team: Team, who: str, status: int) -> None:
    assert signed_in_as(getattr(team, who)).get("/api/v1/audit").status_code == status


def test_the_audit_log_is_filtered_and_shows_its_own_workspace(team: Team) -> None:
    dana = signed_in_as(team.dana)
    for name in ("x", "y"):
        add(dana, email=f"{name}@example.com", roles=["viewer"])
    erin = signed_in_as(team.erin)
    (found,) = erin.get("/api/v1/audit?action=member_added&target=x@example.com").json()["items"]
    assert found["seq"] == 1
    assert len(found["hash"]) == 64
    assert erin.get("/api/v1/audit?actor=nobody").json()["items"] == []
    assert signed_in_as(team.charlie).get("/api/v1/audit").json()["items"] == []


def test_an_operator_makes_a_workspace_with_its_first_admin(team: Team) -> None:
    out = StringIO()
    call_command("create_workspace", "initech", admin="Gina@example.com", zone="Europe/Berlin", stdout=out)
    membership = Membership.objects.get(workspace__slug="initech")
    assert (membership.user.email, membership.roles) == ("gina@example.com", ["admin"])
    assert not membership.user.has_usable_password()
    call_command("create_workspace", "umbrella", admin="alice@example.com", stdout=out)
    assert Membership.objects.filter(user=team.alice).count() == 2


@pytest.mark.parametrize(
    ("slug", "admin", "zone"),
    [
        ("acme", "g@example.com", "UTC"),
        ("A b", "g@example.com", "UTC"),
        ("new", "nobody", "UTC"),
        ("new", "g@example.com", "Mars/Base"),
    ],
)
def test_a_workspace_that_cannot_be_is_not_made(team: Team, slug: str, admin: str, zone: str) -> None:
    with pytest.raises(CommandError):
        call_command("create_workspace", slug, admin=admin, zone=zone)
    assert not User.objects.filter(email="g@example.com").exists()
