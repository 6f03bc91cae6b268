"""Patterns that people write, run in time linear in the text (RE2) and with a cost known beforehand."""

import functools
from typing import Any

import re2

MAX_PATTERN = 500
# Enough for the fast automaton of any sensible pattern; a pattern that needs more is refused.
_MEMORY = 1_048_576
# Program instructions times characters that the slowest path of RE2 does in about the time of one counted step.
_WORK_PER_STEP = 500


class Regex:
    """A compiled pattern. `cost(text)` is what a search may take, in counted steps of a few microseconds."""

    def __init__(self, pattern: str) -> None:
        self._compiled: Any = _compiled(pattern)

    def cost(self, text: str) -> int:
        return 1 + int(len(text) * self._compiled.programsize) // _WORK_PER_STEP

    def found_in(self, text: str) -> bool:
        return self._compiled.search(text) is not None


@functools.lru_cache(maxsize=512)
def regex(pattern: str) -> Regex:
    """Return the compiled pattern; raise ValueError with a sentence when it is none, or too large."""
    return Regex(pattern)


def _compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"A pattern may have {MAX_PATTERN} characters; this one has {len(pattern):,}.")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{pattern[:60]!r} is not a pattern of the RE2 kind: {reason}.") from None
