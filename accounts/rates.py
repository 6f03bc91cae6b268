"""How often somebody may ask within a minute: counted for all web servers together, by each alone where that fails."""

import logging
import threading
import time
from functools import cache
from typing import Any

import redis
from django.conf import settings

from accounts.errors import TooMany

log = logging.getLogger("baton.api")

WINDOW_SECONDS = 60
AWAY_SECONDS = 5.0
"""How long a server counts by itself after the shared counter could not be reached, before it tries again."""
_MOST_COUNTED = 10_000
# The first call opens the window; a counter that lost its end, after a crash in between, gets one again.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('TTL', KEYS[1])
if left < 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""


def admit(who: str) -> None:
    """Count one request of these programs; raise TooMany `too_many_requests` beyond the limit.

    While the shared counter is away each server counts what comes to itself: a limit still holds, and nobody is
    kept out because a counter is.
    """
    most = settings.API_REQUESTS_PER_MINUTE
    if not most:
        return
    count, left = counted(who)
    if count > most:
        message = f"Your tokens ask more than {most:,} times a minute together. Wait {left} s, or ask for more at once."
        raise TooMany(message, left, code="too_many_requests")


def counted(who: str) -> tuple[int, int]:
    """Count one request; return how many there were in this minute, with this one, and in how many seconds it ends."""
    return _shared.counted(who) or _own.counted(who)


class _Own:
    """Counts in this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def counted(self, who: str) -> tuple[int, int]:
        """Return how many requests there were in this window, with this one, and in how many seconds it ends."""
        now = time.monotonic()
        with self._lock:
            if len(self._windows) >= _MOST_COUNTED:
                self._windows = {key: one for key, one in self._windows.items() if one[0] > now}
            ends, count = self._windows.get(who, (0.0, 0))
            if ends <= now:
                ends, count = now + WINDOW_SECONDS, 0
            self._windows[who] = ends, count + 1
        return count + 1, max(1, round(ends - now))


class _Shared:
    """Counts in Redis, beside what the pages are told."""

    def __init__(self) -> None:
        self._away_until = 0.0

    def counted(self, who: str) -> tuple[int, int] | None:
        """As `_Own.counted`; None while Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            client = _client(settings.CHANNEL_LAYER_URL)
            found: Any = client.eval(_COUNT, 1, f"baton:rate:{who}", WINDOW_SECONDS)
        except (redis.RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("Requests are counted by each server alone, because the shared counter is away: %s", error)
            return None
        count, left = found
        return int(count), max(1, int(left))


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


_own, _shared = _Own(), _Shared()
