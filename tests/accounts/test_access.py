"""Each role may do what its line says, in its own workspace, and a token never more than its scopes."""

import pytest

from accounts import access
from accounts.access import Actor, Capability
from accounts.errors import Forbidden, NotFound
from accounts.models import Membership, Secret, User, Workspace
from accounts.roles import Role, Scope
from tests.people import Team, a_person, acting, signed_in_as

C = Capability
TABLE: dict[Role, set[Capability]] = {
    Role.VIEWER: {C.READ, C.TOKENS, C.BE_TOLD},
    Role.COMPOSER: {C.READ, C.TOKENS, C.BE_TOLD, C.RUN, C.EDIT, C.PUBLISH, C.RATE},
    Role.REVIEWER: {C.READ, C.TOKENS, C.BE_TOLD, C.DECIDE, C.RATE},
    Role.MANAGER: {C.READ, C.TOKENS, C.BE_TOLD, C.MANAGE, C.RULES, C.DECIDE_BUDGET, C.CANCEL_ANY, C.EXPORT},
    Role.AUDITOR: {C.READ, C.TOKENS, C.BE_TOLD, C.READ_AUDIT, C.EXPORT},
    Role.ADMIN: set(C) - {C.DECIDE, C.DECIDE_BUDGET},
}
SCOPES: dict[Scope, set[Capability]] = {
    Scope.READ: {C.READ, C.READ_AUDIT, C.EXPORT},
    Scope.RUN: {C.RUN, C.BE_TOLD},
    Scope.EDIT: {C.EDIT, C.PUBLISH},
    Scope.DECIDE: {C.DECIDE, C.DECIDE_BUDGET, C.RATE},
    Scope.MANAGE: {C.MANAGE, C.RULES, C.CANCEL_ANY},
    Scope.ADMIN: {C.CONNECTIONS, C.SECRETS, C.MEMBERS, C.TOKENS, C.READ_VIOLATIONS},
}


def an_actor(*roles: Role, scopes: set[Scope] | None = None) -> Actor:
    limits = None if scopes is None else frozenset(scopes)
    return Actor(User(email="x@example.com"), Workspace(name="Acme"), frozenset(roles), limits)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("capability", Capability)
def test_a_role_may_do_exactly_its_line_of_the_table(role: Role, capability: Capability) -> None:
    assert an_actor(role).can(capability) is (capability in TABLE[role])


def test_roles_add_up() -> None:
    both = an_actor(Role.ADMIN, Role.REVIEWER)
    assert both.can(C.DECIDE)
    assert both.can(C.MEMBERS)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("role", Role)
def test_a_token_does_the_lesser_of_role_and_scope(role: Role, scope: Scope) -> None:
    limited = an_actor(role, scopes={scope})
    assert {c for c in Capability if limited.can(c)} == TABLE[role] & SCOPES[scope]


def test_a_refusal_names_the_role_that_may() -> None:
    with pytest.raises(Forbidden, match="needs the role admin") as refused:
        access.require(an_actor(Role.COMPOSER), C.MEMBERS)
    assert refused.value.code == "forbidden"


def test_a_refusal_names_the_scope_that_the_token_lacks() -> None:
    with pytest.raises(Forbidden, match="lacks the scope run"):
        access.require(an_actor(Role.COMPOSER, scopes={Scope.READ}), C.RUN)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.REVIEWER])
def test_only_a_reviewer_decides_and_an_admin_is_told_so_too(role: Role) -> None:
    with pytest.raises(Forbidden) as refused:
        access.require(an_actor(role), C.DECIDE)
    assert refused.value.code == "not_a_reviewer"


def test_charlie_sees_no_row_of_another_workspace(team: Team) -> None:
    secret = Secret.objects.create(workspace=team.workspace, name="key", ciphertext=b"")
    charlie = acting(team.charlie)
    assert not access.scoped(Secret, charlie).exists()
    with pytest.raises(NotFound) as theirs:
        access.get(Secret, charlie, pk=secret.pk)
    with pytest.raises(NotFound) as absent:
        access.get(Secret, charlie, pk="019aa000-0000-7000-8000-000000000000")
    assert theirs.value.answer() == absent.value.answer()
    assert access.get(Secret, acting(team.alice), pk=secret.pk) == secret


@pytest.mark.parametrize("lookup", ["not-an-id", "", "00000000", 7])
def test_a_malformed_id_is_as_absent_as_any(team: Team, lookup: object) -> None:
    with pytest.raises(NotFound):
        access.get(Secret, acting(team.dana), pk=lookup)


def test_charlie_cannot_act_in_a_workspace_he_does_not_belong_to(team: Team) -> None:
    with pytest.raises(NotFound) as theirs:
        access.actor_for(team.charlie, "acme")
    with pytest.raises(NotFound) as absent:
        access.actor_for(team.charlie, "no-such-workspace")
    assert theirs.value.answer() == absent.value.answer()


def test_a_deactivated_person_acts_nowhere(team: Team) -> None:
    User.objects.filter(pk=team.alice.pk).update(is_active=False)
    with pytest.raises(NotFound):
        access.actor_for(team.alice, "acme")


def test_the_session_remembers_the_workspace_a_page_was_opened_in(team: Team) -> None:
    Membership.objects.create(workspace=team.elsewhere, user=team.alice, roles=[Role.VIEWER])
    browser = signed_in_as(team.alice)
    browser.get("/login/", {"workspace": "globex"})
    assert browser.session[access.SESSION_WORKSPACE] == "globex"
    assert browser.get("/api/v1/members").json()["items"][0]["email"] == "charlie@example.com"
    assert browser.get("/api/v1/members?workspace=acme").json()["items"][0]["email"] == "alice@example.com"
    assert browser.get("/api/v1/members").json()["items"][0]["email"] == "charlie@example.com"


def test_a_page_of_a_strangers_workspace_is_not_found(team: Team) -> None:
    browser = signed_in_as(team.charlie)
    assert browser.get("/login/", {"workspace": "acme"}).status_code == 404
    assert access.SESSION_WORKSPACE not in browser.session


def test_who_left_the_remembered_workspace_lands_in_one_of_their_own(team: Team) -> None:
    Membership.objects.create(workspace=team.elsewhere, user=team.alice, roles=[Role.VIEWER])
    browser = signed_in_as(team.alice)
    browser.get("/login/", {"workspace": "globex"})
    Membership.objects.filter(workspace=team.elsewhere, user=team.alice).delete()
    assert browser.get("/api/v1/members").json()["items"][0]["email"] == "alice@example.com"


def test_a_person_without_a_workspace_is_told_whom_to_ask(db: None) -> None:
    answer = signed_in_as(a_person("frank")).get("/api/v1/members")
    assert answer.status_code == 404
    assert "Ask an admin" in answer.json()["message"]


def test_an_address_with_nul_names_nothing(team: Team) -> None:
    browser = signed_in_as(team.alice)
    assert browser.get("/api/v1/members?cursor=%00").status_code == 422
    assert browser.get("/api/v1/members/%00").status_code == 422
