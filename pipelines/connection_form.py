"""The form that makes or changes a connection: what it shows, what was typed, and the fields that it describes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from accounts.errors import Invalid, Refused
from pipelines.library.connections import ConnectionFields
from pipelines.library.models import MCP
from pipelines.models import Connection

LIMITS = ("max_concurrent", "rpm", "tpm")
_TEXTS = ("name", "kind", "base_url", "secret", "secret_header", *LIMITS)
_MOST = 2**31 - 1
_NO_NUMBER = "Write a whole number from 1, or leave it empty for no limit."


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """Everything as text, as it stands in the inputs. `errors` are sentences by the name of the input."""

    name: str = ""
    kind: str = "openai"
    base_url: str = ""
    secret: str = ""
    secret_header: str = ""
    max_concurrent: str = ""
    rpm: str = ""
    tpm: str = ""
    trusted: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    def refused(self, refused: Refused) -> "ConnectionForm":
        """Return the form with what a service says at the input that it is about, else above the form."""
        place = (refused.where or "").strip("/").partition("/")[0]
        words = refused.message
        if refused.code == "private_address":
            place = "trusted"
            words = "This address is private. Tick the box if the connection is meant to go there."
        return replace(self, errors={place if place in _INPUTS else "form": words})


_INPUTS = frozenset(one.name for one in fields(ConnectionForm)) - {"errors"}


def of(row: Connection) -> ConnectionForm:
    """Return the form as it would have been typed to make this connection."""
    shown = {name: str(getattr(row, name) or "") for name in _TEXTS}
    return replace(ConnectionForm(), **shown, trusted=row.trusted_address)  # type: ignore[arg-type]  # all text


def typed(posted: Mapping[str, str]) -> ConnectionForm:
    """Return what was posted, as it was typed."""
    texts = {name: posted.get(name, "").strip()[:2_000].replace("\0", "") for name in _TEXTS}
    return replace(ConnectionForm(), **texts, trusted=bool(posted.get("trusted")))  # type: ignore[arg-type]  # all text


def read(form: ConnectionForm, secrets: set[str], before: Connection | None) -> ConnectionFields:
    """Return the fields that the form describes; raise Invalid naming the input that cannot be read.

    Prices are not the form's: a connection keeps those that it has.
    """
    kept = before.secret if before else ""
    if before and before.prices and form.kind == MCP:
        raise Invalid("Its models have prices. Withdraw them first, or make a new connection for tools.", where="/kind")
    if form.secret and form.secret not in secrets | {kept}:
        raise Invalid("There is no secret of this name. Choose one of the list.", where="/secret")
    return ConnectionFields(
        name=form.name,
        kind=form.kind,
        base_url=form.base_url,
        secret=form.secret,
        secret_header=form.secret_header,
        prices=before.prices if before else {},
        trusted_address=form.trusted,
        **{limit: _number(form, limit) for limit in LIMITS},
    )


def _number(form: ConnectionForm, limit: str) -> int | None:
    text = getattr(form, limit)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 1 <= int(text) <= _MOST):
        raise Invalid(_NO_NUMBER, where=f"/{limit}")
    return int(text)
