"""Log lines as JSON: one object a line, with the run and its trace where a line tells of one."""

import json
import logging
import re
from datetime import UTC, datetime
from uuid import UUID

_RUN = re.compile(r"\brun[ ./]([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b", re.IGNORECASE)
_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request", "server_time"}


class JsonFormatter(logging.Formatter):
    """An object with time, level, logger and message; `run_id` and `trace_id`, traceback, and what `extra` added."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            "process": record.process,
        }
        added = {name: value for name, value in vars(record).items() if name not in _OURS and not name.startswith("_")}
        line |= _of_run(added.pop("run_id", None) or _named(message)) | added
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII, so that nobody who is quoted begins a line or steers a terminal


def _named(message: str) -> str | None:
    found = _RUN.search(message)
    return found[1] if found else None


def _of_run(run_id: object) -> dict[str, object]:
    """Return the run's id and the trace that its spans are sent under; a child run's trace is its starter's."""
    if run_id is None:
        return {}
    try:
        trace = UUID(str(run_id)).hex
    except ValueError:
        return {"run_id": str(run_id)}
    return {"run_id": str(run_id), "trace_id": trace}
