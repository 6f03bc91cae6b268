"""The web and the workers with logins of their own: they do their work, and nothing leads from them to the owner."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from accounts import logins
from accounts.roles import Scope
from orchestrator_site.embedded.postgres import OWNER
from orchestrator_site.processes import Child, Program
from runs.models import Run
from tests.conftest import ROOT, database_url, free_port, wait_for
from tests.faults.own import OwnDatabase
from tests.faults.stage import NOBODY_DIES, Stage
from tests.people import bearer, signed_in_as
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
def web(given: None, tmp_path: Path) -> Iterator[str]:
    """Return the address of a web server that has no other login than its own."""
    port = free_port()
    told = {
        "DATABASE_URL": url_of("baton_web"),
        "PORT": str(port),
        "BATON_BASE_URL": f"http://127.0.0.1:{port}",
        "SECRET_KEY": settings.SECRET_KEY,
        "PYTHONWARNINGS": "ignore",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "",
    }
    log = tmp_path / "web.log"
    child = Child(Program("web", [sys.executable, "-m", "orchestrator_site.web"], env=told, cwd=ROOT, log=log))
    child.start()
    wait_for(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), 60, log.read_text)
    yield f"http://127.0.0.1:{port}"
    child.stop(grace=10)


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    except OSError:
        return False


def asked(url: str, headers: dict[str, str], body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


def test_a_web_server_and_a_worker_with_logins_of_their_own_do_all_their_work(
    web: str, its_stage: Stage, own_database: OwnDatabase
) -> None:
    its_stage.worker("w1", **NOBODY_DIES, DATABASE_URL=url_of("baton_worker"))
    pipeline = its_stage.chain(2, 0)
    token = bearer(its_stage.composer.user, its_stage.team.workspace, *Scope)
    body = {"input": {"run": "r1"}}
    started = json.loads(asked(f"{web}/api/v1/pipelines/{pipeline.slug}/runs", token, body))
    run = its_stage.wait(Run.objects.get(pk=started["id"]))
    assert run.state == "succeeded", its_stage.explain(run)
    session = signed_in_as(its_stage.composer.user).cookies[settings.SESSION_COOKIE_NAME].value
    page = asked(f"{web}/runs/{run.pk}/", {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"})
    assert pipeline.name in page
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
