"""How a log line is written: nobody who is quoted in it can begin another, or steer the terminal that shows it."""

import logging
import re
from types import TracebackType

# Control characters, ANSI's escape among them, and the line ends of Unicode.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARGIN = "  | "
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


# The last part of these addresses lets in whoever has it.
_LETS_IN = re.compile(r"((?:password(?:/|%2F)new|invitations)(/|%2F)[^/\s?#%&]+\2)[^/\s?#%&]+", re.IGNORECASE)


class MaskLinks(logging.Filter):
    """Hides in every line what would let somebody in through a link of a mail."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the handler says of a line that cannot be made where it comes from
            return True
        masked = _LETS_IN.sub(r"\1…", message)
        if masked != message:
            record.msg, record.args = masked, None
        return True


class NameActor(logging.Filter):
    """Adds to a line about a request who asked, where that is known by then: it asks nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        from accounts.access import Actor  # a log is set up before there are models

        request = getattr(record, "request", None)
        known = (getattr(request, name, None) for name in ("auth", "actor"))
        actor = next((one for one in known if isinstance(one, Actor)), None)
        if actor is not None and not hasattr(record, "_named"):
            record._named = True  # several handlers may be given the same line
            record.msg = f"{record.getMessage()} ({actor.user.email} in {actor.workspace.slug})"
            record.args = None
        return True


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
