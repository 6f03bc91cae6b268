"""Encrypt all secrets with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand

from accounts import secrets


class Command(BaseCommand):
    help = "Encrypt every secret anew with the first of BATON_ENCRYPTION_KEYS; older keys can be dropped afterwards."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{secrets.rotate()} secrets are encrypted with the first key.")
