"""The one way in which the editor changes a draft: a command or ops in, the draft and what is new for the page out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from accounts import json_body
from accounts.access import Actor, get
from accounts.errors import Invalid, NotFound
from pipelines import drafts, readings
from pipelines.editor import commands, news, settings, view
from pipelines.editor.choices import newest
from pipelines.editor.desk import Desk
from pipelines.editor.fixes import fix_of
from pipelines.editor.presets import Offer
from pipelines.graph.model import Json
from pipelines.library.library import library_of
from pipelines.models import Draft, Pipeline
from pipelines.ops import Op

CHOSEN = ("preset", "port", "to")
SAID = {
    "add": "The step was added.",
    "connect": "The arrow was drawn.",
    "disconnect": "The arrow was removed.",
    "delete": "Removed.",
    "tidy": "Every box was placed anew.",
    "duplicate": "A copy was made.",
    "paste": "Pasted.",
    "swap": "The step changed places with its neighbour.",
    "wrap": "Grouped.",
    "move_into": "Moved.",
    "add_member": "Added to it.",
    "move_member": "Moved.",
    "remove_member": "Removed.",
    "fix": "Mended.",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a browser asks for: `ops` as they are, or the command `do` with its arguments. `rev` is what it showed."""

    rev: int
    op_id: str
    do: str = ""
    args: Mapping[str, Json] | None = None
    ops: Sequence[Op] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The draft as it is now, and what is different from what the page showed; `settings` where its own fields are."""

    editor: view.Editor
    news: news.News
    before: Sequence[view.Card]
    settings: bool

    @property
    def added(self) -> list[view.Card]:
        return [card for card in self.editor.cards if card.place in self.news.added]

    @property
    def reshaped(self) -> list[view.Card]:
        """Return the boxes that were there already and have other ports, or stand in a safe zone or no longer."""
        looked = {card.place: card.shape for card in self.before}
        return [card for card in self.editor.cards if looked.get(card.place, card.shape) != card.shape]

    @property
    def changed(self) -> list[view.Card]:
        return [card for card in self.editor.cards if card.place in self.news.changed]


def read(posted: Mapping[str, str]) -> Wish:
    """Return what a form asks for; Invalid `bad_command` when it cannot be read, or as `json_body.check`.

    `with` holds the arguments as JSON; what a plain form lets people choose comes in fields of its own.
    """
    try:
        wish = Wish(
            rev=int(posted["rev"]),
            op_id=posted["op_id"],
            do=posted.get("do", ""),
            args=json.loads(posted.get("with") or "{}"),
            ops=json.loads(posted.get("ops") or "[]"),
        )
    except (KeyError, ValueError, RecursionError):
        wish = None
    if (
        wish is None
        or not 0 < len(wish.op_id) <= 64
        or not isinstance(wish.args, dict)
        or not isinstance(wish.ops, list)
        or not all(isinstance(op, dict) for op in wish.ops)
    ):
        raise Invalid(
            "A change needs rev, op_id, and either do (with `with`, a JSON object) or ops (a JSON list of objects).",
            code="bad_command",
        )
    json_body.check(wish.args)
    chosen = {name: posted[name] for name in CHOSEN if posted.get(name)}
    return replace(wish, args={**wish.args, **chosen})


def change(actor: Actor, slug: str, wish: Wish) -> Draft:
    """Carry a wish out and return the draft. Raises as `commands.ops_of` and `drafts.change`."""
    pipeline = get(Pipeline.objects.select_related("workspace", "draft"), actor, slug=slug)
    ops = list(wish.ops) or _ops(actor, pipeline, wish)
    return drafts.change(actor, pipeline, drafts.Edit(wish.rev, wish.op_id, ops, merge=True))


def _ops(actor: Actor, pipeline: Pipeline, wish: Wish) -> list[Op]:
    args = wish.args or {}
    if wish.do != "fix":
        return commands.ops_of(wish.do, args, _desk(actor, pipeline, wish))
    wanted = (args.get("code"), args.get("where"))
    found = next((one for one in drafts.problems(actor, pipeline) if (one.code, one.where) == wanted), None)
    if found and (fix := fix_of(found, pipeline.draft.document)):
        return fix.ops
    raise Invalid("This problem is gone, or has no fix any more.", code="nothing_to_fix")


def outcome(actor: Actor, slug: str, rev: int) -> Outcome:
    """Return the draft as it is now and what is new in it since a page showed revision `rev`."""
    editor = view.editor_of(actor, slug)
    raw = drafts.document_at(editor.draft, rev)
    drawn = view.drawn_of(raw, editor.library)
    cards = view.cards_of(readings.parsed(raw), drawn, editor.library)
    return Outcome(editor, news.between(drawn, editor.picture), cards, settings.differ(raw, editor.draft.document))


def _desk(actor: Actor, pipeline: Pipeline, wish: Wish) -> Desk:
    library = library_of(actor)
    drawn = view.drawn_of(pipeline.draft.document, library)
    boxes = {place: placed.box for place, placed in drawn.by_place.items()}
    offer = Offer(newest(library.agents), newest(library.tools), newest(library.pipelines))
    return Desk(pipeline.draft.document, boxes, offer, _copied(actor, pipeline, wish.args or {}))


def _copied(actor: Actor, pipeline: Pipeline, args: Mapping[str, Json]) -> Json:
    """Return the document that steps are copied from, as it was then: what was cut out is not in the present one."""
    origin = str(args.get("pipeline") or pipeline.slug)
    try:
        draft = pipeline.draft if origin == pipeline.slug else get(Pipeline, actor, slug=origin).draft
    except NotFound:
        raise Invalid(
            "The pipeline that these steps were copied from is not in this workspace.",
            code="bad_command",
            where="/with",
        ) from None
    then = args.get("copied_rev")
    return drafts.document_at(draft, then) if isinstance(then, int) else draft.document
