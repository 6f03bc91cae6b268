"""What the app shell around every page shows: counts, today's spend, the chosen theme."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone

from accounts.access import Actor, Capability
from approvals import inbox
from runs import costs, health

THEMES = ("light", "dark")


class Shell:
    """Read lazily: a fragment that shows no shell costs no query."""

    def __init__(self, actor: Actor | None, theme: str) -> None:
        self._actor = actor
        self.theme = theme if theme in THEMES else ""

    @cached_property
    def approvals(self) -> int:
        return inbox.counts(self._actor).mine if self._actor else 0

    @property
    def may_run(self) -> bool:
        """Whether this person may start runs, so that nobody is offered what would be refused."""
        return self._actor is not None and self._actor.can(Capability.RUN)

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
    return {"shell": Shell(getattr(request, "actor", None), request.COOKIES.get("theme", ""))}
