"""The real web server: what it refuses while bytes still arrive, and what it says about itself."""

import contextlib
import http.client
import json
import socket
import time

import pytest

from orchestrator_site.edge import LARGEST_BODY, MEGABYTE
from tests.conftest import LiveStack, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def post(stack: LiveStack, megabytes: int, kind: str = "application/json", chunked: bool = False) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    body = b"x" * megabytes * MEGABYTE
    sent = (body[at : at + MEGABYTE] for at in range(0, len(body), MEGABYTE)) if chunked else body
    connection.request("POST", "/login/", body=sent, headers={"Content-Type": kind}, encode_chunked=chunked)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("megabytes", [3, 8])
def test_a_body_that_is_too_large_gets_a_named_error(live_stack: LiveStack, megabytes: int, chunked: bool) -> None:
    started = time.monotonic()
    status, body = post(live_stack, megabytes, chunked=chunked)
    assert status == 413
    assert json.loads(body)["code"] == "too_large"
    assert time.monotonic() - started < 15


def test_a_huge_body_is_answered_before_it_was_sent(live_stack: LiveStack) -> None:
    with socket.create_connection(("127.0.0.1", live_stack.port), timeout=5) as link:
        link.sendall(b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n")
        assert link.recv(64).startswith(b"HTTP/1.1 413 ")


def flood(port: int) -> int:
    """Announce 300 MB and send until the server hangs up; return how many bytes it let through."""
    sent = 0
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n")
        for _ in range(300):
            link.sendall(b"x" * MEGABYTE)
            sent += MEGABYTE
    return sent


def test_a_client_that_goes_on_sending_is_cut_off(live_stack: LiveStack) -> None:
    assert flood(live_stack.port) < 60 * MEGABYTE


def test_the_server_still_answers_after_refusals(live_stack: LiveStack) -> None:
    assert post(live_stack, LARGEST_BODY // MEGABYTE + 1, "multipart/form-data; boundary=b")[0] == 413
    assert request(live_stack, "/healthz") == (200, {"status": "alive"})


def request(stack: LiveStack, path: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.faults
def test_readiness_says_that_no_worker_is_there_and_recovers(live_stack: LiveStack) -> None:
    wait_for(lambda: request(live_stack, "/readyz") == (200, {"status": "ready", "problems": {}}), 30, live_stack.logs)
    live_stack.worker.stop(grace=10)
    wait_for(lambda: request(live_stack, "/readyz")[0] == 503, 10, live_stack.logs)  # one look serves for two seconds
    status, said = request(live_stack, "/readyz")
    assert (status, said["status"], list(said["problems"])) == (503, "not ready", ["worker"])  # type: ignore[call-overload]
    live_stack.worker.start()
    wait_for(lambda: request(live_stack, "/readyz")[0] == 200, 30, live_stack.logs)
