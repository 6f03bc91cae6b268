"""Brings the database to where the code expects it: migrations, logins, then the sample workspace in development."""

import hashlib
import os
import sys
from pathlib import Path

from orchestrator_site import env
from orchestrator_site.build import APPS, ROOT, fingerprint
from orchestrator_site.embedded import addresses

STAMP = "prepared"
# What the sample workspace and the logins are made from besides the code.
MADE_FROM = (
    "BATON_ENV",
    "BATON_SAMPLE_PASSWORD",
    "BATON_SAMPLE_TOKEN",
    "BATON_ENCRYPTION_KEYS",
    "BATON_DATABASE_LOGINS",
    "BATON_WEB_DATABASE_PASSWORD",
    "BATON_WORKER_DATABASE_PASSWORD",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
)


def is_prepared(data_dir: Path) -> bool:
    """Tell whether the embedded database was prepared by this very code; an external one is never taken on trust."""
    stamp = data_dir / STAMP
    return not env.text("DATABASE_URL") and stamp.exists() and stamp.read_text() == _state(data_dir)


def _state(data_dir: Path) -> str:
    """Return a hash over the code, the settings it is made from and the cluster (its address holds its password)."""
    code = fingerprint(ROOT / name for name in (*APPS, "requirements.lock"))
    wanted = [f"{name}={os.environ.get(name, '')}" for name in MADE_FROM]
    return hashlib.sha256("\0".join([code, addresses.postgres_url(data_dir), *wanted]).encode()).hexdigest()


def prepare() -> None:
    """Migrate as the owner, give the logins, load the sample; raise what the database raises."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command, get_commands

    django.setup()
    from accounts import logins

    state = _state(settings.DATA_DIR)
    call_command("migrate", interactive=False, verbosity=0)
    for role, password in settings.DATABASE_PASSWORDS.items():
        if password or settings.DATABASE_LOGINS == "certificate":
            logins.give(role, password or None)
    if not settings.PRODUCTION and "load_sample" in get_commands():
        call_command("load_sample", verbosity=0)
    if not env.text("DATABASE_URL"):
        (settings.DATA_DIR / STAMP).write_text(state)


def main() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management.base import CommandError
    from django.db import DatabaseError

    try:
        prepare()
    except (ImproperlyConfigured, CommandError, DatabaseError) as error:
        sys.exit(f"The database could not be prepared: {str(error).strip()}")


if __name__ == "__main__":
    main()
