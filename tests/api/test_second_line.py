"""The second line of defence: where a query forgets the workspace, PostgreSQL remembers it for the web's role."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import access, policies, second_line
from accounts.models import Invitation, Letter, Secret, Workspace
from accounts.privileges import ROLES
from orchestrator_site.health import NotReady
from orchestrator_site.management.commands import doctor
from pipelines.models import Pipeline
from runs.models import Run
from tests.api import page_walks, walks
from tests.api.page_walks import PAGES
from tests.api.walks import CALLS
from tests.api.world import World, one_of_everything
from tests.people import a_team, signed_in_as
from tests.web_role import as_the_web

OF_NO_WORKSPACE = {
    "account_emailaddress",
    "account_emailconfirmation",
    "accounts_browsersession",
    "accounts_loginattempt",
    "accounts_user",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_session",
    "mfa_authenticator",
    "runs_hookattempt",
    "runs_spanexport",
    "socialaccount_socialaccount",
    "socialaccount_socialapp",
    "socialaccount_socialtoken",
}
"""Tables without rows of a workspace. Whoever adds one here says that no row of it belongs to anybody."""

SECURED = [model for model in apps.get_models() if model._meta.db_table in policies.wanted()]


def asked(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def counted(models: Iterable[type[Model]] = SECURED) -> dict[str, int]:
    return {model._meta.db_table: model._base_manager.count() for model in models}


# The tables


@pytest.mark.django_db
def test_every_table_belongs_to_a_workspace_or_is_named_here() -> None:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    assert tables - set(policies.wanted()) == OF_NO_WORKSPACE
    with connection.cursor() as cursor:
        assert policies.unsecured(cursor) == []
    forced = asked("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    assert {name for (name,) in forced} == set(policies.wanted())


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_the_roles_own_nothing_and_are_held_to_the_policies(role: str) -> None:
    assert asked("SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = %s", role) == [(0,)]
    assert asked("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = %s", role) == [(False, False)]


@pytest.mark.django_db
def test_a_table_that_lost_its_policy_gets_it_back_and_the_others_are_left_alone() -> None:
    before = asked("SELECT oid FROM pg_policy ORDER BY oid")
    with connection.cursor() as cursor:
        policies.secure(cursor)
        assert asked("SELECT oid FROM pg_policy ORDER BY oid") == before
        cursor.execute("DROP POLICY web_sees_one_workspace ON accounts_secret")
        cursor.execute("ALTER TABLE runs_run NO FORCE ROW LEVEL SECURITY")
        assert policies.unsecured(cursor) == ["accounts_secret", "runs_run"]
        policies.secure(cursor)
        assert policies.unsecured(cursor) == []


# What the roles see


def test_each_workspace_sees_its_own_rows_and_together_they_see_all(world: World) -> None:
    one_of_everything(world.team.elsewhere, world.team.charlie)
    every = counted()
    with as_the_web():
        with second_line.within(world.team.workspace.pk):
            here = counted()
        with second_line.within(world.team.elsewhere.pk):
            there = counted()
        with second_line.everywhere():
            assert counted() == every
        assert set(counted().values()) == {0}
    assert {table: here[table] + there[table] for table in every} == every
    assert here["accounts_workspace"] == there["accounts_workspace"] == 1
    assert sum(1 for table in every if 0 < here[table] < every[table]) > 30


def test_workers_see_every_row(world: World) -> None:
    every = counted()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE baton_worker")
        assert counted() == every


def test_nothing_can_be_written_into_another_workspace(world: World) -> None:
    one_of_everything(world.team.elsewhere, world.team.charlie)
    theirs = Run.objects.filter(workspace=world.team.elsewhere)
    assert theirs.exists()
    with as_the_web(), second_line.within(world.team.workspace.pk):
        assert theirs.update(number=1) == 0
        assert Secret.objects.filter(workspace=world.team.elsewhere).delete()[0] == 0
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Secret.objects.create(workspace=world.team.elsewhere, name="planted", ciphertext=b"x")
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Pipeline.objects.update(workspace=world.team.elsewhere)


def test_an_invitations_letter_is_its_workspaces_and_one_for_a_password_is_nobodys(world: World) -> None:
    made = Invitation.objects.create(
        workspace=world.team.elsewhere,
        email="eve@example.com",
        roles=["auditor"],
        invited_by=world.team.charlie,
        expires_at=timezone.now(),
    )
    Letter.objects.all().delete()
    Letter.objects.create(kind=Letter.Kind.INVITATION, email=made.email, invitation=made)
    with as_the_web():
        Letter.objects.create(kind=Letter.Kind.PASSWORD, email="dana@example.com")
        for workspace, seen in ((world.team.workspace, 1), (world.team.elsewhere, 2)):
            with second_line.within(workspace.pk):
                assert Letter.objects.count() == seen


def look_around_and_fail(place: AbstractContextManager[None], found: set[Workspace]) -> None:
    """See these workspaces there, in a transaction or savepoint that is then undone."""
    with suppress(ZeroDivisionError), transaction.atomic(), place:
        assert set(Workspace.objects.all()) == found
        1 / 0  # noqa: B018


def test_a_workspace_that_was_entered_in_a_transaction_ends_with_it_and_survives_a_savepoint(world: World) -> None:
    here, there = world.team.workspace, world.team.elsewhere
    with as_the_web():
        for workspace in (here, there):
            with transaction.atomic(), second_line.within(workspace.pk):
                look_around_and_fail(second_line.everywhere(), {here, there})
                assert Workspace.objects.get() == workspace
        assert not Workspace.objects.exists()


def test_a_workspace_is_said_once_in_a_transaction_and_again_after_what_may_have_undone_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = world.team.workspace, world.team.elsewhere
    said: list[str] = []
    execute = psycopg.Connection.execute

    def listened(raw: Any, sql: str, *rest: Any) -> Any:
        said.append(sql)
        return execute(raw, sql, *rest)

    with as_the_web(), transaction.atomic(), second_line.everywhere():
        assert set(Workspace.objects.all()) == {here, there}
        monkeypatch.setattr(psycopg.Connection, "execute", listened)
        with suppress(ZeroDivisionError), transaction.atomic():
            second_line.enter(here.pk)
            assert [Workspace.objects.get() for _ in range(3)] == [here] * 3
            assert len(said) == 1
            1 / 0  # noqa: B018
        assert Workspace.objects.get() == here  # the setting was again what it had been before the savepoint
        assert len(said) == 2


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_is_set_to_in_its_middle_shows_nobody_elses_rows() -> None:
    here, there = (Workspace.objects.create(slug=slug, name=slug) for slug in ("acme", "globex"))
    with as_the_web(), second_line.within(here.pk):
        assert Workspace.objects.get() == here
        with transaction.atomic():
            with second_line.within(there.pk):
                assert Workspace.objects.get() == there
                with connection.cursor() as cursor:
                    cursor.execute("set transaction read only")
            assert Workspace.objects.get() == here


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_used_for_one_workspace_shows_the_next_request_nothing_of_it() -> None:
    first, second = (Workspace.objects.create(slug=slug, name=slug) for slug in ("acme", "globex"))
    with as_the_web():
        second_line.enter(first.pk)
        assert Workspace.objects.get() == first
        second_line.leave()
        assert not Workspace.objects.exists()
        with second_line.within(second.pk):
            assert Workspace.objects.get() == second
        look_around_and_fail(second_line.within(first.pk), {first})
        assert not Workspace.objects.exists()


# The first line, taken away


def _anybodys(source: Any, actor: Any, *, through: str = "workspace") -> Any:
    """The rows of everybody, where those of a workspace were asked for."""
    return source if hasattr(source, "filter") else source._default_manager.all()


@pytest.fixture
def no_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.scoped, "__code__", _anybodys.__code__)


def test_without_a_second_line_the_missing_first_one_would_show(world: World, no_first_line: None) -> None:
    assert access.get(Run, access.actor_for(world.team.charlie), pk=world.here.run.pk) == world.here.run


def test_with_the_first_line_gone_no_route_answers_with_what_is_anothers(world: World, no_first_line: None) -> None:
    charlie = signed_in_as(world.team.charlie)
    for route in walks.reading_routes():
        answer = walks.call(charlie, route, world)
        if CALLS[route].names_something:
            assert answer.status_code == 404, route
        for thing, name in world.here.ids().items():
            assert f'"{name}"' not in answer.content.decode(), (route, thing)


def test_with_the_first_line_gone_no_page_shows_what_is_anothers(world: World, no_first_line: None) -> None:
    charlie = signed_in_as(world.team.charlie)
    for pattern in page_walks.pages(public=False, reads=True):
        if PAGES[pattern].names_something:
            assert page_walks.open_page(charlie, pattern, world.here.ids()).status_code == 404, pattern


# What is said of it


@pytest.mark.django_db
def test_the_doctor_says_whether_the_second_line_is_on(settings: Settings) -> None:
    assert doctor._second_line().startswith("on")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE runs_run DISABLE ROW LEVEL SECURITY")
    with pytest.raises(NotReady, match=r"runs_run.*manage\.py migrate"):
        doctor._second_line()
    settings.WEB_ACTS_AS_OWNER = True
    with pytest.raises(NotReady, match="second line of defence is off"):
        doctor._second_line()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/costs/", "/costs/speed/", "/costs/runs/", "/runs/", "/audit/", "/pipelines/"])
def test_pages_that_read_one_moment_are_shown_to_the_webs_role(path: str) -> None:
    """Outside of a test's transaction, where the first statement of a page's own says what kind it is."""
    team = a_team()
    manager = signed_in_as(team.carol if path.startswith("/costs") else team.dana)
    with as_the_web():
        assert manager.get(path).status_code == 200
        assert manager.get(path).status_code == 200
