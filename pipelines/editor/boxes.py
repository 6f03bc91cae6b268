"""The boxes of the canvas as HTML. In plain strings: a template takes twenty times as long, and a draft may have a
thousand of them.

Icons are pictures in the style sheet (`static/js/editor/glyphs.js`), since each use of the sprite is a tree of its own.
"""

from html import escape
from typing import NamedTuple

from django.utils.safestring import SafeString, mark_safe

from pipelines.canvas import Mate, Placed
from pipelines.editor.view import CHOICE, TEXT, Card, Port
from pipelines.graph.crew import listed_at
from pipelines.words import Look, look_of


class _Sign(NamedTuple):
    """An icon and its word."""

    icon: str
    word: str


_GIVES = {TEXT: _Sign(icon="type", word="text"), CHOICE: _Sign(icon="diamond", word="a choice")}
_DATA = _Sign(icon="braces", word="data")
_SAFE = _Sign(icon="shield", word="may fail")
_MAY_FAIL = (
    f'<span class="end safe-word g-{_SAFE.icon}" title="A Combine further on goes on without this step when it fails">'
    f"{_SAFE.word}</span>"
)


def box_html(card: Card, *, is_furnished: bool = True) -> SafeString:
    """Return a box with its ports, which the canvas places, and its card.

    Unfurnished, both are text of the box (`static/js/editor/box.js`): a browser reads it many times faster.
    """
    placed, box = card.placed, card.placed.box
    kind, place = placed.node.kind, escape(card.place)
    holds = f" holds {kind}" if placed.is_group else " crewed" if placed.is_crew else ""
    words = escape(f"{placed.title}, {placed.subtitle}")
    inner = card_html(card) + "".join(map(_port, card.ports))
    rest = f">{inner}" if is_furnished else f" data-inner='{_quoted(inner)}'>"
    return _safe(
        f'<div class="box{holds}{" safe" if card.safe else ""}" id="node-{place}" data-place="{place}" '
        f'data-kind="{kind}" data-at="{box.x},{box.y},{box.w},{box.h}" tabindex="-1" role="group" '
        f'aria-label="{words}"{rest}</div>'
    )


def card_html(card: Card) -> SafeString:
    """Return what stands in a box; a change of its words replaces it."""
    placed, look = card.placed, look_of(card.placed.node.kind)
    if placed.is_crew:
        return _safe(_crew(placed, look))
    if placed.is_group:
        return _safe(_head(placed, look, f' id="card-{escape(card.place)}"'))
    faded = " faded" if placed.node.disabled else ""
    begin = f'class="node{" pill" if placed.is_pill else ""} {look.tile}{faded}" id="card-{escape(card.place)}"'
    if placed.is_pill:
        return _safe(f"<div {begin}>{_tile(look, ' s')}{_title(placed)}</div>")
    gives = _GIVES.get(card.gives, _DATA)
    return _safe(
        f'<div {begin}><div class="node-h">{_tile(look)}<div class="min0">{_title(placed, "")}'
        f'<small class="clip">{escape(placed.subtitle)}</small></div></div><div class="node-f">'
        f'<span class="gives g-{gives.icon}">{gives.word}</span>{_MAY_FAIL if card.safe else ""}</div></div>'
    )


def _head(placed: Placed, look: Look, name: str = "") -> str:
    hint = f'<span class="clip">{escape(placed.subtitle)}</span>'
    return f'<div class="group-h"{name}>{_tile(look, " s")}{_title(placed)}{hint}</div>'


def _crew(placed: Placed, look: Look) -> str:
    """Return the card of a Team or a Supervisor: its head, who is next, and who works in it."""
    place, at = escape(placed.place), listed_at(placed.node)
    faded = " faded" if placed.node.disabled else ""
    add = '<button class="crew-add g-plus" type="button" tabindex="-1" aria-label="Add to it" title="Add to it (A)">'
    return (
        f'<div class="node crew{faded}" id="card-{place}">{_head(placed, look)}'
        f'<p class="crew-order"><span class="clip">{escape(placed.order)}</span>{add}</button></p>'
        f'<ol class="mates cols-{placed.columns}" data-list="{at}">{"".join(map(_mate, placed.crew))}</ol></div>'
    )


def _mate(mate: Mate) -> str:
    member, look = mate.member, look_of(mate.member.kind)
    number = f'<i class="nth num">{mate.number}</i>' if mate.number else ""
    names = f'data-member="{escape(member.at)}" data-field="{escape(member.field)}"'
    words = f'<b class="clip">{escape(mate.title)}</b><small class="clip">{escape(mate.hint)}</small>'
    return (
        f'<li class="deep-{member.depth}"><button class="mate" type="button" tabindex="-1" {names}'
        f"{' data-listed' if member.is_listed else ''}>{_tile(look, ' s')}"
        f'<span class="min0">{words}</span>{number}</button></li>'
    )


def _tile(look: Look, size: str = "") -> str:
    return f'<span class="tile{size} {look.tile} g-{look.icon}" aria-hidden="true"></span>'


def _title(placed: Placed, css: str = ' class="clip"') -> str:
    title = escape(placed.title)
    return f'<b{css} title="{title}">{title}</b>'


def _port(port: Port) -> str:
    name, word = escape(port.name), escape(port.word or "next")
    return f'<i class="port out {port.shape}" data-port="{name}" data-offset="{port.offset}" title="{word}"></i>'


def _quoted(html: str) -> str:
    """Return HTML as the value of an attribute in single quotes, in which only these two mean something."""
    return html.replace("&", "&amp;").replace("'", "&#39;")


def _safe(html: str) -> SafeString:
    return mark_safe(html)  # noqa: S308 every word in it was escaped above
