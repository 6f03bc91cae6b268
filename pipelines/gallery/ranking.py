"""Which template fits what a person wants: a pure function from three answers to an order with its reasons."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.gallery.needs import Consent, Way

GOAL, WORD, MOST_WORDS = 40, 12, 4
WAY, NO_WAY, UNASKED = 14, -10, -16
CONSENT, NO_CONSENT = 14, -8
ALTERNATIVES = 2
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ers", "er", "ed", "es", "s", "e", "y")
_LEAST = 4

GOALS = {
    "Create": "make something",
    "Research": "find something out",
    "Sell": "win customers",
    "Support": "answer people",
    "Decide": "decide something",
    "Data": "bring data in order",
    "Build": "build software",
}
SAYS = {Way.MAIL: "mail", Way.CRM: "the CRM", Way.WEB: "the web"}
_ASKED = {
    Consent.BEFORE: "A person approves before anything is carried out.",
    Consent.PLAN: "A person approves the plan before work begins.",
    Consent.UNSURE: "A person is asked only where the agents do not agree.",
}
_DOES = {Way.MAIL: "sends email", Way.CRM: "writes to the CRM", Way.WEB: "uses the web"}


@dataclass(frozen=True, slots=True)
class Answers:
    """`ways` and `consent` are None where the person did not say."""

    text: str = ""
    goal: str = ""
    ways: frozenset[Way] | None = None
    consent: Consent | None = None

    @property
    def are_there(self) -> bool:
        return bool(self.text.strip() or self.goal) or self.ways is not None or self.consent is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a template; `text` is its title and what it says of itself."""

    name: str
    goal: str
    words: Sequence[str]
    text: str
    ways: frozenset[Way]
    consent: frozenset[Consent]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A template with why it fits (`reasons`) and where it does not (`gaps`), in words."""

    name: str
    score: int
    reasons: tuple[str, ...]
    gaps: tuple[str, ...]


def propose(candidates: Iterable[Candidate], answers: Answers) -> list[Proposal]:
    """Return the best template and at most two alternatives that fit at all; of equal ones the first given.

    The second alternative fits at least half as well as the best.
    """
    ranked = sorted((_proposal(one, answers) for one in candidates), key=lambda one: -one.score)
    best, nearest = ranked[:1], [one for one in ranked[1 : 1 + ALTERNATIVES] if one.score > 0]
    return best + nearest[:1] + [one for one in nearest[1:] if 2 * one.score >= best[0].score]


def _proposal(one: Candidate, answers: Answers) -> Proposal:
    parts = [_by_goal(one, answers), _by_words(one, answers), *_by_ways(one, answers), _by_consent(one, answers)]
    said = [part for part in parts if part[1]]
    reasons = tuple(sentence for points, sentence in said if points > 0)
    gaps = tuple(sentence for points, sentence in said if points < 0)
    return Proposal(one.name, sum(points for points, _ in parts), reasons, gaps)


def _by_goal(one: Candidate, answers: Answers) -> tuple[int, str]:
    fits = bool(answers.goal) and one.goal == answers.goal
    return (GOAL, f"It is made to {GOALS[one.goal]}.") if fits else (0, "")


def _by_words(one: Candidate, answers: Answers) -> tuple[int, str]:
    known = {_stem(word) for word in _tokens(" ".join([*one.words, one.text]))}
    telling = {_stem(word) for word in one.words}
    found = [word for word in dict.fromkeys(_tokens(answers.text)) if _stem(word) in known]
    if not found:
        return 0, ""
    points = sum(WORD if _stem(word) in telling else WORD // 3 for word in found[:MOST_WORDS])
    return points, f"It is about {_listed([f'“{word}”' for word in found[:MOST_WORDS]])}, as you wrote."


def _by_ways(one: Candidate, answers: Answers) -> Iterable[tuple[int, str]]:
    if answers.ways is None:
        return
    if not answers.ways:
        yield _by_no_way(one)
        return
    if both := sorted(answers.ways & one.ways):
        yield WAY * len(both), f"It {_listed([_DOES[way] for way in both])}, as you said."
    if missing := sorted(answers.ways - one.ways):
        yield (
            NO_WAY * len(missing),
            f"It does not use {_listed([SAYS[way] for way in missing])} yet: add a step for it.",
        )
    if extra := sorted(one.ways - answers.ways):
        yield UNASKED // 4 * len(extra), f"It also {_listed([_DOES[way] for way in extra])}."


def _by_no_way(one: Candidate) -> tuple[int, str]:
    if not one.ways:
        return WAY // 2, "Nothing leaves Baton."
    return UNASKED * len(one.ways), f"It {_listed([_DOES[way] for way in sorted(one.ways)])}: take that step out."


def _by_consent(one: Candidate, answers: Answers) -> tuple[int, str]:
    wanted = answers.consent
    if wanted is None:
        return 0, ""
    if wanted == Consent.NOBODY:
        return (NO_CONSENT, "It waits for a person's yes.") if one.consent else (CONSENT // 2, "It waits for nobody.")
    if wanted in one.consent:
        return CONSENT, _ASKED[wanted]
    return NO_CONSENT, "It asks nobody yet: add a Person step." if not one.consent else "It asks a person elsewhere."


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _tokens(text: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", text.lower())
    return [word for word in words if (len(word) >= _LEAST and not _EMPTY.fullmatch(word)) or word in _SHORT]


_SHORT = frozenset({"ask", "crm", "bug", "tag"})
_EMPTY = re.compile(
    "about|after|against|also|been|before|both|does|each|every|from|have|here|into|just|like|make|much|need|only|other|"
    "over|should|some|something|take|than|that|their|them|then|there|these|they|thing|this|those|time|until|want|what|"
    "when|which|will|with|work|would|your"
)


def _stem(word: str) -> str:
    """Return a word without its ending, so that "replies" meets "reply" and "researching" meets "research"."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
