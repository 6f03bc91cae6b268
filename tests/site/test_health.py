"""Readiness names what is missing."""

import asyncio
from typing import Any

import pytest
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections
from django.test import AsyncClient
from kombu import Connection
from pytest_django.fixtures import Settings

from accounts import logins
from orchestrator_site import health
from orchestrator_site.management.commands import doctor
from runs.models import SpanExport


def test_alive_needs_nothing(client: Any) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_a_migration_that_was_not_applied_is_named() -> None:
    health.check_migrations()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'runs' AND name LIKE '0001%'")
    with pytest.raises(health.NotReady, match=r"runs\.0001_initial.*manage\.py migrate"):
        health.check_migrations()


def test_a_broker_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Connection("redis://127.0.0.1:1/0")
    monkeypatch.setattr(current_app, "connection_for_write", lambda: away)
    with pytest.raises(health.NotReady, match="The broker does not answer"):
        health.check_broker()


async def test_all_who_ask_within_two_seconds_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def find() -> dict[str, str]:
        looks.append("look")
        return {"worker": "away"}

    monkeypatch.setattr(health, "find_problems", find)
    ask = AsyncClient().get
    answers = await asyncio.gather(*(ask("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    assert len(looks) == 1
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    health._readiness._fresh_until = 0.0
    await ask("/readyz")
    assert len(looks) == 2


def test_the_doctor_lists_every_check_and_fails_when_one_does(
    transactional_db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "ok     database: PostgreSQL" in said
    assert "ok     database roles: baton_web and baton_worker" in said
    assert "ok     second line: on" in said
    assert "ok     logins: no process that is connected can become the owner" in said
    assert "ok     broker" in said
    assert "WRONG  worker: No worker answered" in said
    assert "ok     collector: no collector is set" in said
    assert "ok     log server: none is set" in said
    assert "ok     scanner: none is set" in said
    assert "ok     content policy: no browser reported a violation within 7 days" in said
    assert "1 of 15 need your attention." in said


@pytest.mark.django_db
def test_the_doctor_says_that_a_collector_takes_nothing_and_what_it_said(settings: Settings) -> None:
    settings.OTLP_ENDPOINT = "http://collector:4318"
    assert "from the next minute on" in doctor._collector()
    state = SpanExport.objects.create(name="otlp", position=0, sent=1_200, refused=3)
    assert doctor._collector() == "http://collector:4318 took 1,200 spans, refused 3 for good; 0 wait"
    SpanExport.objects.filter(pk=state.pk).update(failures=2, error="It answered 401.")
    with pytest.raises(health.NotReady, match=r"does not take spans.*It said: It answered 401"):
        doctor._collector()


@pytest.mark.django_db
def test_the_doctor_wants_a_login_for_each_process_in_production(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGAPPNAME", logins.WEB_NAME)
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        (owner,) = cursor.fetchone()
    beside = connections.create_connection("default")
    try:
        beside.ensure_connection()
        assert doctor._logins().startswith(f"baton web connects as {owner}, who owns the tables")
        settings.PRODUCTION = True
        with pytest.raises(health.NotReady, match=rf"baton web connects as {owner}: whoever.*operator\.md"):
            doctor._logins()
    finally:
        beside.close()


@pytest.mark.django_db
@pytest.mark.parametrize("by", ["address", "environment"])
def test_the_doctor_finds_a_process_that_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setenv("PGAPPNAME", "reports" if by == "environment" else "")
    if by == "address":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "application_name", "reports")
    for _ in range(2):
        logins.name_process(logins.WORKER_NAME)
    beside = connections.create_connection("default")
    try:
        beside.ensure_connection()
        assert doctor._logins().startswith("baton worker, reports connects as ")
    finally:
        beside.close()


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["long enough to be one", None])
def test_an_owner_who_may_not_give_logins_says_what_a_superuser_has_to(password: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE pg_monitor")
    with pytest.raises(ImproperlyConfigured, match=r"As a superuser: ALTER ROLE baton_web LOGIN PASSWORD"):
        logins.give("baton_web", password)
