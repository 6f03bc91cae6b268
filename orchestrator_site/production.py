"""What an installation that strangers can reach does not start with."""

from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

# As Django's own deployment check has it (security.W009), which nothing obliges an operator to run.
SHORTEST_KEY, FEWEST_CHARACTERS = 50, 5
SHORTEST_PASSWORD = 16


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


def refuse_weak_logins(passwords: Mapping[str, str], owners: str) -> None:
    """Raise ImproperlyConfigured for a password of the web's or the workers' login that is short or not its own."""
    given = {role: password for role, password in passwords.items() if password}
    for role, password in given.items():
        if len(password) < SHORTEST_PASSWORD:
            raise ImproperlyConfigured(
                f"The database password of {role} is too weak for BATON_ENV=production. Set at least "
                f"{SHORTEST_PASSWORD} random characters."
            )
    if len({owners, *given.values()}) <= len(given):
        raise ImproperlyConfigured(
            "The owner of the tables and the logins of the web and the workers need a password each, not the same one."
        )
