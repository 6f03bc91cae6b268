"""Personal data in a text: email addresses, phone numbers, card numbers and IBANs, found and masked in linear time.

Card numbers count only with a right Luhn digit, IBANs only with a right check number (ISO 13616), so that order
numbers are left alone. Phone numbers are those with a country code or the usual separators: plain digits are none.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate

import re2

# In this order: what an earlier kind has found is not looked at again.
KINDS = ("email", "iban", "card", "phone")
_WORDS = {
    "email": ("an email address", "email addresses"),
    "iban": ("an IBAN", "IBANs"),
    "card": ("a card number", "card numbers"),
    "phone": ("a phone number", "phone numbers"),
}
_EMAIL = re2.compile(r"(?i)[a-z0-9._%+\-]{1,64}@[a-z0-9](?:[a-z0-9\-]{0,62}\.){1,8}[a-z]{2,24}\b")
_IBAN = re2.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b")
_CARD = re2.compile(r"\b[0-9](?:[ \-]?[0-9]){12,18}\b")
_PHONE = re2.compile(
    r"(?:\+|\b00)[1-9](?:[ ./\-]?\(?[0-9]\)?){6,14}\b"
    r"|\(0?[0-9]{2,5}\) ?[0-9](?:[ \-]?[0-9]){4,8}\b"
    r"|\b0[1-9][0-9]{0,3}[ /\-][0-9](?:[ \-]?[0-9]){4,8}\b"
    r"|\b[2-9][0-9]{2}[ .\-][0-9]{3}[ .\-][0-9]{4}\b"
)
_SHORTEST_IBAN = 15


@dataclass(frozen=True, slots=True)
class Found:
    """One piece of personal data and where it stands in its text."""

    kind: str
    start: int
    end: int


def found_in(text: str, kinds: Collection[str] = KINDS) -> list[Found]:
    """Return what is found of these kinds, in the order of the text; nothing overlaps."""
    taken: list[Found] = []
    for kind in KINDS:
        if kind in kinds:
            spans = _FINDERS[kind](text)
            taken.extend(_free(kind, spans, sorted(taken, key=lambda one: one.start)))
    return sorted(taken, key=lambda one: one.start)


def masked(text: str, found: Collection[Found]) -> str:
    """Return the text with its kind in brackets where each piece stood."""
    parts, position = [], 0
    for one in found:
        parts += [text[position : one.start], f"[{one.kind}]"]
        position = one.end
    return "".join([*parts, text[position:]])


def said(kind: str, count: int) -> str:
    """Return a count of a kind in words: "an IBAN", "3 phone numbers"."""
    one, many = _WORDS[kind]
    return one if count == 1 else f"{count} {many}"


def _free(kind: str, spans: Iterator[tuple[int, int]], taken: list[Found]) -> Iterator[Found]:
    """Yield the spans that touch nothing taken before; both come in the order of the text."""
    ends = list(accumulate((one.end for one in taken), max, initial=0))
    index = 0
    for start, end in spans:
        while index < len(taken) and taken[index].start < end:
            index += 1
        if ends[index] <= start:
            yield Found(kind, start, end)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _EMAIL.finditer(text))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _CARD.finditer(text) if _has_luhn_digit(match.group()))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _PHONE.finditer(text))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """Yield IBANs; words in capitals that follow one are no part of it, which only the check number tells."""
    for match in _IBAN.finditer(text):
        candidate = match.group()
        while len(candidate.replace(" ", "")) >= _SHORTEST_IBAN:
            if _has_check_number(candidate.replace(" ", "")):
                yield match.start(), match.start() + len(candidate)
                break
            candidate = candidate.rpartition(" ")[0]


def _has_luhn_digit(text: str) -> bool:
    """Tell whether the last digit is the check digit of ISO/IEC 7812-1."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and any(digits)


def _has_check_number(iban: str) -> bool:
    """Tell whether the number is 1 modulo 97, letters counting from A = 10 and the first four characters put last."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "phone": _phones,
}
