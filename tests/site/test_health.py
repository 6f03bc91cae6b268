"""Readiness names what is missing."""

from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connection
from kombu import Connection

from orchestrator_site import health


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


def test_the_doctor_lists_every_check_and_fails_when_one_does(
    no_live_stack: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "ok     database: PostgreSQL" in said
    assert "ok     database roles: baton_web and baton_worker" in said
    assert "ok     broker" in said
    assert "WRONG  worker: No worker answered" in said
    assert "1 of 9 need your attention." in said
