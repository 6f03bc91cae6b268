"""How the built-in models answer from documents: they quote the sentences that share most words with the question."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import re2

from pipelines.graph.model import Json
from runs.execution.models.samples import stems

MOST_QUOTES = 3
_QUESTION = re2.compile(r"(?m)^Question: *([^\n]+)")
_FOUND = re2.compile(r"(?m)^Passages:\s*(\[)")
_SENTENCE = re2.compile(r"[^.!?\n]{12,}[.!?]")
_MARKS = frozenset('"“”„«»')


@dataclass(frozen=True, slots=True)
class _Quote:
    text: str
    source: str
    fits: int


def answer(prompt: str) -> str | None:
    """Return an answer made of quotations; None for a prompt that is no question over passages."""
    asked, found = _QUESTION.search(prompt), _FOUND.search(prompt)
    if not asked or not found:
        return None
    try:
        passages, _ = json.JSONDecoder().raw_decode(prompt, found.start(1))
    except ValueError:
        return None
    quotes = {quote.text: quote for quote in _quotes(passages, stems(str(asked.group(1)))) if quote.fits}
    best = sorted(quotes.values(), key=lambda quote: -quote.fits)[:MOST_QUOTES]
    if not best:
        return "The documents do not say. Ask somebody who knows, and add what they say to the collection."
    return "The documents say:\n\n" + "\n\n".join(f"“{quote.text}” ({quote.source})" for quote in best)


def _quotes(passages: Json, wanted: set[str]) -> Iterator[_Quote]:
    for passage in passages:
        if not isinstance(passage, Mapping):
            continue
        source = ", ".join(str(passage[key]) for key in ("document", "place") if passage.get(key))
        for sentence in map(str.strip, _SENTENCE.findall(str(passage.get("text", "")))):
            if not _MARKS & set(sentence):
                yield _Quote(sentence, source, len(stems(sentence) & wanted))
