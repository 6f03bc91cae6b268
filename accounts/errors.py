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
    retry_after: int | None = None
    """Seconds after which the same may be taken."""

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None, **extra: Any) -> None:
        self.message = _shortened(message)
        super().__init__(self.message)
        self.code = code or self.code
        self.where = where and _shortened(where)
        self.extra = extra

    def answer(self) -> dict[str, Any]:
        """Return the JSON that every program is answered with."""
        return {"code": self.code, "message": self.message, "where": self.where, **self.extra}

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class NotSignedIn(Refused):
    code, status = "not_signed_in", 401


class Forbidden(Refused):
    code, status = "forbidden", 403


class Insecure(Refused):
    """Sent in the clear by a program, where HTTPS is asked for."""

    code, status = "https_needed", 403

    def __init__(self) -> None:
        super().__init__("This address answers over https:// alone. What was sent went in the clear: change its token.")


class SecondFactorNeeded(Refused):
    """Signed in, but without the second factor that the operator asks for."""

    code, status = "second_factor_needed", 403

    def __init__(self) -> None:
        super().__init__("This installation asks for a second factor. Set one up, or show it, under /account/.")


class Deactivated(Forbidden):
    """Known here, and let in no more."""

    code = "deactivated"

    def __init__(self) -> None:
        super().__init__("This person was deactivated. Ask an admin of the workspace.")


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


class TooMany(Refused):
    """More than is taken within some time; `retry_after` seconds later it may be tried again."""

    code, status = "too_many_attempts", 429

    def __init__(self, message: str, retry_after: int, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
