"""Two texts compared word by word: whole, or abridged to what changed and the words around it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import re2

AROUND = 9
MOST_WORDS = 1_200
MOST_TOKENS = 3_000
LONGEST = 1_200
ALIKE = 0.35
# A value such as ${input.topic} is one word, and a full stop is one of its own.
_WORDS = re.compile(r"\$\{[^}]*\}\s*|\w+\s*|[^\w\s]\s*|\s+")
_TOKENS = re2.compile(r"\s+|[^\s]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: `mark` is "del", "ins", "gap" (left out, the same on both sides) or "" for the same."""

    text: str
    mark: str = ""


def abridged(before: str, after: str) -> list[Piece]:
    """Return a text's change word by word; line by line where it is long, whole where little stayed or it is a name."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    is_name = len(before.split()) < 2 and len(after.split()) < 2
    if max(len(old), len(new)) <= MOST_WORDS and not is_name:
        # A word is the same word whatever space comes after it.
        bare = [[word.rstrip() for word in side] for side in (old, new)]
        matcher = SequenceMatcher(None, bare[0], bare[1], autojunk=False)
        kept = sum(block.size for block in matcher.get_matching_blocks())
        # What was only added to, or only taken from, is told so however little of it there was.
        if matcher.ratio() >= ALIKE or 0 < kept == min(len(old), len(new)):
            return list(_woven(matcher, old, new))
    return [Piece(cut(text), mark) for text, mark in ((before, "del"), (after, "ins")) if text]


def _woven(matcher: "SequenceMatcher[str]", old: Sequence[str], new: Sequence[str]) -> Iterator[Piece]:
    steps = matcher.get_opcodes()
    for index, (what, old_from, old_to, new_from, new_to) in enumerate(steps):
        if what == "equal":
            yield from _same(new[new_from:new_to], first=index == 0, last=index == len(steps) - 1)
            continue
        went, came = "".join(old[old_from:old_to]), "".join(new[new_from:new_to])
        # The space after a word is neither struck through nor shown as new.
        yield from (Piece(text.rstrip(), mark) for text, mark in ((went, "del"), (came, "ins")) if text.strip())
        if space := (came or went)[len((came or went).rstrip()) :]:
            yield Piece(space)


def _same(words: Sequence[str], *, first: bool, last: bool) -> Iterator[Piece]:
    """Yield what stayed the same, without the middle of it that helps nobody."""
    head, tail = (0 if first else AROUND), (0 if last else AROUND)
    if len(words) <= head + tail + AROUND:
        yield Piece("".join(words))
        return
    if head:
        yield Piece("".join(words[:head]))
    yield Piece(" … ", "gap")
    if tail:
        yield Piece("".join(words[-tail:]))


def cut(text: str) -> str:
    """Return a text as far as a page shows it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def words(old: str, new: str) -> list[Piece]:
    """Return the newer text with the words that came and went; very long texts are compared as wholes."""
    before, after = _TOKENS.findall(old), _TOKENS.findall(new)
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    middle = _middle(left, right)
    return _sewn([("", after[:start]), *middle, ("", after[len(after) - end :])])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _middle(old: list[str], new: list[str]) -> Iterator[tuple[str, list[str]]]:
    if max(len(old), len(new)) > MOST_TOKENS:
        yield from (("del", old), ("ins", new))
        return
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            yield "", new[j1:j2]
        else:
            yield "del", old[i1:i2]
            yield "ins", new[j1:j2]


def _sewn(pieces: Sequence[tuple[str, list[str]]]) -> list[Piece]:
    """Return the pieces that say something; a lone space between two changes joins both."""
    found: list[Piece] = []
    gone: list[str] = []
    came: list[str] = []

    def close() -> None:
        if "".join(gone).strip() or "".join(gone) != "".join(came):
            found.extend(Piece("".join(one), kind) for kind, one in (("del", gone), ("ins", came)) if one)
        elif came:
            found.append(Piece("".join(came)))
        gone.clear()
        came.clear()

    for index, (kind, tokens) in enumerate(pieces):
        between = gone or came
        bridge = not kind and between and len(tokens) == 1 and tokens[0] == " " and index + 1 < len(pieces) - 1
        if not kind and not bridge:
            close()
            if tokens:
                found.append(Piece("".join(tokens)))
        else:
            if kind != "ins":
                gone.extend(tokens)
            if kind != "del":
                came.extend(tokens)
    close()
    return found
