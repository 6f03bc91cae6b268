"""The workspace's rules about approvals: which of them a call meets, and what they then ask. Pure.

A rule only ever adds: what it asks has to be met beside what the pipeline asks, never instead of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from approvals import business
from approvals.business import Calendar
from approvals.needs import Need
from pipelines.graph.model import Json

EFFECTS = ("none", "reversible", "irreversible")
_ABSENT = object()
_LONGEST_NUMBER = 60


@dataclass(frozen=True, slots=True)
class Level:
    """Who is asked for `within` seconds before the next level is asked too; None: for as long as it takes."""

    roles: frozenset[str]
    people: frozenset[str]
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it stood when a question was asked.

    `tool` is an id with or without its version, "" for all. `effect` is the least effect that it is about, "" for
    any question. `amount_at` is a JSON pointer into the call's arguments, `amount_least` the number from which on
    the rule counts. `remind_before` is in seconds before a level's end, `hold` in seconds after the last approval.
    """

    id: str
    name: str
    levels: tuple[Level, ...]
    least: int = 1
    tool: str = ""
    effect: str = ""
    amount_at: str = ""
    amount_least: Decimal | None = None
    calendar: Calendar | None = None
    remind_half: bool = True
    remind_before: tuple[int, ...] = ()
    hold: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """What would be done: nothing where `tool` is "". An effect that is not known counts as irreversible."""

    tool: str = ""
    effect: str = "none"
    args: Json = None


def read(data: Mapping[str, Json]) -> Rule:
    """Return a rule as the database froze it on a question."""
    least = data["amount_least"]
    levels = tuple(
        Level(frozenset(level["roles"]), frozenset(level["people"]), level["within"]) for level in data["levels"]
    )
    return Rule(
        id=data["id"],
        name=data["name"],
        levels=levels,
        least=data["least"],
        tool=data["tool"],
        effect=data["effect"],
        amount_at=data["amount_at"],
        amount_least=None if least is None else Decimal(least),
        calendar=business.read(data["calendar"]) if data["calendar"] else None,
        remind_half=data["remind_half"],
        remind_before=tuple(data["remind_before"]),
        hold=int(data.get("hold", 0)),
    )


def applies(rule: Rule, call: Call) -> bool:
    """Tell whether the rule is about this call. Where that cannot be established, it is."""
    if rule.tool and rule.tool not in (call.tool, call.tool.partition("@")[0]):
        return False
    if rule.effect and rank(call.effect) < rank(rule.effect):
        return False
    return rule.amount_least is None or _reaches(rule, call, rule.amount_least)


def need(rule: Rule, level: int = 0) -> Need:
    """Return what the rule asks at a level, counted from 0: its people join those of the levels before."""
    asked = rule.levels[: level + 1]
    roles = frozenset[str]().union(*(one.roles for one in asked))
    return Need(roles, frozenset[str]().union(*(one.people for one in asked)), rule.least, rule.name)


def rank(effect: str) -> int:
    """Return how bad an effect is: 0 for none, 2 for irreversible and for every word that is not known."""
    return EFFECTS.index(effect) if effect in EFFECTS else len(EFFECTS) - 1


def is_pointer(text: str) -> bool:
    """Tell whether a text is a JSON pointer to something within a value."""
    return text.startswith("/") and all(part[:1] in ("0", "1") for part in text.split("~")[1:])


def _reaches(rule: Rule, call: Call, least: Decimal) -> bool:
    """An amount that is there but no number reaches every threshold, and so does a missing one of a named tool.

    A rule for all tools passes over those that have no such argument.
    """
    found = _at(call.args, rule.amount_at)
    if found is _ABSENT or found is None:
        return bool(rule.tool)
    amount = _number(found)
    return amount is None or abs(amount) >= least


def _number(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _at(value: Json, pointer: str) -> Json | object:
    """Follow a JSON pointer (RFC 6901); return `_ABSENT` where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, Sequence) and not isinstance(value, str) and _is_index(name, len(value)):
            value = value[int(name)]
        else:
            return _ABSENT
    return value


def _is_index(name: str, size: int) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 6 and int(name) < size
