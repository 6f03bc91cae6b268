"""Sign people out everywhere, programs too."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts import audit, sessions, tokens
from accounts.management.whole import WholeCommand
from accounts.models import User


class Command(WholeCommand):
    help = "End every session and API token of a person, or of everybody; live pages close within ten seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("email", nargs="?", metavar="EMAIL")
        whose.add_argument("--everybody", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        people = User.objects.order_by("pk")
        if not options["everybody"]:
            people = people.filter(email=options["email"].lower())
        if not people:
            raise CommandError(f"There is nobody with the email {options['email']}.")
        for person in people:
            with transaction.atomic():
                sessions.end_all(person)
                tokens.revoke_everywhere(person)
                audit.record_everywhere(person, "sessions_ended", data={"by": "operator"})
        who = f"{len(people)} {'person is' if len(people) == 1 else 'people are'}"
        self.stdout.write(f"{who} signed out everywhere, API tokens too.")
