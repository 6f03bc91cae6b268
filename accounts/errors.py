"""What Baton refuses, as one tree. The API answers `status` with {code, message, where}; pages show `message`."""

from typing import Any

LONGEST = 1_000


def _shortened(text: str) -> str:
    """A message names what came in, and a megabyte that came in is not to go out again."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Refused(Exception):
    """A request that cannot be carried out as it stands; nothing was changed.

    `code` is stable and listed in docs/errors.md. `message` says what, which and what next. `where` is the JSON
    pointer of the offending value, if there is one. `extra` joins the answer's top level.
    """

    code = "refused"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None, **extra: Any) -> None:
        self.message = _shortened(message)
        super().__init__(self.message)
        self.code = code or self.code
        self.where = where and _shortened(where)
        self.extra = extra

    def answer(self) -> dict[str, Any]:
        """Return the JSON that every program is answered with."""
        return {"code": self.code, "message": self.message, "where": self.where, **self.extra}


class NotSignedIn(Refused):
    code, status = "not_signed_in", 401


class Forbidden(Refused):
    code, status = "forbidden", 403


class NotFound(Refused):
    """Absent, or somebody else's: the answer is the same."""

    code, status = "not_found", 404

    def __init__(self, message: str = "There is nothing here under that name.") -> None:
        super().__init__(message)


class Conflict(Refused):
    code, status = "conflict", 409


class Gone(Refused):
    code, status = "gone", 410


class Invalid(Refused):
    code, status = "invalid", 422
