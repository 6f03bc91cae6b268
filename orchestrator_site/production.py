"""What an installation that strangers can reach does not start with."""

from collections.abc import Sequence

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

# As Django's own deployment check has it (security.W009), which nothing obliges an operator to run.
SHORTEST_KEY, FEWEST_CHARACTERS = 50, 5


def refuse_weak(secret_key: str, encryption_keys: Sequence[str], base_url: str) -> None:
    """Raise ImproperlyConfigured, naming the setting and what it should be, for one that guards nothing."""
    if len(secret_key) < SHORTEST_KEY or len(set(secret_key)) < FEWEST_CHARACTERS:
        raise ImproperlyConfigured(
            f"SECRET_KEY is too weak for BATON_ENV=production. Set {SHORTEST_KEY} random characters."
        )
    if not encryption_keys:
        raise ImproperlyConfigured(
            "BATON_ENCRYPTION_KEYS is required when BATON_ENV=production: one made up and kept beside the data guards "
            "nothing from who has the data. Set a Fernet key."
        )
    for number, key in enumerate(encryption_keys, 1):
        try:
            Fernet(key)
        except ValueError:
            raise ImproperlyConfigured(
                f"Key {number} of BATON_ENCRYPTION_KEYS is no Fernet key: 32 random bytes as URL-safe base64."
            ) from None
    if not base_url.startswith("https://"):
        raise ImproperlyConfigured(
            "BATON_BASE_URL must be the https:// address that people use when BATON_ENV=production."
        )
