#!/usr/bin/env python
"""Run Baton's management commands."""

import os
import sys

PROCESSES = ("baton_web", "baton_worker")


def act_as_the_owner() -> None:
    """Let a command see all rows: in the web's container it would see none otherwise, and say that all is well."""
    if os.environ.get("BATON_DATABASE_ROLE", "").strip() in PROCESSES:
        del os.environ["BATON_DATABASE_ROLE"]


def main() -> None:
    act_as_the_owner()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018 reads the environment, so that a bad setting is said in one sentence
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    if (login := settings.DATABASES["default"]["USER"]) in PROCESSES:
        sys.exit(
            f"Commands are the owner's, and DATABASE_URL names {login}, a process's login. Say it where the owner's "
            "address is; with the compose file: docker compose … run --rm prepare python manage.py …"
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
