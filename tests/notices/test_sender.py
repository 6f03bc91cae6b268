"""The sender beside the poll: killed with an email in hand, and before a mail server that never answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
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


ENDING = """
import time, django
django.setup()
from notices import sending
from notices.models import Delivery
sending.wake()
while not Delivery.objects.filter(attempts=1).exists():
    time.sleep(0.02)
"""


class SlowServer:
    """Passes connections on to a mail server, a second after they came."""

    def __init__(self, port: int) -> None:
        self._listening, self._port = socket.create_server(("127.0.0.1", 0)), port
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                time.sleep(1)
                far = socket.create_connection(("127.0.0.1", self._port))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while said := source.recv(65_536):
                target.sendall(said)
            target.shutdown(socket.SHUT_WR)


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


def test_a_process_that_ends_finishes_the_delivery_in_hand_and_begins_no_other(desk: Desk, sink: Sink) -> None:
    for _ in range(2):
        ask(desk.run)
    spread()
    assert delivered() == [("waiting", 0)] * 2
    slow = SlowServer(sink.smtp_port)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "orchestrator_site.settings",
        "DATABASE_URL": database_url(),
        "EMAIL_URL": f"smtp://127.0.0.1:{slow.port}?from=baton@acme.example",
    }
    done = subprocess.run(
        [sys.executable, "-c", ENDING],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    slow.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(delivered()) == [("sent", 1), ("waiting", 0)]
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
        assert sending._sender.is_at_it, "the sender is at it beside the poll"
        silent.close()
    assert sending._sender.wait(30)
    assert "sent" not in {state for state, _ in delivered()}
