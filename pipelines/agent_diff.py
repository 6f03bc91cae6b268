"""What differs between two versions of an agent: words put in and left out within their sentence, settings as words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.graph.lock import AgentSpec
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.schema_fields import Row, shown
from pipelines.wording import Piece, words

TEXTS = (("role", "Role"), ("goal", "Goal"), ("instructions", "Instructions"))
_TYPES = {"string": "a text", "number": "a number", "integer": "a whole number", "boolean": "yes or no"}
_TYPES |= {"array": "a list", "object": "an object", "": "what its JSON says"}


@dataclass(frozen=True, slots=True)
class Text:
    """One text of an agent with its differences marked."""

    name: str
    pieces: Sequence[Piece]

    @property
    def differs(self) -> bool:
        return any(piece.mark for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that differs, in words. `before` and `after` are "" where there was or is nothing."""

    name: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    texts: Sequence[Text]
    settings: Sequence[Setting]


def changed(old: AgentSpec, new: AgentSpec) -> str:
    """Return what differs, by name: "instructions, model"; cheap, for a list."""
    names = {**dict(TEXTS), "model": "Model", "fallback": "Fallbacks", "tools": "Tools", "output_schema": "Answer"}
    names |= {"max_output": "Length", "temperature": "Temperature", "max_cost_micros": "Cap"}
    names |= {"secrets": "Secrets", "egress": "Hosts"}
    return ", ".join(title.lower() for name, title in names.items() if getattr(old, name) != getattr(new, name))


def difference(old: AgentSpec, new: AgentSpec) -> Difference:
    """Return what the newer version says otherwise than the older."""
    texts = [Text(title, words(getattr(old, name), getattr(new, name))) for name, title in TEXTS]
    return Difference(texts, [*_settings(old, new), *_fields(old.output_schema, new.output_schema)])


def _settings(old: AgentSpec, new: AgentSpec) -> Iterator[Setting]:
    for name, title, said in (
        ("model", "Model", str),
        ("max_output", "Longest answer", lambda value: f"{value:,} tokens"),
        ("temperature", "Temperature", lambda value: "the model's own" if value is None else f"{value:g}"),
        ("max_cost_micros", "Cap of a step", lambda value: "none" if value is None else f"${dollars(value)}"),
        ("fallback", "Fallbacks", lambda value: ", then ".join(value) or "none"),
    ):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Setting(title, said(before), said(after))
    for name, title in (("tools", "Tool"), ("secrets", "Secret"), ("egress", "Host")):
        before, after = getattr(old, name), getattr(new, name)
        yield from (Setting(f"{title} “{one}”", before="given") for one in before if one not in after)
        yield from (Setting(f"{title} “{one}”", after="given") for one in after if one not in before)


def _fields(old: Json, new: Json) -> Iterator[Setting]:
    """Yield what differs between two output schemas, field by field where they have fields."""
    if old == new:
        return
    before, after = shown(old), shown(new)
    if bool(before.rows) != bool(after.rows) or (not before.rows and not after.rows):
        yield Setting("Answer", _whole(old), _whole(new))
        return
    olds, news = {row.name: row for row in before.rows}, {row.name: row for row in after.rows}
    for name, row in olds.items():
        if name not in news:
            yield Setting(f"Field “{name}”", before=_said(row))
    for name, row in news.items():
        if name not in olds:
            yield Setting(f"Field “{name}”", after=_said(row))
        elif (was := _said(olds[name])) != (now := _said(row)):
            yield Setting(f"Field “{name}”", was, now)
        elif olds[name].more != row.more:
            yield Setting(f"Further rules of “{name}”", olds[name].more or "none", row.more or "none")
    if before.more != after.more:
        yield Setting("Further rules of the answer", before.more or "none", after.more or "none")


def _whole(schema: Json) -> str:
    if schema is None:
        return "plain text"
    names = [row.name for row in shown(schema).rows]
    return f"fields {', '.join(names)}" if names else "what its JSON Schema says"


def _said(row: Row) -> str:
    of = f" of {row.items}s" if row.type == "array" and row.items else ""
    words = f"{_TYPES[row.type]}{of}, {'required' if row.required else 'optional'}"
    if row.enum:
        words += f", one of {row.enum}"
    return f"{words}: {row.description}" if row.description else words
