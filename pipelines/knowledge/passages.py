"""Cuts a text into passages, at the ends of paragraphs and sentences wherever there are any."""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST = 1_200
"""Characters of a passage."""
OVERLAP = 200
"""A last sentence of at most so many characters begins the next passage too, where the cut is inside a paragraph."""

_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_SENTENCE = re.compile(r"(?<=[.!?…])[ \t]+|\n")
_HEADING = re.compile(r"#{1,6} ")


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage; `place` says where in the text it stands."""

    text: str
    place: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, or what is cut out of one that is too long. `opens`: a paragraph begins; `heads`: it is a heading."""

    start: int
    end: int
    opens: bool
    heads: bool


def cut(text: str, *, by_paragraph: bool = False) -> list[Cut]:
    """Return the passages of a text, in order, each of at most MOST characters; a Markdown heading begins a new one.

    Places are lines, "lines 4–9", or with `by_paragraph` the number of the paragraph, "§3". Linear in the text.
    """
    pieces = list(_pieces(text))
    opened = [piece.start for piece in pieces if piece.opens]
    breaks = [match.start() for match in re.finditer("\n", text)]

    def place(start: int, end: int) -> str:
        if by_paragraph:
            return _range("§", "§", bisect.bisect_right(opened, start), bisect.bisect_right(opened, end - 1))
        first, last = bisect.bisect_left(breaks, start) + 1, bisect.bisect_left(breaks, end) + 1
        return _range("line ", "lines ", first, last)

    return [Cut(text[start:end], place(start, end)) for start, end in _packed(pieces)]


def _range(one: str, several: str, first: int, last: int) -> str:
    return f"{one}{first}" if first == last else f"{several}{first}–{last}"


def _packed(pieces: list[_Piece]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of pieces, as long as they may be."""
    first = 0
    while first < len(pieces):
        last = first + 1
        while last < len(pieces) and _joins(pieces, first, last):
            last += 1
        stop = _earlier(pieces, first, last)
        yield pieces[first].start, pieces[stop - 1].end
        first = _next(pieces, first, stop)


def _joins(pieces: list[_Piece], first: int, last: int) -> bool:
    """Say whether this piece still belongs to the passage that `first` began."""
    if pieces[last].end - pieces[first].start > MOST:
        return False
    return not (pieces[last].heads and any(not piece.heads for piece in pieces[first:last][-1:]))


def _earlier(pieces: list[_Piece], first: int, last: int) -> int:
    """Return where to stop: at the last paragraph's beginning, if that leaves half a passage or more."""
    if last == len(pieces) or pieces[last].opens:
        return last
    for stop in range(last - 1, first, -1):
        if pieces[stop - 1].end - pieces[first].start < MOST // 2:
            break
        if pieces[stop].opens:
            return stop
    return last


def _next(pieces: list[_Piece], first: int, stop: int) -> int:
    """Return where the next passage begins: with the last sentence again, if the cut is inside a paragraph."""
    if stop == len(pieces) or pieces[stop].opens or stop - 1 <= first:
        return stop
    again = pieces[stop - 1]
    fits = again.end - again.start <= OVERLAP and pieces[stop].end - again.start <= MOST
    return stop - 1 if fits else stop


def _pieces(text: str) -> Iterator[_Piece]:
    for start, end in _spans(text, 0, len(text), _PARAGRAPH):
        heading = _HEADING.match(text, start) is not None
        opens = True
        for begin, finish in _spans(text, start, end, _SENTENCE):
            heads = heading and opens
            for at in _short(text, begin, finish):
                yield _Piece(*at, opens=opens, heads=heads)
                opens = False


def _spans(text: str, start: int, end: int, border: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield what stands between the borders, without white space around it and without what is empty."""
    at = start
    for match in border.finditer(text, start, end):
        yield from _trimmed(text, at, match.start())
        at = match.end()
    yield from _trimmed(text, at, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    if bare := part.strip():
        begin = start + len(part) - len(part.lstrip())
        yield begin, begin + len(bare)


def _short(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield a sentence in parts that fit a passage, cut between words where there are any."""
    while end - start > MOST:
        space = text.rfind(" ", start + MOST // 2, start + MOST)
        stop = space if space > 0 else start + MOST
        yield from _trimmed(text, start, stop)
        start = stop
    yield from _trimmed(text, start, end)
