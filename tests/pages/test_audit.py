"""The audit log as auditors and admins read it."""

import csv
import io
from typing import Any

import pytest
from django.db import connection

from accounts import audit
from accounts.models import AuditEntry
from tests.pages.builders import HOSTILE
from tests.people import Team, a_team, signed_in_as

pytestmark = pytest.mark.django_db
LOG = "/audit/"


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def log(team: Team) -> Team:
    audit.record(team.workspace, team.alice, "trigger_added", "orders", {"kind": "webhook"})
    audit.record(team.workspace, team.dana, "secret_written", "crm")
    audit.record(team.workspace, team.dana, "trigger_changed", "orders", {"enabled": False})
    audit.record(team.elsewhere, team.charlie, "trigger_added", "theirs")
    return team


def acts(answer: Any) -> list[str]:
    return [entry.action for entry, _ in answer.context["lines"]]


def test_an_auditor_narrows_the_log_by_who_what_and_when(log: Team) -> None:
    erin = signed_in_as(log.erin)
    assert acts(erin.get(LOG)) == ["trigger_changed", "secret_written", "trigger_added"]
    for asked, found in (
        ({"who": "alice"}, ["trigger_added"]),
        ({"what": "trigger"}, ["trigger_changed", "trigger_added"]),
        ({"what": "orders", "who": "dana@example.com"}, ["trigger_changed"]),
        ({"since": "2150-01-01"}, []),
        ({"until": "2001-01-01"}, []),
        ({"since": "soon"}, ["trigger_changed", "secret_written", "trigger_added"]),
    ):
        assert acts(erin.get(LOG, asked)) == found, asked
    assert "theirs" not in erin.get(LOG).content.decode()


def test_older_entries_are_a_page_further_whatever_was_added_meanwhile(team: Team) -> None:
    for number in range(60):
        audit.record(team.workspace, team.dana, f"act_{number}")
    erin = signed_in_as(team.erin)
    first = erin.get(LOG, {"who": "dana"})
    audit.record(team.workspace, team.dana, "act_late")
    second = erin.get(LOG, {"who": "dana", "cursor": first.context["next"]})
    assert [*acts(first), *acts(second)] == [f"act_{number}" for number in reversed(range(60))]
    assert second.context["next"] is None


def test_the_chain_is_checked_when_somebody_asks_and_a_broken_entry_is_named(log: Team) -> None:
    dana = signed_in_as(log.dana)
    assert dana.get(LOG).context["state"] is None
    whole = dana.get(LOG, {"check": "1"}).content.decode()
    assert "3 entries, whole" in whole
    assert audit.head(log.workspace)[1] in whole
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE accounts_auditentry SET actor = 'bob' WHERE workspace_id = %s AND seq = 2", [log.workspace.pk]
        )
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    broken = dana.get(LOG, {"check": "1"}).content.decode()
    assert "Entry 2 is not as it was written" in broken


def test_others_see_neither_the_page_nor_the_way_to_it(log: Team) -> None:
    assert LOG in signed_in_as(log.erin).get("/").content.decode()
    for person in (log.alice, log.bob, log.carol):
        client = signed_in_as(person)
        assert [client.get(path).status_code for path in (LOG, "/audit.csv")] == [403, 403]
        assert f'href="{LOG}"' not in client.get("/").content.decode()


def test_the_sheet_says_the_same_and_holds_no_formula(log: Team) -> None:
    audit.record(log.workspace, log.dana, "secret_written", "=1+1", {"a": [1]})
    answer = signed_in_as(log.erin).get("/audit.csv", {"who": "dana"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))  # type: ignore[call-overload]
    assert [row["action"] for row in rows] == ["secret_written", "trigger_changed", "secret_written"]
    assert (rows[0]["target"], rows[0]["data"]) == ("'=1+1", '{"a":[1]}')
    newest = AuditEntry.objects.filter(workspace=log.workspace).latest("seq")
    assert rows[0]["hash"] == bytes(newest.hash).hex()


def test_what_others_wrote_is_shown_as_text(log: Team) -> None:
    audit.record(log.workspace, log.dana, "noted", HOSTILE, {"said": HOSTILE})
    page = signed_in_as(log.erin).get(LOG).content.decode()
    assert HOSTILE not in page


def test_an_entry_about_a_question_leads_to_it(team: Team) -> None:
    question = "9e34cb45-f16e-5eb6-bbdc-7253b3956d18"
    audit.record(team.workspace, team.bob, "approval.approved", question)
    audit.record(team.workspace, team.bob, "approval.moved", "no question")
    page = signed_in_as(team.erin).get(LOG).content.decode()
    assert f'href="/approvals/{question}/"' in page
    assert 'href="/approvals/no' not in page
