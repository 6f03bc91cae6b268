"""A log server is told every line over TLS; nobody who logs waits for it, and what it misses is counted and said."""

import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import audit
from orchestrator_site import health, log_sending, logs, syslog, up
from orchestrator_site.management.commands import doctor
from orchestrator_site.processes import Child, Program
from tests.authority import Authority
from tests.conftest import ROOT, free_port, status_of, wait_for
from tests.log_server import LogServer
from tests.people import a_team

LINK = "/password/new/1-2/s3cret/"


@pytest.fixture
def log_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogServer]:
    authority = Authority(tmp_path)
    server = LogServer(authority.issue("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(log_sending, "FIRST_PAUSE", 0.1)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def told() -> Iterator[logging.Logger]:
    """Return a logger that a test has tell its log server."""
    logger = logging.getLogger("told.by.a.test")
    yield logger
    end(logger)


def end(logger: logging.Logger) -> None:
    handler = handler_of(logger)
    logger.removeHandler(handler)
    logger.propagate = True
    handler.close()


def handler_of(logger: logging.Logger) -> syslog.SyslogHandler:
    [handler] = (one for one in logger.handlers if isinstance(one, syslog.SyslogHandler))
    return handler


def test_a_line_arrives_with_who_says_it_when_and_what_was_added(log_server: LogServer, told: logging.Logger) -> None:
    syslog.tell(told, log_server.address, "baton-web")
    handler_of(told).addFilter(logs.MaskLinks())
    told.warning("Gone: %s\n<1>1 forged", LINK, extra={"workspace": "acme"})
    try:
        raise ValueError("broken")
    except ValueError:
        told.exception("It broke")
    log_server.wait_for(2)
    first, second = log_server.lines
    assert (first.priority, first.name, first.logger) == (16 * 8 + 4, "baton-web", "told.by.a.test")
    assert (first.process, first.host) == (os.getpid(), socket.gethostname())
    assert first.at == first.said["time"]
    assert (first.said["message"], first.said["workspace"]) == ("Gone: /password/new/1-2/…/\n<1>1 forged", "acme")
    assert second.priority == 16 * 8 + 3
    assert "ValueError: broken" in second.said["traceback"]


def test_a_long_line_stays_json_and_short_enough_for_every_log_server(
    log_server: LogServer, told: logging.Logger
) -> None:
    syslog.tell(told, log_server.address, "baton")
    told.warning("a%sz", "\x00" * 50_000, extra={f"more_{number}": "é" * 9_000 for number in range(30)})
    told.warning("b%s", "x" * 9_000)
    short, message = (line["message"] for line in log_server.wait_for(2))
    assert (short[0], short[-1]) == ("a", "z")
    assert len(message) == 2_001
    assert all(line.said["shortened"] for line in log_server.lines)


@pytest.mark.parametrize(
    ("name", "knows_authority"), [("other.example", True), ("localhost", False)], ids=["another's", "unknown"]
)
def test_a_log_server_is_believed_by_its_certificate_alone(
    name: str, knows_authority: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: logging.Logger
) -> None:
    authority = Authority(tmp_path)
    server = LogServer(authority.issue(name))
    server.start()
    if knows_authority:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    syslog.tell(told, server.address, "baton")
    told.warning("Not for anybody")
    sender = handler_of(told).sender
    wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in sender.away, 10, lambda: sender.away)
    assert server.refused.wait(5)
    assert (server.lines, sender.waiting) == ([], 1)
    server.stop()


def test_what_waited_arrives_in_its_order_when_the_log_server_is_back(
    log_server: LogServer, told: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    log_server.stop()
    syslog.tell(told, log_server.address, "baton")
    for number in range(120):
        told.warning("%d", number)
    wait_for(lambda: "takes no log lines (ConnectionRefusedError" in caplog.text, 10)
    log_server.start()
    assert [line["message"] for line in log_server.wait_for(120)] == [str(number) for number in range(120)]
    wait_for(lambda: "takes log lines again; 0 were dropped" in caplog.text, 10)
    assert caplog.text.count("takes no log lines") == 1
    assert handler_of(told).sender.away == ""


def test_a_connection_that_was_cut_meanwhile_costs_no_line(log_server: LogServer, told: logging.Logger) -> None:
    syslog.tell(told, log_server.address, "baton")
    for number in range(5):
        told.warning("%d", number)
        log_server.wait_for(number + 1)
        log_server.stop()
        log_server.start()
    assert [line.said["message"] for line in log_server.lines] == list("01234")


def test_what_is_too_much_is_dropped_counted_and_said(
    log_server: LogServer,
    told: logging.Logger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log_server.stop()
    monkeypatch.setattr(log_sending, "MOST_BYTES", 2_000)
    syslog.tell(told, log_server.address, "baton")
    for number in range(100):
        told.warning("%d", number)
    sender = handler_of(told).sender
    assert 0 < sender.waiting < 20
    assert sender.dropped == 100 - sender.waiting
    came = sender.waiting
    wait_for(lambda: bool(sender.away), 10)
    log_server.start()
    log_server.wait_for(came)
    wait_for(lambda: f"takes log lines again; {sender.dropped} were dropped" in caplog.text, 10)
    told.warning("There is room again")
    assert log_server.wait_for(came + 1)[-1]["message"] == "There is room again"


def test_nobody_who_logs_waits_for_a_log_server_that_says_nothing(told: logging.Logger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and no handshake
        syslog.tell(told, f"syslogs://127.0.0.1:{silent.getsockname()[1]}", "baton")
        began = time.monotonic()
        for number in range(1_000):
            told.warning("%d", number)
        assert time.monotonic() - began < 2
        assert handler_of(told).sender.waiting == 1_000


def test_what_was_logged_last_is_sent_before_a_process_ends(log_server: LogServer, told: logging.Logger) -> None:
    syslog.tell(told, log_server.address, "baton")
    for number in range(500):
        told.warning("%d", number)
    handler_of(told).close()
    assert len(log_server.wait_for(500)) == 500


def test_a_log_server_on_a_network_of_ones_own_is_told_in_the_clear(told: logging.Logger) -> None:
    server = LogServer(None)
    server.start()
    syslog.tell(told, server.address, "baton")
    told.warning("Hello")
    assert [line["message"] for line in server.wait_for(1)] == ["Hello"]
    server.stop()


@pytest.mark.parametrize("address", ["syslogs:", "syslogs://", "syslogs://h:0x", "syslogs://h/p", "syslog://u:p@h:1"])
def test_an_address_that_is_not_a_host_and_a_port_is_refused(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="BATON_SYSLOG must be"):
        log_sending.place(address)


@pytest.mark.parametrize(("address", "port"), [("syslogs://h", 6514), ("syslog://h/", 601), ("syslogs://[::1]:7", 7)])
def test_an_address_without_a_port_leads_to_the_registered_one(address: str, port: int) -> None:
    assert log_sending.place(address).port == port


# Every process


def of(server: LogServer, name: str) -> list[str]:
    return [str(line.said["message"]) for line in server.lines if line.name == name]


def test_a_command_tells_it_and_standard_error_alike(log_server: LogServer) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", f"import logging; logging.getLogger('baton.x').warning('{LINK}')"],
        cwd=ROOT,
        env={**os.environ, "BATON_SYSLOG": log_server.address, "BATON_LOG_FORMAT": "line"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "WARNING baton.x /password/new/1-2/…/" in done.stderr
    log_server.wait_for(1)
    assert of(log_server, "baton") == ["/password/new/1-2/…/"]


WORKER = ["celery", "--quiet", "-A", "orchestrator_site", "worker", "--pool", "threads", "--concurrency", "2"]


def test_the_web_and_the_workers_tell_it(log_server: LogServer, tmp_path: Path) -> None:
    port = free_port()
    # Without their database they have something to say.
    environment = {
        "BATON_SYSLOG": log_server.address,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "PORT": str(port),
        "PYTHONWARNINGS": "ignore",
    }
    children = [
        Child(
            Program(
                name,
                [sys.executable, "-m", *arguments],
                env={**environment, "BATON_DATABASE_ROLE": f"baton_{name}"},
                cwd=ROOT,
                log=tmp_path / f"{name}.log",
            )
        )
        for name, arguments in {"web": ["orchestrator_site.web"], "worker": WORKER}.items()
    ]
    try:
        for child in children:
            child.start()
        wait_for(lambda: status_of(f"http://127.0.0.1:{port}/nothing{LINK}") > 0, 60)
        wait_for(lambda: bool(of(log_server, "baton-web")), 10)
        wait_for(lambda: any("database" in line for line in of(log_server, "baton-worker")), 60)
    finally:
        for child in children:
            child.stop(grace=10)
    assert any("/nothing/password/new/1-2/…/" in line for line in of(log_server, "baton-web"))
    assert "s3cret" not in str(log_server.lines)


def test_the_supervisor_tells_it_and_keeps_the_samples_password_to_itself(
    log_server: LogServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATON_SYSLOG", log_server.address)
    place = up.Place(Path(), "127.0.0.1", 1, "http://127.0.0.1:1", production=False, reload=False)
    monkeypatch.setattr(up, "sample_password", lambda data_dir: "s3cret")
    up._tell_the_log_server(production=True)
    try:
        up.Supervisor(place)._greet()
        log_server.wait_for(2)
    finally:
        end(up.log)
    assert of(log_server, "baton-supervisor") == ["ready at http://127.0.0.1:1", "Ctrl+C stops everything"]
    assert "password s3cret" in capsys.readouterr().out


def test_the_supervisor_says_nothing_in_the_clear_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SYSLOG", "syslog://logs.example")
    with pytest.raises(ImproperlyConfigured, match=r"BATON_SYSLOG leads to logs\.example without TLS"):
        up._tell_the_log_server(production=True)


# What it is told besides, and who says how it is


def test_what_is_audited_is_told_once_it_is_kept(transactional_db: None, caplog: pytest.LogCaptureFixture) -> None:
    team = a_team()
    caplog.clear()
    with caplog.at_level(logging.INFO, "baton.audited"):
        with transaction.atomic():
            audit.record(team.workspace, team.dana, "undone")
            transaction.set_rollback(True)
        with transaction.atomic():
            audit.record(team.workspace, team.dana, "member_removed", "bob@example.com", {"roles": ["viewer"]})
            assert not caplog.records
    [record] = caplog.records
    assert record.getMessage() == "dana@example.com member_removed bob@example.com"
    added = {name: getattr(record, name) for name in ("workspace", "actor", "action", "target", "data")}
    assert added == {
        "workspace": "acme",
        "actor": "dana@example.com",
        "action": "member_removed",
        "target": "bob@example.com",
        "data": {"roles": ["viewer"]},
    }


@pytest.mark.django_db
def test_the_metrics_say_what_was_dropped(log_server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"baton_log_" not in Client().get("/metrics").content
    log_server.stop()
    handler = syslog.SyslogHandler(log_server.address, "baton-web")
    logging.getLogger().addHandler(handler)
    try:
        monkeypatch.setattr(log_sending, "MOST_BYTES", 1_000)
        for number in range(50):
            logging.getLogger("told").warning("%d", number)
        wait_for(lambda: bool(handler.sender.away), 10)
        told = Client().get("/metrics").content.decode()
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert "\nbaton_log_server_up 0\n" in told
    figures = dict(re.findall(r"^baton_log_lines_(waiting|dropped_total) (\d+)$", told, re.MULTILINE))
    assert 0 < int(figures["waiting"]) < 20
    assert int(figures["dropped_total"]) > 30


def test_the_doctor_says_whether_it_can_be_reached(log_server: LogServer, settings: Settings) -> None:
    assert doctor._log_server() == "none is set, so log lines stay on standard error"
    settings.SYSLOG = log_server.address
    assert doctor._log_server() == f"localhost:{log_server.port} answers, with a certificate of its own"
    log_server.stop()
    with pytest.raises(health.NotReady, match=r"cannot be reached .*Connection refused"):
        doctor._log_server()
