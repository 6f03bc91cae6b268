"""What is in a JSON output: one field of it, and whether it fits a schema."""

from collections.abc import Mapping

from evals.scorers.texts import brief, same
from evals.scorers.values import NOTHING, Subject, Unscored, Verdict, whether
from pipelines.graph import schemas
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal


class Missing(LookupError):
    """There is nothing at a pointer."""


def json_field(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    place = assertion["pointer"]
    try:
        wanted = assertion["value"] if "value" in assertion else _expected(subject, place)
    except Missing:
        return Unscored(f"The case expects nothing at {place or '/'}, and json_field names no value of its own.")
    try:
        found = at(subject.output, place)
    except Missing:
        return whether(False, "", f"There is nothing at {place or '/'}; expected {brief(wanted)}.")
    said = f"{place or '/'} is {brief(found)}"
    return whether(same(found, wanted), f"{said}.", f"{said}; expected {brief(wanted)}.")


def schema(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    try:
        found = schemas.findings(assertion["schema"], subject.output)
    except Refusal as refusal:
        return Unscored(f"The schema cannot be used: {refusal.message}")
    first = f"{found[0].pointer or '/'}: {found[0].message}" if found else ""
    return whether(not found, "It fits the schema.", first)


def at(value: Json, pointer: str) -> Json:
    """Return what stands at a JSON pointer (RFC 6901); raise Missing where nothing does."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        match value:
            case dict() if name in value:
                value = value[name]
            case list() if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(value):
                value = value[int(name)]
            case _:
                raise Missing(pointer)
    return value


def _expected(subject: Subject, place: str) -> Json:
    if subject.expected is NOTHING:
        raise Missing(place)
    return at(subject.expected, place)
