"""What the pages of publishing, versions and comparing read, and what their forms do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts import paging
from accounts.access import Actor, Capability, get, may, roles_for
from accounts.errors import Invalid, NotFound
from pipelines import before_after, drafts, makers, publish, raising, splits
from pipelines.ahead import ahead
from pipelines.before_after import Drawing
from pipelines.changes import LINES, Told, told
from pipelines.checklist import Check, Reading, checks, reading
from pipelines.graph.model import Json
from pipelines.graph.parse import parse
from pipelines.graph.problems import Refusal
from pipelines.models import Draft, Pipeline, PipelineVersion
from pipelines.raising import Raises

DRAFT = "draft"
LONGEST_NOTE = 2_000
SHARES = (100, 50, 10)
PER_PAGE = 20
MOST_CHOICES = 200


@dataclass(frozen=True, slots=True)
class Side:
    """One of two documents that are compared: a version, or the draft where `version` is None."""

    name: str
    document: Mapping[str, Json]
    version: PipelineVersion | None = None

    @property
    def label(self) -> str:
        return f"v{self.version.number}" if self.version else "the draft"

    @property
    def title(self) -> str:
        return f"Version {self.version.number}" if self.version else "The draft"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What lies between two documents, in words and as pictures. `pictures` is None where they would be too large."""

    older: Side
    newer: Side
    entries: Sequence[Told]
    pictures: tuple[Drawing, Drawing] | None

    @property
    def count(self) -> int:
        """How many changes there are: an order of steps that is other counts once per line."""
        return sum(len(entry.lines) if entry.mark == LINES else 1 for entry in self.entries)

    @property
    def edits_draft(self) -> bool:
        """Whether the steps of the newer document can be opened in the editor."""
        return self.newer.version is None


@dataclass(frozen=True, slots=True)
class PublishPage:
    """`comparison` is None while nothing is published; then `picture` is the draft's alone.

    `raises` says how the draft raises caps of a run over what new runs get now, `keeps` how the published version does
    where it is to keep a share of them again: then a split has left it out.
    """

    pipeline: Pipeline
    draft: Draft
    next_number: int
    comparison: Comparison | None
    picture: Drawing | None
    reading: Reading
    checks: Sequence[Check]
    may_publish: bool
    publishers: Sequence[str]
    raises: Raises
    keeps: Raises
    note: str = ""
    reason: str = ""
    share: int = 100
    shares: Sequence[int] = SHARES

    @property
    def live(self) -> PipelineVersion | None:
        return self.pipeline.published

    @property
    def unchanged(self) -> bool:
        return self.comparison is not None and not self.comparison.entries


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list of versions; `before` is the number of the version that it is compared with first."""

    version: PipelineVersion
    is_live: bool
    arm: splits.Arm | None
    before: int | None
    raises: bool = False


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """`choices` are the numbers that a split can share new runs between, newest first.

    `raising` are those of them that raise a cap of a run over what new runs get now, `raises` says whose that is, and
    `end_raises` whether to end the split that runs does so.
    """

    pipeline: Pipeline
    draft: Draft
    differs: bool
    rows: Sequence[Row]
    next: str | None
    arms: Sequence[splits.Arm]
    choices: Sequence[int]
    raising: Sequence[int]
    raises: Raises
    may_publish: bool
    may_edit: bool
    publishers: Sequence[str]
    is_first: bool = True
    end_raises: bool = False

    @property
    def span(self) -> tuple[int, int] | None:
        """The lowest and highest number on this page."""
        numbers = [row.version.number for row in self.rows if row.version.number is not None]
        return (min(numbers), max(numbers)) if numbers else None

    @property
    def other(self) -> int | None:
        """The version to try beside the published one: the newest other."""
        live = self.pipeline.published
        return next((number for number in self.choices if live is None or number != live.number), None)


@dataclass(frozen=True, slots=True)
class ComparePage:
    """`raises` says how going back to the older side raises caps of a run."""

    pipeline: Pipeline
    comparison: Comparison
    choices: Sequence[int]
    may_publish: bool
    raises: Raises


def publish_page(actor: Actor, slug: str, posted: Mapping[str, str] | None = None) -> PublishPage:
    """Return what publishing the draft would change, and what stands in its way; `posted` keeps a refused form."""
    pipeline = _pipeline(actor, slug)
    live = pipeline.published
    found, given = reading(actor, pipeline), posted or {}
    raises = raising.shown(actor, pipeline, *([pipeline.draft.document] if found.document else []))
    share = given.get("share", "100")
    return PublishPage(
        pipeline=pipeline,
        draft=pipeline.draft,
        next_number=(_newest(pipeline) or 0) + 1,
        comparison=_with_live(pipeline),
        picture=before_after.alone(found.document) if found.document and not pipeline.published else None,
        reading=found,
        checks=checks(pipeline, found, raises.found),
        may_publish=may(actor, Capability.PUBLISH, pipeline),
        publishers=roles_for(Capability.PUBLISH),
        raises=raises,
        keeps=raising.shown(actor, pipeline, *([live.document] if live and pipeline.split else [])),
        note=given.get("note", ""),
        reason=given.get("reason", ""),
        share=int(share) if share in map(str, SHARES) else 100,
    )


def publish_draft(actor: Actor, slug: str, posted: Mapping[str, str]) -> PipelineVersion:
    """Publish the draft as its reader saw it, for all new runs or for a share of them.

    Raises as `publish.publish` and `splits.publish_beside`; Invalid for a share that is not offered or a note that is
    too long.
    """
    pipeline, share, note = _pipeline(actor, slug), posted.get("share", "100"), posted.get("note", "").strip()
    if share not in map(str, SHARES):
        raise Invalid("Choose who gets the new version: all new runs, half of them, or 10 %.", where="/share")
    if len(note) > LONGEST_NOTE:
        raise Invalid(f"A note has at most {LONGEST_NOTE:,} characters; this has {len(note):,}.", where="/note")
    revision = posted.get("revision", "")
    said = publish.Said(note, int(revision) if _is_number(revision) else None, posted.get("reason", ""))
    if share == "100":
        return publish.publish(actor, pipeline, said.note, said.revision, said.reason)
    return splits.publish_beside(actor, pipeline, int(share), said)


def versions_page(actor: Actor, slug: str, cursor: str | None = None) -> VersionsPage:
    """Return the published versions, newest first, a page at a time."""
    pipeline = _pipeline(actor, slug)
    found = pipeline.versions.filter(number__isnull=False).select_related("published_by").defer("document", "lock")
    page = paging.page(found, cursor, PER_PAGE, "-number")
    arms = splits.arms_of(pipeline)
    by_version = {arm.version: arm for arm in arms}
    live = pipeline.published
    choices, higher = _choices(pipeline), raising.versions(pipeline)
    return VersionsPage(
        pipeline=pipeline,
        draft=pipeline.draft,
        differs=bool(ahead([pipeline])),
        rows=[
            Row(one, one == live, by_version.get(one.number), one.number - 1 or None, one.number in higher)
            for one in page["items"]
        ],
        next=page["next"],
        arms=arms,
        choices=choices,
        raising=sorted(higher & set(choices)),
        raises=raising.shown(actor, pipeline),
        may_publish=may(actor, Capability.PUBLISH, pipeline),
        may_edit=may(actor, Capability.EDIT, pipeline),
        publishers=roles_for(Capability.PUBLISH),
        is_first=not cursor,
        end_raises=live is not None and live.number in higher,
    )


def compare_page(actor: Actor, slug: str, asked: Mapping[str, str]) -> ComparePage:
    """Return two documents side by side: `from` and `to` are numbers or "draft".

    Without them, what runs and the draft; raises NotFound for a version that is not there.
    """
    pipeline = _pipeline(actor, slug)
    live = str(pipeline.published.number) if pipeline.published else DRAFT
    older = _side(pipeline, asked.get("from") or live)
    newer = _side(pipeline, asked.get("to") or DRAFT)
    return ComparePage(
        pipeline=pipeline,
        comparison=_compared(older, newer),
        choices=_choices(pipeline),
        may_publish=may(actor, Capability.PUBLISH, pipeline),
        raises=raising.shown(actor, pipeline, *([older.document] if older.version else [])),
    )


def roll_back(actor: Actor, slug: str, number: int, posted: Mapping[str, str]) -> PipelineVersion:
    """Publish an old version again, as the next one; raises as `publish.rollback`."""
    return publish.rollback(actor, _pipeline(actor, slug), number, posted.get("reason", ""))


def edit_from(actor: Actor, slug: str, number: int, posted: Mapping[str, str]) -> Draft:
    """Put a version's document into the draft, as a change that can be undone; what runs stays as it is.

    Raises Conflict `stale_revision` where the draft is no longer what the reader saw, NotFound, Forbidden.
    """
    pipeline = _pipeline(actor, slug)
    version = publish.version_of(pipeline, number)
    revision = posted.get("revision", "")
    op = {"op": "replace", "document": version.document}
    seen = int(revision) if _is_number(revision) else pipeline.draft.revision
    return drafts.apply_ops(actor, pipeline, seen, makers.taking_from(number), [op])


def share_runs(actor: Actor, slug: str, posted: Mapping[str, str]) -> Pipeline:
    """Give a version some percent of the new runs and another the rest; raises as `splits.put`."""
    names = ("version", "percent", "other")
    if not all(_is_number(posted.get(name, "")) for name in names):
        raise Invalid("Choose two versions and a whole percent from 1 to 99.", code="bad_split", where="/arms")
    version, percent, other = (int(posted[name]) for name in names)
    wanted = [(version, percent), (other, 100 - percent)]
    return splits.put(actor, _pipeline(actor, slug), wanted, posted.get("reason", ""))


def end_sharing(actor: Actor, slug: str, posted: Mapping[str, str]) -> None:
    """Give all new runs the published version again; raises as `splits.end`."""
    splits.end(actor, _pipeline(actor, slug), posted.get("reason", ""))


def version_json(actor: Actor, slug: str, number: int) -> Mapping[str, Json]:
    """Return the document of a version, as it can be imported again."""
    document: Mapping[str, Json] = publish.version_of(_pipeline(actor, slug), number).document
    return document


def _pipeline(actor: Actor, slug: str) -> Pipeline:
    rows = Pipeline.objects.select_related("workspace", "draft__updated_by", "published__published_by")
    return get(rows, actor, slug=slug)


def _newest(pipeline: Pipeline) -> int | None:
    return next(iter(_choices(pipeline, 1)), None)


def _choices(pipeline: Pipeline, most: int = MOST_CHOICES) -> list[int]:
    numbers = pipeline.versions.filter(number__isnull=False).order_by("-number").values_list("number", flat=True)
    return [number for number in numbers[:most] if number is not None]


def _with_live(pipeline: Pipeline) -> Comparison | None:
    live = pipeline.published
    if live is None:
        return None
    return _compared(Side(str(live.number), live.document, live), _side(pipeline, DRAFT))


def _side(pipeline: Pipeline, name: str) -> Side:
    if name == DRAFT:
        return Side(DRAFT, pipeline.draft.document)
    if not _is_number(name):
        raise NotFound
    version = publish.version_of(pipeline, int(name))
    return Side(name, version.document, version)


def _compared(older: Side, newer: Side) -> Comparison:
    entries = told(older.document, newer.document)
    try:
        pictures = before_after.before_after(parse(older.document), parse(newer.document), entries)
    except Refusal:  # an old document that today's format no longer reads has words, but no picture
        pictures = None
    return Comparison(older, newer, entries, pictures)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
