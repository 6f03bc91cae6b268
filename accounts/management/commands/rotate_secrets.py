"""Encrypt all secrets with the newest key."""

from typing import Any

from accounts import idempotency, second_factor, secrets
from accounts.management.whole import WholeCommand


class Command(WholeCommand):
    help = "Seal everything anew with the first of BATON_ENCRYPTION_KEYS; older keys can be dropped afterwards."

    def handle(self, *args: Any, **options: Any) -> None:
        second_factor.rotate()
        idempotency.rotate()
        self.stdout.write(f"{secrets.rotate()} secrets are encrypted with the first key.")
