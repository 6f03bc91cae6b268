"""The sender beside the poll: killed with an email in hand, and before a mail server that never answers."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from approvals import deadlines
from notices import sending, spreading
from notices.models import Delivery
from runs import dispatch
from runs.execution import background
from tests.approvals.builders import Desk, fall_due
from tests.conftest import ROOT, database_url, wait_for
from tests.notices.builders import ask, delivered, send, spread
from tests.sink import Sink

SENDER = "import django; django.setup(); from notices import sending; sending.send_due()"


def a_silent_server() -> socket.socket:
    """Return a server that takes connections and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    server.listen(8)
    return server


@pytest.mark.faults
def test_a_sender_killed_between_claim_and_sending_loses_and_doubles_nothing(
    desk: Desk, sink: Sink, tmp_path: Path
) -> None:
    ask(desk.run)
    spread()
    with a_silent_server() as silent:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "orchestrator_site.settings",
            "DATABASE_URL": database_url(),
            "EMAIL_URL": f"smtp://127.0.0.1:{silent.getsockname()[1]}",
        }
        sender = subprocess.Popen([sys.executable, "-c", SENDER], cwd=ROOT, env=environment)
        try:
            wait_for(lambda: Delivery.objects.get().attempts == 1, 60)
        finally:
            sender.send_signal(signal.SIGKILL)
            sender.wait()
    assert delivered() == [("waiting", 1)]
    assert send() == 0, "for as long as its claim holds nobody else sends it"
    Delivery.objects.update(next_at=Now())
    assert send() == 1
    assert delivered() == [("sent", 2)]
    assert len(sink.mails) == 1


def test_a_mail_server_that_never_answers_keeps_no_question_from_its_deadline(
    desk: Desk, sink: Sink, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = (spreading.spread, sending.wake, deadlines.expire_due)
    monkeypatch.setattr(dispatch, "due_jobs", lambda: iter(jobs))
    with a_silent_server() as silent:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        ask(desk.run)
        late = ask(desk.run)
        spread()
        fall_due(late)
        background.run_jobs()
        late.refresh_from_db()
        assert late.state == "expired"
        wait_for(lambda: Delivery.objects.filter(attempts=1).exists(), 20)
        still_waits = sending._sender is not None and sending._sender.is_alive()
        assert still_waits, "the sender is at it beside the poll"
        silent.close()
    until = time.monotonic() + 30
    while sending._sender is not None and sending._sender.is_alive() and time.monotonic() < until:
        time.sleep(0.1)
    assert "sent" not in {state for state, _ in delivered()}
