"""How the graph package says no: a refusal stops the reading, a problem is shown beside the step and saved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

# A key of a megabyte is not repeated in the answer.
_LONGEST_KEY = 200
Severity = Literal["error", "warning"]


class Refusal(Exception):
    """The document cannot be read at all (422, nothing saved).

    `code` is stable, `message` is a sentence for a person, `where` a JSON pointer ("" is the whole document).
    """

    def __init__(self, code: str, message: str, where: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to mend before (error) or worth knowing when (warning) a pipeline is published.

    `where` is a JSON pointer into the document, `node` the dotted place of the step or None; `reads` is the value,
    as expressions name it, whose reading is the problem.
    """

    code: str
    severity: Severity
    where: str
    node: str | None
    message: str
    reads: str = field(default="", compare=False)

    def as_json(self) -> dict[str, str | None]:
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "node": self.node,
            "message": self.message,
        }


def pointer(base: str, *parts: str | int) -> str:
    """Return a JSON pointer (RFC 6901) that goes on from `base`."""
    return base + "".join("/" + str(part)[:_LONGEST_KEY].replace("~", "~0").replace("/", "~1") for part in parts)


def has_errors(problems: Iterable[Problem]) -> bool:
    """Say whether any problem forbids publishing."""
    return any(problem.severity == "error" for problem in problems)


def shown(value: object, limit: int = 60) -> str:
    """Return a value short enough for a message, whatever came in: scalars as they are, the rest by its kind."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return kind_of(value)
    text = repr(value[: limit + 1] if isinstance(value, str) else value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def kind_of(value: object) -> str:
    """Return the JSON type of a value in a person's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"a {type(value).__name__}"
