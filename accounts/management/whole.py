"""Commands that speak of the whole installation: held to one workspace, they would say of no rows that all is well."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from accounts import policies
from accounts.privileges import WEB


class WholeCommand(BaseCommand):
    """A command that is refused unless its database role sees the rows of every workspace."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            (role,) = cursor.fetchone()
            hidden = policies.hidden(cursor, role)
        if role == WEB or hidden:
            some = f" of {', '.join(hidden[:3])}{' and others' if hidden[3:] else ''}" if hidden else ""
            raise CommandError(
                f"The database role {role} does not see all rows{some}, so this command would miss some. Run it "
                "through manage.py with the owner's address in DATABASE_URL; if the tables came to another owner, run "
                "manage.py migrate first."
            )
        return super().execute(*args, **options)
