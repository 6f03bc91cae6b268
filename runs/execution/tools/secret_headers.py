"""Secrets in the headers of HTTP requests: known by name, revealed for the wire, hidden in what comes back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from accounts import secrets
from accounts.errors import NotFound
from pipelines.graph.hosts import is_among
from pipelines.graph.model import Json
from runs.execution import database
from runs.execution.context import ToolCall
from runs.execution.egress import EgressRefused
from runs.execution.failures import config, transient
from runs.execution.fetch import Answer
from runs.execution.rights import SECRET_HEADERS, name_of


async def revealed(args: Mapping[str, Json], call: ToolCall, others: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that carry secrets, with their values: for the wire alone.

    Raise a config Failure for a secret that is not there or may not go to this host, or a header that is given twice.
    """
    named = {str(header): str(value) for header, value in (args.get(SECRET_HEADERS) or {}).items()}
    if not named:
        return {}
    taken = {name.lower() for name in others}
    if twice := next((name for name in named if name.lower() in taken), None):
        raise config("bad_header", f"The header {twice[:64]!r} is given twice, once with a secret. Leave one out.")
    try:
        url = URL(str(args["url"]))
    except ValueError as error:
        raise EgressRefused(str(args["url"])[:200], f"the address is not valid ({error})") from error
    try:
        return await database.ask(lambda: _values(UUID(call.workspace_id), named, url))
    except DatabaseError as error:
        raise transient("database", f"The secrets could not be looked up: {error}") from error


def without(answer: Answer, values: Iterable[str]) -> Answer:
    """Return the answer with every secret hidden that the other side may have sent back."""
    sent = [part for value in values for part in (value, value.rpartition(" ")[2]) if len(part) >= secrets.SHORTEST]
    if not sent:
        return answer
    headers = CIMultiDict((name, secrets.redact(value, sent)) for name, value in answer.headers.items())
    body = secrets.redact(answer.body.decode("latin-1"), [value.encode().decode("latin-1") for value in sent])
    return replace(answer, headers=CIMultiDictProxy(headers), body=body.encode("latin-1"))


def _values(workspace_id: UUID, named: Mapping[str, str], url: URL) -> dict[str, str]:
    return {header: _value(workspace_id, value, url) for header, value in named.items()}


def _value(workspace_id: UUID, named: str, url: URL) -> str:
    name, host = name_of(named), url.raw_host or ""
    try:
        value, hosts = secrets.reveal_with_hosts(workspace_id, name)
    except (NotFound, ImproperlyConfigured) as error:
        raise config("no_secret", f"The secret {name} cannot be read: {error}") from error
    if not is_among(host, hosts):
        raise config(
            "secret_not_for_host",
            f"The secret {name} may not be sent to {host or 'this address'}. An admin says where it may go.",
        )
    if url.scheme != "https" and host not in settings.EGRESS_ALLOW:
        raise config("secret_in_the_clear", f"The secret {name} is sent over https only, and {url.scheme} is not.")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise config(
            "bad_header", f"The secret {name} has a line break or control character, so no header can carry it."
        )
    return f"{named[: len(named) - len(name)]}{value}"
