"""The sample workspace, and what the database lets the application roles do."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from accounts import sample, tokens
from accounts.models import Membership, User, Workspace
from accounts.privileges import ROLES
from accounts.roles import Role, Scope
from tests.people import Team, a_workspace


def test_the_sample_has_one_person_per_role(db: None, settings: Any) -> None:
    settings.SAMPLE_TOKEN = "a token of the operator's"
    for _ in range(2):
        workspace = sample.people("first password")
    assert workspace.slug == "sample"
    roles = dict(Membership.objects.filter(workspace=workspace).values_list("user__email", "roles"))
    assert roles == {
        "alice@example.com": ["composer"],
        "bob@example.com": ["reviewer"],
        "carol@example.com": ["manager"],
        "dana@example.com": ["admin"],
        "erin@example.com": ["auditor"],
    }
    actor = tokens.resolve("a token of the operator's")
    assert actor is not None
    assert actor.user.email == "dana@example.com"
    assert actor.scopes == set(Scope)


def test_the_sample_password_follows_the_setting_and_roles_stay(db: None) -> None:
    sample.people("first password")
    Membership.objects.filter(user__email="bob@example.com").update(roles=[Role.REVIEWER, Role.MANAGER])
    before = User.objects.get(email="erin@example.com").password
    sample.people("first password")
    assert User.objects.get(email="erin@example.com").password == before
    sample.people("second password")
    assert all(user.check_password("second password") for user in User.objects.all())
    assert Membership.objects.get(user__email="bob@example.com").roles == ["reviewer", "manager"]


def test_production_has_no_sample(db: None, settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(ImproperlyConfigured):
        sample.people("password")
    assert not Workspace.objects.exists()


@pytest.mark.parametrize("role", ROLES)
def test_an_application_role_works_with_every_table_and_owns_none(team: Team, role: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute("SELECT set_config('baton.workspace', 'any', true)")
        a_workspace("made")
        Membership.objects.filter(user=team.alice).update(roles=[])
        Membership.objects.filter(user=team.alice).delete()
        cursor.execute("SELECT count(*) FROM django_session")
        cursor.execute("SELECT count(*) FROM django_migrations")
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user")
        assert cursor.fetchone() == (0,)
        for sql in ("DELETE FROM django_migrations", "DROP TABLE accounts_user", "CREATE TABLE mine (x int)"):
            with pytest.raises(DatabaseError, match=r"permission denied|must be owner"), transaction.atomic():
                cursor.execute(sql)


def test_granting_again_changes_nothing(team: Team) -> None:
    call_command("migrate", verbosity=0)
