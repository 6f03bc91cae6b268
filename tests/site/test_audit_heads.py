"""Each day's heads of the audit chains leave for where nobody changes them, and show later what was cut off."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import audit, seals
from accounts.models import AuditHead
from orchestrator_site import head_sending
from tests.people import Team, a_team

pytestmark = pytest.mark.django_db


class Keeper:
    """A server of somebody else's that is sent heads; `status` is what it answers."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.status = 204
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                keeper.taken.append((body, self.headers["X-Baton-Signature"]))
                self.send_response(keeper.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/heads"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def keeper(settings: Any) -> Iterator[Keeper]:
    made = Keeper()
    settings.AUDIT_HEADS = made.url
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def team(db: None) -> Team:
    team = a_team()
    for number in range(3):
        audit.record(team.workspace, team.dana, f"act_{number}")
    audit.record(team.elsewhere, team.charlie, "act")
    return team


def test_without_a_place_nothing_is_noted(team: Team) -> None:
    head_sending.keep()
    assert not AuditHead.objects.exists()


def test_each_head_is_sent_once_a_day_with_a_signature_that_holds(team: Team, keeper: Keeper) -> None:
    for _ in range(2):
        head_sending.keep()
        audit.record(team.workspace, team.dana, "later")
    [(body, signature)] = keeper.taken
    assert seals.is_signed(body, bytes.fromhex(signature), seals.public_key())
    sent = {head["workspace"]: head for head in json.loads(body)["heads"]}
    assert {slug: head["seq"] for slug, head in sent.items()} == {"acme": 3, "globex": 1}
    AuditHead.objects.update(day="2020-01-01")
    head_sending.keep()
    assert [head["seq"] for head in json.loads(keeper.taken[1][0])["heads"]] == [5, 1]


def test_what_was_not_taken_is_sent_again(team: Team, keeper: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    keeper.status = 500
    head_sending.keep()
    assert "were not taken: HTTPError" in caplog.text
    assert not AuditHead.objects.filter(sent_at__isnull=False).exists()
    keeper.status = 204
    head_sending.keep()
    head_sending.keep()
    assert len(keeper.taken) == 2


def test_a_file_shows_later_what_was_cut_off_or_written_anew(team: Team, settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "heads of audit.jsonl"
    settings.AUDIT_HEADS = f"file:{str(file).replace(' ', '%20')}"
    head_sending.keep()
    audit.record(team.workspace, team.dana, "later")
    said = StringIO()
    call_command("verify_audit", "--heads", str(file), stdout=said)
    assert "2 of 2 heads that were kept are those of the chains." in said.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM accounts_auditentry WHERE workspace_id = %s AND seq > 2", [team.workspace.pk])
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    assert audit.verify(team.workspace) is None, "a chain that was cut off is whole"
    wrong = StringIO()
    with pytest.raises(CommandError, match="not as it was written"):
        call_command("verify_audit", "--heads", str(file), stderr=wrong, stdout=StringIO())
    assert "acme: entry 3, which was the last on" in wrong.getvalue()
    audit.record(team.workspace, team.dana, "written anew")
    wrong = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", "--heads", str(file), stderr=wrong, stdout=StringIO())
    assert "acme: entry 3 is not the one that was the last on" in wrong.getvalue()


@pytest.mark.parametrize("line", ["x", "7", "{}", '{"heads": 7}', '{"heads": [{}]}'])
def test_a_file_that_is_none_is_refused(team: Team, tmp_path: Path, line: str) -> None:
    file = tmp_path / "heads"
    file.write_text(f"\n{line}\n")
    with pytest.raises(CommandError, match="Line 2 is no head"):
        call_command("verify_audit", "--heads", str(file), stdout=StringIO())
