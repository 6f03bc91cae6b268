"""Narrows the desk: which questions a reader wants to see, kept in the address so that a link shows the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from urllib.parse import urlencode

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from approvals.clock import ClockTimestamp
from approvals.models import Approval
from approvals.words import STAYS_INSIDE

VIEWS = ("mine", "team", "all")
DUE = {"hour": timedelta(hours=1), "today": timedelta(days=1)}
RISKS = ("hi", "md", "lo")
MOST_WORDS = 100


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reader chose; an empty text leaves everything in. What an address says wrongly counts as not said."""

    view: str = "mine"
    due: str = ""
    risk: str = ""
    kind: str = ""
    pipeline: str = ""
    q: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Filters":
        """Return the filters of an address."""
        found = cls(**{name: str(asked.get(name, ""))[:MOST_WORDS].strip() for name in cls.__slots__})
        return replace(
            found,
            view=found.view if found.view in VIEWS else "mine",
            due=found.due if found.due in DUE else "",
            risk=found.risk if found.risk in RISKS else "",
            kind=found.kind if found.kind in Approval.Kind else "",
        )

    @property
    def narrows(self) -> bool:
        """Whether anything but the view was chosen."""
        return any(value for name, value in asdict(self).items() if name != "view")

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """What was chosen, by name."""
        return [(name, value) for name, value in asdict(self).items() if value]

    @property
    def beside_the_form(self) -> list[tuple[str, str]]:
        """What the search form has no input of its own for, and so has to carry along."""
        return [pair for pair in self.chosen if pair[0] not in ("q", "pipeline")]

    @property
    def address(self) -> str:
        """The query of the address that shows this."""
        return "?" + urlencode(self.chosen)

    def toggled(self, name: str, value: str) -> "Filters":
        """Return the same with one filter set, or taken off where it was set to this."""
        return replace(self, **{name: "" if getattr(self, name) == value else value})

    def apply(self, rows: QuerySet[Approval]) -> QuerySet[Approval]:
        """Return those of the rows that were asked for; `view` is for whoever chooses the rows."""
        if self.due:
            rows = rows.filter(expires_at__lt=ClockTimestamp() + DUE[self.due])
        if self.risk:
            rows = rows.filter(has_risk(self.risk))
        if self.kind:
            rows = rows.filter(kind=self.kind)
        if self.pipeline:
            rows = rows.filter(pipeline__slug=self.pipeline)
        if self.q:
            rows = rows.annotate(said=Cast("payload", TextField())).filter(_says(self.q))
        return rows


def has_risk(tone: str) -> Q:
    """`words.risk` as a condition; a test compares the two."""
    acts = Q(action__tool__isnull=False) & ~Q(action__tool="")
    final = ~Q(action__has_key="effect") | Q(action__effect="irreversible")
    inside = Q()
    for name in sorted(STAYS_INSIDE):
        inside |= Q(action__tool=name) | Q(action__tool__startswith=f"{name}@")
    return {"hi": acts & final, "md": acts & ~final & ~inside, "lo": acts & ~final & inside}[tone]


def _says(words: str) -> Q:
    """Every word stands in the title, in the pipeline's name, in the run's number or in what would run."""
    found = Q()
    for word in words.split():
        one = Q(title__icontains=word) | Q(pipeline__name__icontains=word) | Q(said__icontains=word)
        number = word.removeprefix("#")
        if number.isascii() and number.isdigit() and len(number) < 10:
            one |= Q(run__number=int(number))
        found &= one
    return found
