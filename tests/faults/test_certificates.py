"""Everybody signs in to database and broker by a certificate: they do their work, and no password is anywhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.db import connection

from accounts.roles import Scope
from orchestrator_site.embedded.postgres import OWNER
from runs.models import Run
from tests.authority import Authority, Issued
from tests.conftest import ROOT, wait_for
from tests.faults.conftest import open_folder
from tests.faults.sealed import SealedBroker, SealedDatabase
from tests.faults.serving import WebServer
from tests.faults.stage import NOBODY_DIES, Stage
from tests.people import bearer
from tests.site.test_settings import SOUND

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
LOGINS = (OWNER, "baton_web", "baton_worker")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shown(authority: Authority) -> dict[str, Issued]:
    """Return a certificate for each login."""
    return {login: authority.issue(login) for login in LOGINS}


@pytest.fixture
def own_database(transactional_db: None, authority: Authority) -> Iterator[SealedDatabase]:
    database = SealedDatabase(open_folder("baton-database-"), authority)
    yield database
    database.remove()


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[SealedBroker]:
    broker = SealedBroker(tmp_path, authority)
    yield broker
    broker.stop()


@pytest.fixture
def told(own_database: SealedDatabase, broker: SealedBroker, shown: dict[str, Issued]) -> dict[str, dict[str, str]]:
    """Return what each login's process is told of where the services are."""
    return {
        login: {"DATABASE_URL": own_database.url(login, mine), **broker.environment(mine)}
        for login, mine in shown.items()
    }


@pytest.fixture
def prepared(own_database: SealedDatabase, told: dict[str, dict[str, str]]) -> None:
    """Prepare the database as an operator does whose logins had passwords before."""
    with connection.cursor() as cursor:
        for login in LOGINS[1:]:
            cursor.execute(f"ALTER ROLE {login} LOGIN PASSWORD 'of before'")
    production = {**SOUND, "BATON_ENV": "production", "BATON_DATABASE_LOGINS": "certificate"}
    done = as_the_owner("-m", "orchestrator_site.prepare", **told[OWNER], **production)
    assert done.returncode == 0, done.stderr


def as_the_owner(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.usefixtures("prepared")
def test_everybody_signs_in_by_certificate_and_no_password_is_anywhere(
    its_stage: Stage, told: dict[str, dict[str, str]], broker: SealedBroker, tmp_path: Path
) -> None:
    assert [urlsplit(url).password for one in told.values() for url in one.values()] == [None] * 9
    its_stage.worker("w1", **NOBODY_DIES, **told["baton_worker"])
    web = WebServer(tmp_path, **_without(told["baton_web"]), database=told["baton_web"]["DATABASE_URL"])
    try:
        pipeline = its_stage.chain(2, 0)
        token = bearer(its_stage.composer.user, its_stage.team.workspace, *Scope)
        started = web.post(f"/pipelines/{pipeline.slug}/runs", token, {"input": {"run": "r1"}})
        run = its_stage.wait(Run.objects.get(pk=started["id"]))
        assert run.state == "succeeded", its_stage.explain(run)
        assert pipeline.name in web.page(f"/runs/{run.pk}/", its_stage.composer.user)
        assert who_is_connected() == {(login, f"/CN={login}") for login in LOGINS[1:]}
        wait_for(lambda: web.get("/pipelines", token) and "baton:rate:" in " ".join(broker.keys(0)), 30)
        said = as_the_owner("manage.py", "doctor", **told[OWNER]).stdout
    finally:
        web.stop()
    assert any(key.startswith("_kombu.binding.") for key in broker.keys(1)), "the worker listens elsewhere"
    for line in ("broker: rediss", "channel layer: answers", "worker: answers", "logins: no process"):
        assert f"ok     {line}" in said, said


def _without(told: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in told.items() if name != "DATABASE_URL"}


def who_is_connected() -> set[tuple[str, str]]:
    """Return the login of each process that came over the network, and whom its certificate names."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_authid WHERE rolname LIKE 'baton\\_%' AND rolpassword IS NOT NULL")
        assert cursor.fetchone() == (0,), "a password of before is left"
        cursor.execute("SELECT usename, client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE ssl")
        return {(login, name) for login, name in cursor.fetchall()}


@pytest.mark.usefixtures("prepared")
def test_without_the_right_certificate_nobody_gets_in(
    own_database: SealedDatabase, broker: SealedBroker, shown: dict[str, Issued], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere").issue("baton_web")
    for certificate, why in (
        (None, "requires a valid client certificate"),
        (shown["baton_worker"], 'certificate authentication failed for user "baton_web"'),
        (stranger, "unknown ca|SSL error|closed the connection"),
    ):
        with pytest.raises(psycopg.OperationalError, match=why):
            psycopg.connect(own_database.url("baton_web", certificate), password="of before")
    psycopg.connect(own_database.url("baton_web", shown["baton_web"])).close()
    for certificate in (None, stranger):
        with pytest.raises((redis.RedisError, OSError)), redis.Redis.from_url(broker.url(0, certificate)) as client:
            client.ping()
    with redis.Redis.from_url(broker.url(0, shown["baton_web"])) as client:
        assert client.ping()
