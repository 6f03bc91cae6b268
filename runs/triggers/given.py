"""What a trigger gives its run: the events it may see, and the input that its template makes of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts.errors import Invalid
from pipelines.graph import canonical, expressions
from pipelines.graph.model import Json
from runs.engine import trust
from runs.models import Trigger

MAX_MADE = 2 * 1024 * 1024
"""Bytes of an input that is made of an event, at most: what a request may bring."""


@dataclass(frozen=True, slots=True)
class Given:
    """A run's input, and whose words stand in it (`runs.engine.origin`)."""

    values: Json
    labels: Mapping[str, str]


def of_schedule(trigger: Trigger, due: datetime) -> dict[str, Json]:
    """Return {due, local, zone}: when it was due, in UTC and on the clocks of its zone."""
    local = due.astimezone(ZoneInfo(trigger.zone))
    return {
        "due": due.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "local": local.isoformat(timespec="seconds"),
        "zone": trigger.zone,
    }


def made(trigger: Trigger, event: Json) -> Given:
    """Return the input that the trigger's template makes of an event; raise Invalid `bad_template`.

    What came from outside counts as a tool's words, whoever signed it.
    """
    try:
        values = _filled(trigger.input, {"event": event}, [MAX_MADE])
    except expressions.ExpressionError as error:
        message = f"The input cannot be made from the event: {error}"
        raise Invalid(message, code="bad_template", where="/input") from None
    if trigger.kind == Trigger.Kind.SCHEDULE or not isinstance(values, dict):
        return Given(values, {})
    template = trigger.input
    outside = values if isinstance(template, str) else [name for name in values if _reads(template[name])]
    return Given(values, {f"input.{name}": trust.TOOL for name in outside})


def _filled(template: Json, values: Mapping[str, Json], room: list[int]) -> Json:
    """Return the template with its holes filled, text by text; `room` is how many bytes the texts may still come to.

    So that a few texts which each repeat a large event are refused before all of them are there.
    """
    if isinstance(template, dict):
        return {name: _filled(one, values, room) for name, one in template.items()}
    if isinstance(template, list):
        return [_filled(one, values, room) for one in template]
    found = expressions.render(template, values)
    room[0] -= len(canonical.canonical_json(found))
    if room[0] < 0:
        raise expressions.ExpressionError("too_large", "it would be larger than 2 MB. Take less of the event.")
    return found


def _reads(template: Json) -> bool:
    return bool(expressions.references(template))
