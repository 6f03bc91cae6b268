"""What the app shell around every page shows: counts, today's spend, the chosen theme."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from accounts.access import Actor, Capability
from approvals import inbox
from notices import inbox as told
from runs import costs, health

THEMES = ("light", "dark")


class Shell:
    """Read lazily: a fragment that shows no shell costs no query."""

    def __init__(self, actor: Actor | None, theme: str) -> None:
        self._actor = actor
        self.theme = theme if theme in THEMES else ""
        self.theme_cookie = settings.THEME_COOKIE

    @cached_property
    def approvals(self) -> int:
        return inbox.waiting(self._actor) if self._actor else 0

    @cached_property
    def notices(self) -> int:
        """How many notices this person has not read."""
        return told.unread(self._actor) if self._actor else 0

    @property
    def may_run(self) -> bool:
        """Whether this person may start runs, so that nobody is offered what would be refused."""
        return self._actor is not None and self._actor.can(Capability.RUN)

    @property
    def may_edit(self) -> bool:
        return self._actor is not None and self._actor.can(Capability.EDIT)

    @property
    def may_rate(self) -> bool:
        return self._actor is not None and self._actor.can(Capability.RATE)

    @property
    def sees_content(self) -> bool:
        """Whether this person sees what runs say, so that no link leads where they would be refused."""
        return self._actor is not None and self._actor.sees_content

    @property
    def may_export(self) -> bool:
        return self._actor is not None and self._actor.can(Capability.EXPORT)

    @property
    def may_audit(self) -> bool:
        return self._actor is not None and self._actor.can(Capability.READ_AUDIT)

    @property
    def may_see_violations(self) -> bool:
        return self._actor is not None and self._actor.can(Capability.READ_VIOLATIONS)

    @cached_property
    def asked_runs(self) -> frozenset[UUID]:
        """The runs with a question this person may answer."""
        if self._actor is None:
            return frozenset()
        return frozenset(inbox.team(self._actor).order_by().values_list("run_id", flat=True))

    @cached_property
    def live_runs(self) -> int:
        return health.live(self._actor.workspace) if self._actor else 0

    @cached_property
    def _today(self) -> tuple[costs.Spend, costs.Cap | None]:
        return costs.today(self._actor.workspace, timezone.now()) if self._actor else (costs.Spend(), None)

    @property
    def spend(self) -> costs.Spend:
        return self._today[0]

    @property
    def cap(self) -> costs.Cap | None:
        return self._today[1]


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the template context of the app shell."""
    return {"shell": Shell(getattr(request, "actor", None), request.COOKIES.get(settings.THEME_COOKIE, ""))}
