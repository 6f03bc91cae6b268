"""The people of every test: alice composes, bob reviews, carol manages, dana administers, erin audits; charlie is
a stranger, who owns everything in a workspace of his own."""

import time
from dataclasses import dataclass

from allauth.account.internal.userkit import user_id_to_str
from django.test import Client

from accounts import tokens
from accounts.access import Actor, actor_for
from accounts.models import Membership, User, Workspace
from accounts.roles import Role, Scope


@dataclass(frozen=True)
class Team:
    """A workspace with one person per role, and charlie, who belongs to another."""

    workspace: Workspace
    alice: User
    bob: User
    carol: User
    dana: User
    erin: User
    charlie: User
    elsewhere: Workspace


def a_team() -> Team:
    workspace = a_workspace("acme")
    elsewhere = a_workspace("globex")
    return Team(
        workspace,
        alice=a_member(workspace, "alice", Role.COMPOSER),
        bob=a_member(workspace, "bob", Role.REVIEWER),
        carol=a_member(workspace, "carol", Role.MANAGER),
        dana=a_member(workspace, "dana", Role.ADMIN),
        erin=a_member(workspace, "erin", Role.AUDITOR),
        charlie=a_member(elsewhere, "charlie", *Role),
        elsewhere=elsewhere,
    )


def a_workspace(slug: str = "acme", **fields: str) -> Workspace:
    return Workspace.objects.create(slug=slug, name=slug.title(), **fields)


def a_person(name: str, password: str | None = None) -> User:
    """Return a person; without a password they sign in through `signed_in_as` only, which costs no hashing."""
    return User.objects.create_user(f"{name}@example.com", password, name=name.title())


def a_member(workspace: Workspace, name: str, *roles: Role) -> User:
    user = a_person(name)
    Membership.objects.create(workspace=workspace, user=user, roles=list(roles))
    return user


def acting(user: User, workspace: Workspace | None = None) -> Actor:
    """Return the person as the code sees them in a session."""
    return actor_for(user, workspace.slug if workspace else None)


def signed_in_as(user: User, *, csrf: bool = False) -> Client:
    """Return a browser signed in as this person; with `csrf` it is held to CSRF tokens like a real one."""
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(user)
    return client


def just_come_in(client: Client) -> Client:
    """Have a browser's person shown just now who they are."""
    session = client.session
    session["account_authentication_methods_user"] = user_id_to_str(User.objects.get(pk=session["_auth_user_id"]))
    session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
    session.save()
    return client


def rested(client: Client) -> Client:
    """Have a browser's person, who typed their password, come in longer ago than what matters asks for."""
    session = client.session
    for one in session["account_authentication_methods"]:
        one["at"] = time.time() - 600
    session.save()
    return client


def bearer(user: User, workspace: Workspace, *scopes: Scope) -> dict[str, str]:
    """Return the headers of a program with a token of this person, with all scopes unless some are named."""
    return {"Authorization": f"Bearer {tokens.create(user, workspace, scopes or list(Scope))}"}
