"""What a text says: equal, containing, matching a pattern, worded alike."""

import json
from collections import Counter
from collections.abc import Mapping
from math import sqrt

from evals.scorers.values import NOTHING, Score, Subject, Unscored, Verdict, of_parts, whether
from pipelines.graph.model import Json
from pipelines.graph.problems import shown
from pipelines.graph.regex import regex

_SHOWN = 120
# A longer text is compared by its beginning, so that a case cannot hold a worker up.
_COMPARED = 200_000
_GRAM = 3


def equals(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    wanted = assertion.get("value", subject.expected)
    if wanted is NOTHING:
        return _nothing_expected("equals")
    found = subject.output
    if assertion["ignore_case"]:
        found, wanted = _folded(found), _folded(wanted)
    return whether(
        same(found, wanted),
        "It is exactly what was expected.",
        f"Expected {brief(wanted)}, got {brief(subject.output)}.",
    )


def contains(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    wanted = assertion.get("value", subject.expected)
    if wanted is NOTHING:
        return _nothing_expected("contains")
    parts = [as_text(part) for part in (wanted if isinstance(wanted, list) else [wanted])]
    if not all(parts):
        return Unscored("contains has an empty text to look for.")
    fold, text = assertion["ignore_case"], as_text(subject.output)
    searched = text.casefold() if fold else text
    there = [part for part in parts if (part.casefold() if fold else part) in searched]
    missing = [part for part in parts if part not in there]
    match assertion["match"]:
        case "any":
            return whether(bool(there), f"It has {_listed(there)}.", f"It has none of {_listed(parts)}.")
        case "none":
            reason = f"It has {_listed(there)}." if there else "It has none of them."
            return of_parts(len(missing), len(parts), reason)
        case _:
            reason = f"It lacks {_listed(missing)}." if missing else f"It has {_listed(parts)}."
            return of_parts(len(there), len(parts), reason)


def matches(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    try:
        pattern = regex(assertion["pattern"])
    except ValueError as error:
        return Unscored(str(error))
    found, absent = pattern.found_in(as_text(subject.output)), assertion["absent"]
    said = f"{shown(assertion['pattern'])} is {'' if found else 'not '}in it."
    return Score(float(found is not absent), found is not absent, said)


def similar_wording(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    """Compare how two texts are worded; of what they mean this says nothing."""
    wanted = assertion.get("value", subject.expected)
    if wanted is NOTHING:
        return _nothing_expected("similar_wording")
    score, least = wording(as_text(wanted), as_text(subject.output)), assertion["min_score"]
    return Score(score, score >= least, f"Worded {score:.2f} alike; {least:g} is wanted.")


def wording(left: str, right: str) -> float:
    """Return the cosine of two texts' counts of three-letter groups, between 0 and 1; equal words in any order are 1
    but for the groups that cross from word to word."""
    one, other = _grams(left), _grams(right)
    if not one or not other:
        return float(one == other)
    product = sum(count * other[gram] for gram, count in one.items())
    lengths = sqrt(sum(n * n for n in one.values())) * sqrt(sum(n * n for n in other.values()))
    return min(1.0, product / lengths)


def _grams(text: str) -> Counter[str]:
    words = f" {' '.join(text[:_COMPARED].casefold().split())} "
    return Counter(words[at : at + _GRAM] for at in range(len(words) - _GRAM + 1)) if words.strip() else Counter()


def same(left: Json, right: Json) -> bool:
    """Tell whether two JSON values are equal: 1 is 1.0, but true is not 1."""
    match left, right:
        case (bool(), _) | (_, bool()):
            return left is right
        case dict(), dict():
            return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
        case list(), list():
            return len(left) == len(right) and all(map(same, left, right))
        case _:
            return bool(left == right)


def as_text(value: Json) -> str:
    """Return a value as the text that is searched; null is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def brief(value: Json) -> str:
    """Return the beginning of a value, for a reason."""
    text = as_text(value) if value is not None else "nothing"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _folded(value: Json) -> Json:
    return value.casefold() if isinstance(value, str) else value


def _listed(parts: list[str]) -> str:
    return ", ".join(f"“{brief(part)}”" for part in parts[:5]) + (f" and {len(parts) - 5} more" if parts[5:] else "")


def _nothing_expected(kind: str) -> Unscored:
    return Unscored(f"The case has no expected output, and {kind} names no value of its own.")
