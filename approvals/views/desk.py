"""The inbox: what waits for whom, what is alike, and what others have just decided."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.access import Actor, scoped
from approvals import bulk, inbox
from approvals.filters import Filters
from approvals.models import Approval
from approvals.views.items import MOST, Item, items
from approvals.words import CANNOT_BE_UNDONE, LEAVES_BATON, REVERSIBLE
from pipelines.models import Pipeline

TODAY = dt.timedelta(days=1)
VIEWS = {"mine": "Mine", "team": "Team", "all": "All"}
_DUE = {"hour": "Due within an hour", "today": "Due within a day"}
_RISKS = {risk.tone: risk.word for risk in (CANNOT_BE_UNDONE, LEAVES_BATON, REVERSIBLE)}


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Alike:
    """Light questions that one press may answer; the first of them speaks for all."""

    items: Sequence[Item]

    @property
    def first(self) -> Item:
        return self.items[0]

    @property
    def name(self) -> str:
        """What its parts are found by on the page."""
        return str(self.first.approval.pk)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter as a link: its words, where it leads, and whether it is on."""

    label: str
    address: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Desk:
    """The inbox of one person. `alike` are light questions that can be answered together.

    `held` is what was approved and can still be taken back; about `asked` somebody waits for what this person knows.
    """

    groups: Sequence[Group]
    alike: Sequence[Alike]
    held: Sequence[Item]
    asked: Sequence[Item]
    decided: Sequence[Approval]
    counts: inbox.Counts
    filters: Filters
    pipelines: Sequence[Pipeline]

    @property
    def first(self) -> Approval | None:
        lists = [group.items for group in self.groups] + [one.items for one in self.alike]
        return lists[0][0].approval if lists else None

    @property
    def views(self) -> list[tuple[Chip, int]]:
        """Whose questions, each with how many there are before the filters."""
        return [(self._chip("view", name, label), getattr(self.counts, name)) for name, label in VIEWS.items()]

    @property
    def chips(self) -> list[Chip]:
        """The filters that are one press each."""
        due = [self._chip("due", name, label) for name, label in _DUE.items()]
        return due + [self._chip("risk", tone, word) for tone, word in _RISKS.items()]

    def _chip(self, name: str, value: str, label: str) -> Chip:
        is_on = getattr(self.filters, name) == value
        wanted = self.filters if name == "view" and is_on else self.filters.toggled(name, value)
        return Chip(label, wanted.address, is_on)


def desk(actor: Actor, filters: Filters) -> Desk:
    """Return the inbox: what waits for me, for my team, or everything, by when it is due."""
    rows = {"mine": inbox.mine, "team": inbox.team, "all": inbox.open_for}[filters.view](actor)
    found = items(filters.apply(rows.filter(held_until=None))[:MOST])
    alike = [] if filters.view == "all" else _alike(found)
    together = {item.approval.pk for one in alike for item in one.items}
    return Desk(
        groups=_groups([item for item in found if item.approval.pk not in together]),
        alike=alike,
        held=items(inbox.held(actor)[:MOST]),
        asked=items(inbox.asked_of(actor)[:MOST]),
        decided=list(inbox.just_decided(actor)[:8]),
        counts=inbox.counts(actor),
        filters=filters,
        pipelines=list(scoped(Pipeline, actor).filter(archived_at=None).order_by("name")),
    )


def _groups(found: Iterable[Item]) -> list[Group]:
    limit = timezone.now() + TODAY
    today: list[Item] = []
    later: list[Item] = []
    for item in found:
        is_today = item.approval.expires_at and item.approval.expires_at < limit
        (today if is_today else later).append(item)
    return [group for group in (Group("Due within a day", today), Group("Later", later)) if group.items]


def _alike(found: Sequence[Item]) -> list[Alike]:
    """Return what stands in the list at least twice; a single light question stays among the others."""
    kinds = [(item, bulk.kin(item.approval)) for item in found]
    often = [kin for kin, number in Counter(kin for _, kin in kinds if kin).items() if number > 1]
    return [Alike([item for item, kin in kinds if kin == wanted]) for wanted in often]
