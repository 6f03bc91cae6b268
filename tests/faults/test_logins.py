"""The web and the workers with logins of their own: they do their work, and nothing leads from them to the owner."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection

from accounts import logins
from accounts.roles import Scope
from orchestrator_site.embedded.postgres import OWNER
from runs.models import Run
from tests.conftest import ROOT, database_url, wait_for
from tests.faults.own import OwnDatabase
from tests.faults.serving import WebServer
from tests.faults.stage import NOBODY_DIES, Stage
from tests.people import bearer
from tests.site.test_settings import SOUND

PASSWORDS = {"baton_web": "the web's own, and long", "baton_worker": "the workers' own, and long"}
SETTINGS = {
    "BATON_WEB_DATABASE_PASSWORD": PASSWORDS["baton_web"],
    "BATON_WORKER_DATABASE_PASSWORD": PASSWORDS["baton_worker"],
}
pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def url_of(role: str, password: str = "") -> str:
    parts = urlsplit(database_url())
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password or PASSWORDS[role])}@"))


@pytest.fixture
def given(own_database: OwnDatabase) -> None:
    """Prepare the database as an operator does, on a server that asks everybody for a password and logs everything."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
        cursor.execute("SELECT pg_reload_conf()")
    told = {**SOUND, "BATON_ENV": "production", "DATABASE_URL": database_url(), **SETTINGS}
    command = [sys.executable, "-m", "orchestrator_site.prepare"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def web(given: None, tmp_path: Path) -> Iterator[WebServer]:
    """A web server that has no other login than its own."""
    server = WebServer(tmp_path, url_of("baton_web"))
    yield server
    server.stop()


def test_a_web_server_and_a_worker_with_logins_of_their_own_do_all_their_work(
    web: WebServer, its_stage: Stage, own_database: OwnDatabase
) -> None:
    its_stage.worker("w1", **NOBODY_DIES, DATABASE_URL=url_of("baton_worker"))
    pipeline = its_stage.chain(2, 0)
    token = bearer(its_stage.composer.user, its_stage.team.workspace, *Scope)
    started = web.post(f"/pipelines/{pipeline.slug}/runs", token, {"input": {"run": "r1"}})
    run = its_stage.wait(Run.objects.get(pk=started["id"]))
    assert run.state == "succeeded", its_stage.explain(run)
    assert pipeline.name in web.page(f"/runs/{run.pk}/", its_stage.composer.user)
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT application_name, usename FROM pg_stat_activity WHERE usename LIKE 'baton\\_%'")
        assert set(cursor.fetchall()) == {(logins.WEB_NAME, "baton_web"), (logins.WORKER_NAME, "baton_worker")}
    assert logins.as_the_owner() == []


def test_a_process_that_signs_in_as_the_owner_is_named(its_stage: Stage) -> None:
    its_stage.worker("w1", **NOBODY_DIES)
    wait_for(lambda: logins.as_the_owner() == [(logins.WORKER_NAME, OWNER)], 20, its_stage.logs)


UPWARDS = (
    f"SET ROLE {OWNER}",
    f"SET SESSION AUTHORIZATION {OWNER}",
    "CREATE TABLE of_theirs (id int)",
    "CREATE FUNCTION of_theirs() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE runs_run ADD COLUMN of_theirs int",
    "ALTER TABLE runs_run DISABLE ROW LEVEL SECURITY",
    "DROP POLICY web_sees_one_workspace ON runs_run",
    "TRUNCATE runs_run",
    "DELETE FROM accounts_auditentry",
    "SELECT rolpassword FROM pg_authid",
    f"ALTER ROLE {OWNER} PASSWORD 'theirs'",
    "ALTER ROLE {self} SUPERUSER",
    "ALTER ROLE {self} BYPASSRLS",
    "CREATE ROLE theirs",
    "COPY runs_run TO PROGRAM 'cat'",
)


@pytest.mark.usefixtures("given")
def test_nothing_leads_from_a_login_to_the_owner(its_stage: Stage, own_database: OwnDatabase) -> None:
    its_stage.start(its_stage.chain(1, 0))
    for role, other in (("baton_web", "baton_worker"), ("baton_worker", "baton_web")):
        with psycopg.connect(url_of(role), autocommit=True) as there:
            for back in ("RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"):
                there.execute(back)
                assert there.execute("SELECT current_user, session_user").fetchone() == (role, role)
            for statement in (*UPWARDS, f"SET ROLE {other}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    there.execute(statement.replace("{self}", role))
    with psycopg.connect(database_url(), options="-c role=baton_web", autocommit=True) as there:
        there.execute("SET ROLE NONE")  # what the login of one's own rules out
        assert there.execute("SELECT current_user").fetchone() == (OWNER,)


@pytest.mark.usefixtures("given")
def test_the_webs_login_sees_the_rows_of_the_workspace_that_it_is_told_of(its_stage: Stage) -> None:
    its_stage.start(its_stage.chain(1, 0))
    team = its_stage.team
    with psycopg.connect(url_of("baton_web"), autocommit=True) as there:
        seen = {}
        for place in ("", str(team.elsewhere.pk), str(team.workspace.pk)):
            there.execute("SELECT set_config('baton.workspace', %s, false)", [place])
            seen[place] = there.execute("SELECT count(*) FROM runs_run").fetchone()
        assert list(seen.values()) == [(0,), (0,), (1,)]


@pytest.mark.usefixtures("given")
def test_a_password_is_asked_for_and_reaches_the_log_of_no_server(own_database: OwnDatabase) -> None:
    for role, password in PASSWORDS.items():
        psycopg.connect(url_of(role)).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url_of(role, "a guess"))
        said = own_database.log.read_text()
        assert f'ALTER ROLE "{role}" LOGIN PASSWORD \'SCRAM-SHA-256$' in said
        assert password not in said
        assert password.replace("'", "''") not in said
