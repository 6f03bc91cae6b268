"""Secrets: encrypted at rest, written by admins, revealed only where they are put on a socket, redacted elsewhere."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from accounts.errors import Invalid, NotFound
from accounts.models import Secret, Workspace

MOST_CHARACTERS = 16_384
REDACTED = "[redacted]"
SHORTEST = 8
"""Shorter values are not looked for in answers: they would be found in everything."""


def put(workspace: Workspace, name: str, value: str, hosts: Sequence[str] = ()) -> Secret:
    """Keep the value under this name, instead of the one before; raises Invalid for an empty or oversized value.

    `hosts` are those that an HTTP request of a pipeline may send it to; with none it serves connections alone.
    """
    if not 1 <= len(value) <= MOST_CHARACTERS:
        raise Invalid(f"A secret has 1 to {MOST_CHARACTERS} characters, not {len(value)}.", where="/value")
    sealed = seal(value)
    kept = {"ciphertext": sealed, "hosts": list(dict.fromkeys(hosts))}
    secret, _ = Secret.objects.update_or_create(workspace=workspace, name=name, defaults=kept)
    return secret


def reveal(workspace_id: UUID, name: str) -> str:
    """Return the secret's value, to be put on a socket: never store, log or show it. Raises NotFound by name."""
    return reveal_with_hosts(workspace_id, name)[0]


def reveal_with_hosts(workspace_id: UUID, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the secret's value, as `reveal` does, and the hosts it may be sent to. Raises NotFound by name."""
    row = Secret.objects.filter(workspace_id=workspace_id, name=name).first()
    if row is None:
        raise NotFound(f"There is no secret named {name}. An admin keeps one under Connections.")
    return unseal(bytes(row.ciphertext)), tuple(row.hosts)


def rotate() -> int:
    """Encrypt every secret anew with the first key, so that older keys can be dropped; return how many."""
    count = 0
    with transaction.atomic():
        for secret in Secret.objects.select_for_update().iterator():
            secret.ciphertext = resealed(bytes(secret.ciphertext))
            secret.save(update_fields=["ciphertext"])
            count += 1
    return count


def seal(text: str) -> bytes:
    return _keys().encrypt(text.encode())


def resealed(sealed: bytes) -> bytes:
    """Return the same, encrypted anew with the first key; raises ImproperlyConfigured as `unseal` does."""
    return seal(unseal(sealed))


def unseal(sealed: bytes) -> str:
    """Return the text; raises ImproperlyConfigured when none of this installation's keys made it."""
    try:
        return _keys().decrypt(sealed).decode()
    except InvalidToken:
        raise ImproperlyConfigured(
            "A secret cannot be decrypted: its key is not in BATON_ENCRYPTION_KEYS, and SECRET_KEY has changed."
        ) from None


def redact(text: str, values: Iterable[str]) -> str:
    """Return the text with every value hidden, also where it stands in base64, URL or JSON encoding."""
    forms = {form for value in values if value for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text


def within(value: Any, hide: Callable[[str], str]) -> Any:
    """Return the JSON value with every text in it, also the keys of objects, as `hide` leaves it."""
    match value:
        case str():
            return hide(value)
        case dict():
            return {hide(str(key)): within(item, hide) for key, item in value.items()}
        case list():
            return [within(item, hide) for item in value]
        case _:
            return value


def _forms(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(raw, safe=""), quote(raw), quote_plus(raw), json.dumps(value)[1:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(raw).decode().rstrip("="))
        # inside a longer text, as in "user:secret", the value may start at any of three places of a base64 group
        for shift in range(3):
            inner = encode(b"\0" * shift + raw).decode().rstrip("=")
            forms.add(inner[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])
    return {form for form in forms if len(form) >= min(len(value), 4)}


def _keys() -> MultiFernet:
    """Return the keys, first the one that encrypts. The last is derived from SECRET_KEY, for installations that
    name none; it stays readable, so that naming keys later loses nothing."""
    try:
        named = [Fernet(key) for key in settings.ENCRYPTION_KEYS]
    except ValueError:
        raise ImproperlyConfigured(
            "BATON_ENCRYPTION_KEYS must hold Fernet keys: 32 random bytes in URL-safe base64, separated by commas."
        ) from None
    derived = HKDF(SHA256(), 32, salt=None, info=b"baton secrets").derive(settings.SECRET_KEY.encode())
    return MultiFernet([*named, Fernet(base64.urlsafe_b64encode(derived))])
