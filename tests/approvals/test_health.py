"""The figures of approval health, the log of decisions, and a sheet in which nothing is a formula."""

import csv
import io
import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from accounts.roles import Role
from accounts.sheets import cell
from approvals import counted, decision_log, services
from approvals.decision_log import Wanted
from approvals.health import health
from approvals.models import Approval
from approvals.policy import Decision
from tests.approvals.builders import Desk, a_desk, a_run, an_approval, approve, fall_due
from tests.people import a_member, acting, signed_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def aged(approval: Approval, seconds: float) -> Approval:
    """Make a question this much older."""
    Approval.objects.filter(pk=approval.pk).update(created_at=timezone.now() - timedelta(seconds=seconds))
    return approval


def test_the_median_wait_is_of_what_people_answered_in_the_period(desk: Desk) -> None:
    bob = desk.actor("bob")
    for seconds in (60, 120, 600):
        approval = aged(an_approval(desk.run), seconds)
        services.decide(bob, approval.pk, approve(approval))
    aged(an_approval(desk.run), 9_000)
    found = health(bob, 7)
    assert found.median == pytest.approx(120, abs=20)
    assert found.slowest == pytest.approx(552, abs=20)
    assert found.oldest == pytest.approx(9_000, abs=20)
    assert (found.open, found.answered, found.rejected, found.expired) == (1, 3, 0, 0)


def test_what_is_overdue_is_counted_apart_from_what_is_due_soon(desk: Desk) -> None:
    fall_due(an_approval(desk.run))
    an_approval(desk.run, expires=600)
    an_approval(desk.run, expires=90_000)
    found = health(desk.actor("erin"))
    assert (found.open, found.overdue, found.soon) == (3, 1, 1)


def test_load_is_what_a_person_holds_and_what_they_answered(desk: Desk) -> None:
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    claimed, handed, done = an_approval(desk.run), an_approval(desk.run), aged(an_approval(desk.run), 100)
    services.claim(bob, claimed.pk)
    services.assign(bob, handed.pk, "ben@example.com")
    services.claim(ben, handed.pk)
    services.decide(bob, done.pk, Decision("reject", done.payload_hash, reason="No."))
    loads = {load.person.email: (load.holds, load.answered) for load in health(bob).people}
    assert loads == {"bob@example.com": (1, 1), "ben@example.com": (1, 0)}
    assert [round(load.median, -1) for load in health(bob).people if load.median] == [100]


def test_health_is_of_one_workspace_and_takes_as_many_queries_for_many_as_for_one(
    desk: Desk, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        approval = an_approval(a_run(desk.team.workspace, desk.team.alice))
        services.decide(desk.actor("bob"), approval.pk, approve(approval))
    bob = desk.actor("bob")
    with django_assert_num_queries(7):
        found = health(bob)
    assert len(found.places) == 5
    strange = health(desk.actor("charlie"))
    assert (strange.open, strange.answered, strange.people, strange.places) == (0, 0, [], [])
    assert strange.median is None


def test_the_log_is_narrowed_by_person_decision_pipeline_and_day(desk: Desk) -> None:
    ben = acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    other = a_run(desk.team.workspace, desk.team.alice)
    first, second = an_approval(desk.run), an_approval(other)
    services.decide(desk.actor("bob"), first.pk, approve(first))
    services.decide(ben, second.pk, Decision("reject", second.payload_hash, reason="No."))

    def logged(**asked: str) -> list[Approval]:
        return [record.approval for record in decision_log.decisions(desk.actor("erin"), Wanted.read(asked))]

    today = timezone.now().date()
    assert logged() == [second, first]
    assert logged(by="BOB@example.com") == [first]
    assert logged(decision="reject") == [second]
    assert logged(decision="nonsense", since="yesterday") == [second, first]
    assert logged(pipeline=other.pipeline.slug) == [second]
    assert logged(since=str(today - timedelta(days=1)), until=str(today + timedelta(days=1))) == [second, first]
    assert logged(until=str(today - timedelta(days=2))) == []
    assert not decision_log.decisions(desk.actor("charlie"), Wanted()).exists()


def test_a_day_of_the_log_is_a_day_of_the_workspace(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    with connection.cursor() as cursor:
        cursor.execute("set local session_replication_role = replica")
        cursor.execute("update approvals_decisionrecord set at = '2026-03-01 23:30:00+00'")
    desk.team.workspace.zone = "Asia/Tokyo"
    desk.team.workspace.save()
    erin = desk.actor("erin")
    assert not decision_log.decisions(erin, Wanted(since="2026-03-01", until="2026-03-01")).exists()
    assert decision_log.decisions(erin, Wanted(since="2026-03-02", until="2026-03-02")).exists()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1+1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_other_cells_are_as_they_are() -> None:
    assert [cell(value) for value in (None, "", "a=b", 12, True)] == ["", "", "a=b", "12", "True"]


def test_the_sheet_holds_the_log_and_no_formula(desk: Desk) -> None:
    approval = an_approval(desk.run, title="=HYPERLINK(0)")
    reason = "=cmd|' /C calc'!A0, \"then\"\nnext"
    services.decide(desk.actor("bob"), approval.pk, Decision("reject", approval.payload_hash, reason=reason))
    for address in ("/approvals/decisions.csv", "/api/v1/decisions?format=csv"):
        answer = signed_in_as(desk.team.erin).get(address)
        text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
        columns, line = csv.reader(io.StringIO(text, newline=""))
        told = dict(zip(columns, line, strict=True))
        assert told["reason"] == f"'{reason}"
        assert told["title"] == "'=HYPERLINK(0)"
        assert (told["by"], told["decision"], told["approval"]) == ("bob@example.com", "reject", str(approval.pk))
        assert "attachment" in answer["Content-Disposition"]
    strange = signed_in_as(desk.team.charlie).get("/approvals/decisions.csv")
    assert b"".join(strange.streaming_content).count(b"\n") == 1  # type: ignore[attr-defined]


def test_the_pages_say_the_figures_and_the_log(desk: Desk) -> None:
    approval = aged(an_approval(desk.run), 125)
    services.decide(desk.actor("bob"), approval.pk, Decision("reject", approval.payload_hash, reason="<b>No</b>"))
    browser = signed_in_as(desk.team.carol)
    assert "2 m 0" in browser.get("/approvals/health/?days=7").content.decode()
    page = browser.get("/approvals/decisions/?decision=reject").content.decode()
    assert "&lt;b&gt;No&lt;/b&gt;" in page
    assert "No such decision" in browser.get("/approvals/decisions/?decision=approve").content.decode()
    assert "&lt;b&gt;" not in signed_in_as(desk.team.charlie).get("/approvals/decisions/").content.decode()


def test_the_api_says_health_the_log_and_an_outcome_per_item_of_a_bulk(desk: Desk) -> None:
    action = {"tool": "notes.append@1", "effect": "reversible"}
    note = an_approval(desk.run, action=action, payload={"tool": "notes.append@1", "args": {"text": "x"}})
    mail = an_approval(desk.run)
    items = [{"id": str(one.pk), "payload_hash": one.payload_hash} for one in (note, mail)]
    browser = signed_in_as(desk.team.bob)
    asked = {"decision": "approve", "items": items}
    answer = browser.post("/api/v1/approvals/bulk", asked, content_type="application/json")
    done, refused = answer.json()["items"]
    assert done == {"id": str(note.pk), "state": "approved"}
    assert (refused["state"], refused["code"]) == (None, "not_for_bulk")
    [logged] = browser.get("/api/v1/decisions").json()["items"]
    assert (logged["by"], logged["tool"]) == ("bob@example.com", "notes.append@1")
    figures = browser.get("/api/v1/approvals/health?days=1").json()
    assert (figures["answered"], figures["open"]) == (1, 1)
    assert figures["people"][0]["by"] == "bob@example.com"


ADDRESS = "/approvals/health/questions/"
_NUMBER = re.compile(r'href="(/approvals/health/questions/[^"]+)" data-count="(\d+)"')


def test_every_number_of_health_leads_to_the_questions_that_it_counts(desk: Desk) -> None:
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    other = a_run(desk.team.workspace, desk.team.alice)
    for run, actor in ((desk.run, bob), (desk.run, ben), (other, bob)):
        approval = aged(an_approval(run), 100)
        services.decide(actor, approval.pk, approve(approval))
        refused = an_approval(run)
        services.decide(actor, refused.pk, Decision("reject", refused.payload_hash, reason="No."))
        services.claim(actor, an_approval(run, expires=600).pk)
    fall_due(an_approval(other))
    Approval.objects.filter(pk=an_approval(other).pk).update(state="expired", decided_at=timezone.now())
    long_ago = aged(an_approval(desk.run), 40 * 86_400)
    browser = signed_in_as(desk.team.erin)
    page = browser.get("/approvals/health/").content.decode()
    seen = {unescape(href): int(number) for href, number in _NUMBER.findall(page)}
    asked_of = {dict(parse_qsl(urlsplit(href).query))["figure"] for href in seen}
    assert asked_of == {*counted.STANDING, "answered", "rejected", "expired", *counted.OF_A_PLACE, *counted.OF_A_PERSON}
    for href, number in seen.items():
        text = browser.get(href).content.decode()
        assert f'data-total="{number}"' in text, href
        assert text.count('data-part="1"') == number, href
    strange = signed_in_as(desk.team.charlie).get(next(href for href in seen if "figure=open" in href))
    assert 'data-total="0"' in strange.content.decode()
    assert long_ago.title in browser.get("/approvals/health/questions/?figure=open").content.decode()


def test_the_questions_that_a_number_counts_go_on_over_pages(desk: Desk) -> None:
    for _ in range(53):
        an_approval(desk.run)
    browser, address, met = signed_in_as(desk.team.erin), "/approvals/health/questions/?figure=open", 0
    while address:
        text = browser.get(address).content.decode()
        met += text.count('data-part="1"')
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = unescape(following[1]) if following else ""
    assert met == 53


def test_who_sees_no_content_counts_the_decisions_that_they_may_read(desk: Desk) -> None:
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    desk.team.workspace.without_content = [Role.MANAGER]
    desk.team.workspace.save(update_fields=["without_content"])
    assert [load.answered for load in health(desk.actor("erin")).people] == [1]
    assert health(desk.actor("carol")).people == []


@pytest.mark.parametrize("since", ["soon", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_moment_that_is_none_is_refused_by_name(desk: Desk, since: str) -> None:
    answer = signed_in_as(desk.team.erin).get(ADDRESS, {"figure": "answered", "since": since})
    assert answer.status_code == 422
    assert "is a moment" in answer.content.decode()


def test_an_offset_finer_than_the_database_reads_is_a_moment_all_the_same(desk: Desk) -> None:
    given = {"figure": "answered", "since": "2026-11-20T14:00:00+05:00:00.000001"}
    assert signed_in_as(desk.team.erin).get(ADDRESS, given).status_code == 200
