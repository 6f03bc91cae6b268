"""Makes a plausible instance of a JSON Schema from a few words: what the demo models and rehearsals answer with."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.model import Json

MAX_DEPTH = 8
_LONG = ("body", "text", "content", "article", "answer", "report", "summary", "draft", "reply", "message", "note")
_SHORT = ("title", "subject", "headline", "name", "label", "topic")
_BRANCHES = ("anyOf", "oneOf", "allOf")
_FORMATS = {
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, slots=True)
class Words:
    """What to write with: a short line, the long text, and separate points."""

    title: str
    text: str
    points: Sequence[str]
    source: str = ""

    def number(self, salt: str) -> float:
        """Return a number in [0, 1) that depends on the words and the salt alone."""
        return zlib.crc32(f"{salt}\0{self.title}\0{self.source}".encode()) / 2**32


def instance(schema: Json, words: Words, name: str = "", root: Json = None, depth: int = 0) -> Json:
    """Return a value that fits the schema's types, enums, lengths and ranges; patterns are not tried.

    `name` is the property's name, which decides what a string says. `root` holds the $defs.
    """
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return words.title
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return chosen(schema["enum"], words)
    match _type_of(schema):
        case "object":
            properties: Mapping[str, Json] = schema.get("properties", {})
            return {key: instance(value, words, key, root, depth + 1) for key, value in properties.items()}
        case "array":
            return _array(schema, words, name, root, depth)
        case "number" | "integer" as kind:
            return _number(schema, words, name, whole=kind == "integer")
        case "boolean" | "null" as kind:
            return True if kind == "boolean" else None
        case _:
            return _string(schema, words, name)


def chosen(options: Sequence[Json], words: Words) -> Json:
    """Return the option that the source text speaks of most."""
    return max(options, key=lambda option: overlap(option, options, words))


def overlap(option: Json, options: Sequence[Json], words: Words) -> int:
    """Return how many word stems of an option the source has too, besides the lines "- option: description"."""
    described: dict[str, str] = {}
    rest = []
    for line in words.source.splitlines():
        name, colon, description = line.strip().removeprefix("- ").partition(":")
        if colon and name in options:
            described[name] = description
        else:
            rest.append(line)
    return len(stems(f"{option} {described.get(str(option), '')}") & stems("\n".join(rest)))


def _resolved(schema: Mapping[str, Json], root: Json) -> Mapping[str, Json]:
    for _ in range(MAX_DEPTH):
        branch = next((schema[key][0] for key in _BRANCHES if schema.get(key)), None)
        if isinstance(branch, Mapping):
            schema = {
                **{key: value for key, value in schema.items() if key not in _BRANCHES},
                **branch,
            }
        elif isinstance(schema.get("$ref"), str) and schema["$ref"].startswith("#/"):
            target: Json = root
            for part in schema["$ref"][2:].split("/"):
                target = target.get(part, {}) if isinstance(target, Mapping) else {}
            schema = target if isinstance(target, Mapping) else {}
        else:
            break
    return schema


def _type_of(schema: Mapping[str, Json]) -> str:
    kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "string")
    return str(kind[0] if isinstance(kind, list) and kind else kind)


def _array(schema: Mapping[str, Json], words: Words, name: str, root: Json, depth: int) -> list[Json]:
    least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 3))
    count = max(least, min(most, 3, len(words.points)))
    points = [words.points[index % len(words.points)] if words.points else words.title for index in range(count)]
    items = schema.get("items", {})
    return [instance(items, _entry(point, words.source), name, root, depth + 1) for point in points]


def _entry(point: str, source: str) -> Words:
    """Return the words of one entry: "Name: what is said" is called by the name."""
    head, colon, said = point.partition(": ")
    return Words(head, said, (said,), source) if colon else Words(point, point, (point,), source)


def _number(schema: Mapping[str, Json], words: Words, name: str, *, whole: bool) -> float | int:
    """Return a number in range, at 70–95 % of it, as scores and confidences tend to be."""
    least = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
    usual = 1.0 if "confidence" in name or "probability" in name else 10.0
    most = float(schema.get("maximum", schema.get("exclusiveMaximum", least + usual)))
    value = least + (most - least) * (0.7 + 0.25 * words.number(name))
    return round(value) if whole else round(value, 2)


def _string(schema: Mapping[str, Json], words: Words, name: str) -> str:
    if (known := _FORMATS.get(str(schema.get("format", "")))) is not None:
        return known
    lowered = name.lower()
    if lowered in _SHORT or any(lowered.endswith(f"_{word}") for word in _SHORT):
        text = words.title
    elif lowered in _LONG or any(word in lowered for word in _LONG):
        text = words.text
    else:
        text = words.points[0] if words.points else words.title
    text = text[: int(schema.get("maxLength", 4_000))]
    return text.ljust(int(schema.get("minLength", 0)), ".")


def stems(text: str) -> set[str]:
    """Return the words of four letters and more, cut to five, so that "charged" meets "charge"."""
    letters = "".join(character if character.isalnum() else " " for character in text.lower())
    return {word[:5] for word in letters.split() if len(word) >= 4}
