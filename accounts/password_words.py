"""Words that anybody would try first here, and that therefore are no part of a password that counts."""

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts import second_line
from accounts.models import User, Workspace

WORDS = ("baton", "password", "pipeline", "pipelines", "approval", "approvals", "agent", "agents", "admin", "welcome")
SHORTEST_WORD, LEAST_REST = 4, 8


class NoWordsOfThisPlace:
    """Refuses a password of which fewer than eight characters are left without such words."""

    def validate(self, password: str, user: User | None = None) -> None:
        rest = password.casefold()
        for word in sorted(_words(user), key=len, reverse=True):
            rest = rest.replace(word, "")
        if len(rest) < LEAST_REST and rest != password.casefold():
            raise ValidationError(
                "Without words that anybody would try here, as your workspace's name, too little of this is left.",
                code="password_of_this_place",
            )

    def get_help_text(self) -> str:
        return "Your password should not be made of the names of this installation and your workspace."


def _words(user: User | None) -> set[str]:
    named = [urlsplit(settings.BASE_URL).hostname or "", *_workspaces(user)]
    found = {part for name in named for part in re.split(r"[^a-z]+", name.casefold())}
    return {word for word in found | set(WORDS) if len(word) >= SHORTEST_WORD}


@second_line.everywhere()
def _workspaces(user: User | None) -> list[str]:
    if user is None or user._state.adding:
        return []
    rows = Workspace.objects.filter(memberships__user=user).values_list("slug", "name")
    return [name for row in rows for name in row]
