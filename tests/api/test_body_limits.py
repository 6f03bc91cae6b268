"""Bodies too large for their address, over the real web server: refused early, and nothing of them is kept."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator_site.edge import MEGABYTE
from pipelines.models import Pipeline
from tests.conftest import LiveStack
from tests.people import Team, a_team, bearer
from tests.pipelines.builders import a_document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    return a_team()


def post(stack: LiveStack, path: str, body: Any, headers: dict[str, str], *, chunked: bool = False) -> tuple[int, Any]:
    link = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    sent = {"Content-Type": "application/json", **headers}
    link.request("POST", f"/api/v1{path}", body=body, headers=sent, encode_chunked=chunked)
    answer = link.getresponse()
    return answer.status, json.loads(answer.read())


def document_of(megabytes: float) -> bytes:
    filling = "x" * 90_000
    nodes = {
        f"n{number}": {"kind": "agent", "agent": "writer@1", "prompt": filling}
        for number in range(int(megabytes * MEGABYTE / len(filling)))
    }
    return json.dumps({"document": a_document("large", graph={"nodes": nodes, "edges": []})}).encode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_document_of_three_megabytes_is_refused_with_the_limit(
    live_stack: LiveStack, team: Team, chunked: bool
) -> None:
    headers, body = bearer(team.alice, team.workspace), document_of(3)
    sent = (body[at : at + 65_536] for at in range(0, len(body), 65_536)) if chunked else body
    started = time.monotonic()
    status, refusal = post(live_stack, "/pipelines", sent, headers, chunked=chunked)
    print(f"3 MB, {'chunked' if chunked else 'announced'}: refused after {time.monotonic() - started:.3f} s")
    assert (status, refusal["code"], refusal["where"]) == (413, "too_large", None)
    assert "2 MB" in refusal["message"]
    assert time.monotonic() - started < 15
    assert not Pipeline.objects.exists()


def test_a_document_within_the_limit_is_taken(live_stack: LiveStack, team: Team) -> None:
    started = time.monotonic()
    status, answer = post(live_stack, "/pipelines", document_of(1.8), bearer(team.alice, team.workspace))
    assert status == 201, answer
    print(f"1.8 MB: taken after {time.monotonic() - started:.3f} s")


def test_only_as_much_of_a_large_body_is_read_as_it_takes_to_refuse_it(live_stack: LiveStack) -> None:
    """Nobody is signed in, the length is not announced, and 300 MB would follow."""
    with socket.create_connection(("127.0.0.1", live_stack.port), timeout=5) as link:
        link.sendall(b"POST /api/v1/pipelines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer, sent = b"", 0
        for chunk in chunks(300 * MEGABYTE):
            try:
                link.sendall(chunk)
            except OSError:
                break
            sent += len(chunk)
            if answer := answered(link):
                break
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert sent < 60 * MEGABYTE
    print(f"300 MB without signing in: refused after {sent / MEGABYTE:.1f} MB")


def chunks(total: int) -> Iterator[bytes]:
    size = 65_536
    for _ in range(total // size):
        yield f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"


def answered(link: socket.socket) -> bytes:
    """Return what the server has said so far, without waiting."""
    link.setblocking(False)
    try:
        return link.recv(64)
    except BlockingIOError:
        return b""
    finally:
        link.settimeout(5)
