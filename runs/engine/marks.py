"""Marks around words from outside, which no value can forge: for a model they are material, never an instruction."""

from collections.abc import Sequence
from functools import lru_cache

import re2

UNTRUSTED = ("model", "tool")
_HOLE = re2.compile(r"(?s)\$\{(.*?)\}")
_OPEN = re2.compile(r"^\s*(?:round\.n\s*|input\b[\w.\[\]]*\s*(?:\|\s*default\(.*\)\s*)?)$")
_MARK = re2.compile(r"(?i)<(/?\s*untrusted)")


def delimited(text: str, source: str) -> str:
    """Return text from outside between marks it cannot forge: its own look-alikes are broken up."""
    return f'<untrusted source="{source}">{harmless(text)}</untrusted>'


def harmless(text: str) -> str:
    """Return a text in which nothing looks like such a mark."""
    return str(_MARK.sub(r"< \1", text)) if "<" in text else text


def marked(template: str, text: str, source: str) -> str:
    """Return the text with what filled the template's holes between marks; outside them stand only the author's words.

    A hole with nothing but the run's input or the number of a round is left open as long as its bounds are certain.
    They are not when a value repeats the author's words around it; then every hole is marked, so that no value can talk
    itself outside.
    """
    words, holes = _pieces(template)
    bounds = _bounds(words, text)
    if bounds is None:
        return delimited(text, source)
    certain = bounds == _bounds_from_the_end(words, text)
    parts = [words[0]]
    for (begin, end), may_be_open, after in zip(bounds, holes, words[1:], strict=True):
        is_open = certain and may_be_open
        parts += [text[begin:end] if is_open else delimited(text[begin:end], source), after]
    return "".join(parts)


@lru_cache(maxsize=1024)
def _pieces(template: str) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """Return the author's words, and of each hole between them whether it holds only what may be left open; holes
    without words between them are one."""
    words, position = [""], 0
    holes: list[bool] = []
    for match in _HOLE.finditer(template):
        between = template[position : match.start()]
        if between or not holes:
            words[-1] += between
            holes.append(True)
            words.append("")
        holes[-1] = holes[-1] and bool(_OPEN.match(match.group(1)))
        position = match.end()
    words[-1] = template[position:]
    return tuple(words), tuple(holes)


def _bounds(words: Sequence[str], text: str) -> list[tuple[int, int]] | None:
    """Return where each hole's value begins and ends, each taken as short as it can be; None when nothing fits."""
    if not text.startswith(words[0]) or len(words) < 2:
        return None
    found, position = [], len(words[0])
    for following in words[1:-1]:
        if (end := text.find(following, position)) < 0:
            return None
        found.append((position, end))
        position = end + len(following)
    end = len(text) - len(words[-1])
    return [*found, (position, end)] if end >= position and text.endswith(words[-1]) else None


def _bounds_from_the_end(words: Sequence[str], text: str) -> list[tuple[int, int]] | None:
    mirrored = _bounds([word[::-1] for word in reversed(words)], text[::-1])
    return mirrored and [(len(text) - end, len(text) - begin) for begin, end in reversed(mirrored)]
