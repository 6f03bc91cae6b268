"""How a log line is written: nobody who is quoted in it can begin another, or steer the terminal that shows it."""

import logging
import re
from types import TracebackType

# Control characters, ANSI's escape among them, and the line ends of Unicode.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARGIN = "  | "
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineFormatter(logging.Formatter):
    """One line per record, its control characters written out; a traceback follows with a margin on every line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:
        return "\n".join(_MARGIN + _plain(line) for line in super().formatException(ei).splitlines())

    def formatStack(self, stack_info: str) -> str:
        return "\n".join(_MARGIN + _plain(line) for line in super().formatStack(stack_info).splitlines())


def _plain(text: str) -> str:
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
