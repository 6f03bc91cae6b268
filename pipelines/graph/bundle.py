"""A bundle: a pipeline with the agents and pipelines that it names, each under the digest of what it says. Pure.

`parse` refuses whatever is not exactly that; `rewritten` follows the names of what a document refers to.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph import hygiene, parse
from pipelines.graph.canonical import digest
from pipelines.graph.composite import Field, Listing, Record, Table
from pipelines.graph.freeze import agents_of, content_hash, is_pipeline, pipelines_of
from pipelines.graph.lock import PIPELINE_TOOL
from pipelines.graph.model import Document, Json
from pipelines.graph.places import places
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.shape import ABSENT, Anything, Number, Text, Whole

FORMAT = "baton.bundle"
FORMAT_VERSION = "1.0"
MOST_PIPELINES, MOST_AGENTS = 100, 500

_HASH = Text(71, 71, r"^sha256:[0-9a-f]{64}$", "a digest such as sha256:… with 64 hex digits")
_NAMES = Table(_HASH, 500)
_LIST = Listing(Text(253, 1), 200)
_AGENT_FIELDS = Record(
    {
        "model": Field(Text(128, 1), required=True),
        **{name: Field(Text(100_000), ABSENT) for name in ("role", "goal", "instructions")},
        **{name: Field(_LIST, ABSENT) for name in ("tools", "fallback", "secrets", "egress")},
        "output_schema": Field(Anything(), ABSENT),
        "temperature": Field(Number(0, 2), ABSENT),
        "max_output": Field(Whole(1, 1_000_000), ABSENT),
        "max_cost_usd": Field(Text(40, 1), ABSENT),
    }
)
_AGENT = Record(
    {
        "slug": Field(parse.SLUG, required=True),
        "name": Field(Text(120), ""),
        "fields": Field(_AGENT_FIELDS, required=True),
        "pipelines": Field(_NAMES, {}),
    }
)
_PIPELINE = Record(
    {
        "document": Field(Anything(), required=True),
        "agents": Field(_NAMES, {}),
        "pipelines": Field(_NAMES, {}),
    }
)
_RECORD = Record(
    {
        "format": Field(Text(), required=True),
        "format_version": Field(Text(20, 1, r"^[0-9]+\.[0-9]+$", 'a version such as "1.0"'), required=True),
        "root": Field(_HASH, required=True),
        "pipelines": Field(Table(_PIPELINE, MOST_PIPELINES), required=True),
        "agents": Field(Table(_AGENT, MOST_AGENTS), {}),
    }
)


@dataclass(frozen=True, slots=True)
class BundledPipeline:
    """A document, and what its references to agents and pipelines mean, by digest."""

    document: Mapping[str, Json]
    agents: Mapping[str, str]
    pipelines: Mapping[str, str]

    def as_json(self) -> dict[str, Json]:
        document = {name: value for name, value in self.document.items() if name != "ui"}
        if "ui" in self.document:  # last, so that a moved box is seen at the end of a file and nowhere else
            document["ui"] = self.document["ui"]
        return {"document": document, "agents": dict(self.agents), "pipelines": dict(self.pipelines)}


@dataclass(frozen=True, slots=True)
class BundledAgent:
    """What an agent says (the JSON of `AgentFields`), and what the pipelines among its tools mean, by digest."""

    slug: str
    name: str
    fields: Mapping[str, Json]
    pipelines: Mapping[str, str]

    @property
    def hash(self) -> str:
        return digest({"slug": self.slug, "fields": self.fields})

    def as_json(self) -> dict[str, Json]:
        return {"slug": self.slug, "name": self.name, "fields": self.fields, "pipelines": dict(self.pipelines)}


@dataclass(frozen=True, slots=True)
class Bundle:
    root: str
    pipelines: Mapping[str, BundledPipeline]
    agents: Mapping[str, BundledAgent]

    def as_json(self) -> dict[str, Json]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "root": self.root,
            "pipelines": {name: one.as_json() for name, one in self.pipelines.items()},
            "agents": {name: one.as_json() for name, one in self.agents.items()},
        }


def circular(found: Bundle) -> frozenset[str]:
    """Return the entries that name each other in a circle, and those on a way from one circle to another."""
    named: dict[str, set[str]] = {name: set(one.pipelines.values()) for name, one in found.agents.items()}
    named |= {name: {*one.agents.values(), *one.pipelines.values()} for name, one in found.pipelines.items()}
    naming: dict[str, set[str]] = {name: set() for name in named}
    for name, targets in named.items():
        for target in targets:
            naming[target].add(name)
    return frozenset(_without_ends(_without_ends(named.keys(), named, naming), naming, named))


def _without_ends(
    among: Iterable[str], onward: Mapping[str, Collection[str]], back: Mapping[str, Collection[str]]
) -> set[str]:
    """Return what is left when whatever leads nowhere else is taken away, again and again."""
    left = set(among)
    open_ways = {name: len(left.intersection(onward[name])) for name in left}
    ends = [name for name, ways in open_ways.items() if not ways]
    while ends:
        end = ends.pop()
        left.discard(end)
        for name in left.intersection(back[end]):
            open_ways[name] -= 1
            if not open_ways[name]:
                ends.append(name)
    return left


def is_bundle(data: Json) -> bool:
    return isinstance(data, dict) and data.get("format") == FORMAT


def parse_bundle(data: Json) -> Bundle:
    """Return the bundle; raise Refusal with the JSON path of what is wrong, in its documents too.

    Each entry must be what its digest says, and each digest it refers to must be there.
    """
    hygiene.check(data)
    found = _RECORD.read(data, "")
    if found["format"] != FORMAT:
        raise Refusal("unknown_format", f"The format must be {FORMAT!r}, not {shown(found['format'])}.", "/format")
    if found["format_version"].partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        message = f"This is bundle version {shown(found['format_version'])}; this installation reads version 1."
        raise Refusal("unknown_format_version", message, "/format_version")
    agents = {name: BundledAgent(**entry) for name, entry in found["agents"].items()}
    pipelines = {name: BundledPipeline(**entry) for name, entry in found["pipelines"].items()}
    for name, agent in agents.items():
        _check_hash(name, agent.hash, pointer("", "agents", name))
        _check_there(agent.pipelines, pipelines, pointer("", "agents", name, "pipelines"))
    for name, pipeline in pipelines.items():
        where = pointer("", "pipelines", name)
        _read_document(pipeline.document, f"{where}/document")
        _check_hash(name, content_hash(pipeline.document), where)
        _check_there(pipeline.agents, agents, f"{where}/agents")
        _check_there(pipeline.pipelines, pipelines, f"{where}/pipelines")
    _check_there({"root": found["root"]}, pipelines, "")
    return Bundle(found["root"], pipelines, agents)


@dataclass(frozen=True, slots=True)
class Reference:
    """`text` names an agent or a pipeline (`kind`); `prefix` and it stand at `where`, a JSON pointer."""

    where: str
    kind: str
    text: str
    prefix: str = ""


def references(document: Document) -> Iterator[Reference]:
    """Yield every place of a document that names an agent or a pipeline."""
    for place in places(document):
        for at, text in agents_of(place.node):
            yield Reference(f"{place.where}/{at}", "agent", text)
        for at, text in pipelines_of(place.node):
            yield Reference(f"{place.where}/{at}", "pipeline", text)
        for index, tool in enumerate(place.node.config.get("tools") or ()):
            if is_pipeline(tool):
                bare = tool.removeprefix(PIPELINE_TOOL)
                yield Reference(f"{place.where}/tools/{index}", "pipeline", bare, PIPELINE_TOOL)


def rewritten(raw: Mapping[str, Json], agents: Mapping[str, str], pipelines: Mapping[str, str]) -> dict[str, Json]:
    """Return a copy of a document that refers to agents and pipelines by other names. What has none keeps its own."""
    changed = copy.deepcopy(dict(raw))
    names = {"agent": agents, "pipeline": pipelines}
    for found in references(parse.parse(raw)):
        if (name := names[found.kind].get(found.text)) is None:
            continue
        old, new = found.prefix + found.text, found.prefix + name
        if not _put(changed, found.where, old, new):
            _, marked, rest = found.where.rpartition("/on_error/")  # it stands in the document's defaults
            _put(changed, f"/defaults{marked}{rest}", old, new)
    return changed


def _put(root: Any, where: str, old: str, new: str) -> bool:
    """Write at a pointer where the old value stands; return whether the new one stands there now."""
    *above, last = where.split("/")[1:]
    try:
        for part in above:
            root = root[int(part)] if isinstance(root, list) else root[part]
        key = int(last) if isinstance(root, list) else last
        if root[key] == old:
            root[key] = new
        return bool(root[key] == new)
    except (KeyError, IndexError, ValueError, TypeError):
        return False


def _read_document(raw: Json, where: str) -> None:
    try:
        parse.parse(raw)
    except Refusal as refusal:
        raise Refusal(refusal.code, refusal.message, where + (refusal.where or "")) from None


def _check_hash(said: str, found: str, where: str) -> None:
    if said != found:
        message = "What stands here is not what its digest says. Export it anew, or import the document alone."
        raise Refusal("hash_mismatch", message, where)


def _check_there(wanted: Mapping[str, str], known: Mapping[str, object], where: str) -> None:
    for name, target in wanted.items():
        if target not in known:
            raise Refusal(
                "missing_entry",
                f"{shown(name)} refers to {target[:19]}…, which is not in this bundle.",
                pointer(where, name),
            )
