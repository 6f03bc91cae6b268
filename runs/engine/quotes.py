"""Quotations: the passages in quotation marks or quoted lines of a text, and whether a source really says them."""

from collections.abc import Iterator

import re2

# What is shorter is a word in quotation marks, not a quotation.
SHORTEST = 12
_PASSAGES = (
    re2.compile(r"“([^“”]+)”"),
    re2.compile(r"„([^„“”]+)[“”]"),
    re2.compile(r"«([^«»]+)»"),
    re2.compile(r'"([^"\n]+)"'),
    re2.compile(r"(?m)^[ \t]*>[ \t]?(\S[^\n]*)$"),
)
_SPACE = re2.compile(r"\s+")
_ALIKE = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "..."})
_AROUND = " .,;:!?"


def not_in(source: str, text: str) -> Iterator[str]:
    """Yield each quotation of the text that the source does not have word for word.

    White space, the shape of quotation marks and dashes, and punctuation at either end do not count. A quotation with
    an omission ("… [...] …") is looked for in its parts.
    """
    known = _plain(source)
    for passage in dict.fromkeys(quotations(text)):
        if not all(part in known for part in _parts(passage)):
            yield passage


def quotations(text: str) -> Iterator[str]:
    """Yield the passages of a text that claim to be somebody else's words."""
    for pattern in _PASSAGES:
        for match in pattern.finditer(text):
            passage = match.group(1).strip()
            if len(passage) >= SHORTEST:
                yield passage


def _parts(passage: str) -> list[str]:
    pieces = _plain(passage).replace("[...]", "\0").replace("(...)", "\0").split("\0")
    return [piece.strip(_AROUND) for piece in pieces if piece.strip(_AROUND)]


def _plain(text: str) -> str:
    return str(_SPACE.sub(" ", text.translate(_ALIKE)))
