"""What every answer says and what none takes, in production above all."""

import json
from typing import Any

import pytest
from django.test import Client

from orchestrator_site import health
from tests.people import Team, a_team, bearer, signed_in_as
from tests.site.test_settings import SOUND, manage


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


def test_in_production_every_cookie_is_of_this_host_and_of_https_alone() -> None:
    done = manage("diffsettings --all", **SOUND)
    assert done.returncode == 0, done.stderr
    said = dict(line.partition(" = ")[::2] for line in done.stdout.replace("### ", "").splitlines())
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "THEME_COOKIE"):
        assert said[name].startswith("'__Host-"), name
    assert (said["SESSION_COOKIE_SECURE"], said["CSRF_COOKIE_SECURE"], said["SESSION_COOKIE_HTTPONLY"]) == ("True",) * 3
    assert "session.SessionStorage" in said["MESSAGE_STORAGE"], "no message stands in a cookie"


@pytest.mark.parametrize(
    "path", ["/", "/people/", "/runs/", "/audit.csv", "/api/v1/runs", "/login/", "/healthz", "/no"]
)
def test_no_answer_is_kept_by_a_browser_or_on_the_way(team: Team, path: str) -> None:
    assert "no-store" in signed_in_as(team.dana).get(path)["Cache-Control"]


def test_signing_out_empties_what_the_browser_kept(team: Team) -> None:
    assert signed_in_as(team.alice).post("/logout/")["Clear-Site-Data"] == '"storage"'


@pytest.mark.parametrize("path", ["/", "/login/", "/password/forgot/", "/api/v1/runs", "/healthz"])
def test_nobody_traces(team: Team, path: str) -> None:
    assert signed_in_as(team.alice).generic("TRACE", path).status_code == 405


@pytest.mark.parametrize("path", ["/api/v1/runs", "/mcp", "/hooks/orders"])
def test_a_program_that_speaks_in_the_clear_is_refused_and_a_person_led_on(
    team: Team, settings: Any, path: str
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    for sent in (bearer(team.alice, team.workspace), {}):
        answer = Client().post(path, {}, "application/json", headers={**sent, "Accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (403, "https_needed")
    led = Client().get("/login/")
    assert (led.status_code, led["Location"]) == (301, "https://testserver/login/")


def test_only_the_machine_itself_is_told_in_words_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    words = {"database": "The database does not answer: connection to 10.0.0.5 as baton failed"}
    monkeypatch.setattr(health, "find_problems", lambda: words)
    assert client.get("/readyz").json()["problems"] == words
    for outside in (Client(REMOTE_ADDR="198.51.100.7"), Client(headers={"X-Forwarded-For": "198.51.100.7"})):
        answer = outside.get("/readyz")
        assert (answer.status_code, answer.json()["problems"]) == (503, {"database": ""})
        assert "10.0.0.5" not in json.dumps(answer.json())
