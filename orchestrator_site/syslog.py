"""Log lines as syslog (RFC 5424): the line in JSON behind a head, in the frames of RFC 5425."""

import json
import logging
import re
import socket
from datetime import UTC, datetime
from typing import Any

from orchestrator_site.json_logs import JsonFormatter
from orchestrator_site.log_sending import Sender, place

FACILITY = 16  # local0
LONGEST = 7_900  # with its head below the 8,192 bytes that every log server should take
_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_NO_NAME = re.compile("[^!-~]")  # a name in the head is printable and has no space
_CORE = ("time", "level", "logger", "message", "process", "run_id", "trace_id", "traceback")


class SyslogHandler(logging.Handler):
    """Hands every record to a sender, as one frame; `name` says in it of which process it is."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__()
        self.sender = Sender(place(address))
        self._named = f"{_name(socket.gethostname(), 255)} {_name(name, 48)}"
        self.setFormatter(JsonFormatter())

    def handle(self, record: logging.LogRecord) -> bool:
        """Do without the lock of other handlers, which is held at the end while the sender says its last."""
        is_wanted = bool(self.filter(record))
        if is_wanted:
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.sender.add(framed(record, self._named, shortened(self.format(record))))
        except Exception:  # noqa: BLE001 - a line that cannot be made is said on standard error, as by every handler
            self.handleError(record)

    def close(self) -> None:
        self.sender.end()
        super().close()


def tell(logger: logging.Logger, address: str, name: str) -> None:
    """Have a logger tell the log server alone; for the supervisor, which is there before Django and its settings."""
    logger.addHandler(SyslogHandler(address, name))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def sender() -> Sender | None:
    """Return what sends this process's lines, or None where there is no log server."""
    found = (one.sender for one in logging.getLogger().handlers if isinstance(one, SyslogHandler))
    return next(found, None)


def framed(record: logging.LogRecord, named: str, line: str) -> bytes:
    """Return a frame: its length, and the head of RFC 5424 with the logger as its MSGID before the line."""
    severity = next((number for level, number in _SEVERITIES if record.levelno >= level), 7)
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    head = f"<{FACILITY * 8 + severity}>1 {at} {named} {record.process or '-'} {_name(record.name, 32)} - "
    message = (head + line).encode("ascii", "backslashreplace")
    return b"%d %b" % (len(message), message)


def shortened(line: str) -> str:
    """Return a line of JSON that is short enough for every log server; what is too long loses its middle."""
    if len(line) <= LONGEST:
        return line
    said: dict[str, Any] = json.loads(line)
    for most in (2_000, 500, 100):
        cut = json.dumps({name: _cut(value, most) for name, value in said.items()} | {"shortened": True})
        if len(cut) <= LONGEST:
            return cut
    return json.dumps({name: _cut(said[name], 100) for name in _CORE if name in said} | {"shortened": True})


def _cut(value: object, most: int) -> object:
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2) :]}"


def _name(text: str, longest: int) -> str:
    return _NO_NAME.sub("_", text)[:longest] or "-"
