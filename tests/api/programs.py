"""A program that sends what it likes, and what every refusal it gets must be."""

import time
from typing import Any

from django.test import Client

from accounts.errors import LONGEST
from tests.api.rows import rows
from tests.api.world import World
from tests.people import bearer

# Seconds of this process's own time: another process's load is not the answer's.
AT_ONCE = 2.0
DEEP = "[" * 10_000 + "]" * 10_000


class Program:
    """olga's program: sends raw bytes and looks at the refusal."""

    def __init__(self, world: World, took: dict[str, float]) -> None:
        self.headers = bearer(world.olga, world.team.workspace)
        self.client = Client(raise_request_exception=False)
        self.took = took

    def send(self, method: str, path: str, raw: bytes | str, kind: str = "application/json", **headers: str) -> Any:
        started, worked = time.monotonic(), time.process_time()
        sent = {**self.headers, **headers}
        answer = self.client.generic(method, f"/api/v1{path}", raw, kind, headers=sent)
        self.took[f"{method} {path[:60]} {raw[:40]!r}"] = time.monotonic() - started
        assert time.process_time() - worked < AT_ONCE, (path, raw[:100])
        return answer

    def refused(self, method: str, path: str, raw: bytes | str, **headers: str) -> dict[str, Any]:
        """Send what must be refused and return the refusal; nothing may have been saved."""
        before = rows()
        answer = self.send(method, path, raw, **headers)
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:300])
        assert rows() == before
        refusal: dict[str, Any] = answer.json()
        assert refusal.keys() >= {"code", "message", "where"}
        assert refusal["code"] not in ("refused", "internal")
        assert_is_a_sentence(refusal["message"])
        return {**refusal, "status": answer.status_code}


def assert_is_a_sentence(message: str) -> None:
    assert message.endswith((".", "?", "…")), message
    assert message == message.strip()
    assert "\n" not in message
    assert len(message) <= LONGEST
