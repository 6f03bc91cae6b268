"""A pipeline as a picture: where each node stands, how each edge runs, and the same as an outline."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pipelines.graph import crew
from pipelines.graph.crew import Member
from pipelines.graph.geometry import Box, Line, Point
from pipelines.graph.kinds import BY_JUDGEMENT
from pipelines.graph.layout import layout
from pipelines.graph.lock import resolve
from pipelines.graph.model import Document, Graph, Json, Kind, Node

RADIUS = 9


@dataclass(frozen=True, slots=True)
class Mate:
    """An inner card of a Team or Supervisor: who it is, and what there is to say of them. `number` is their place in
    the speaking order, 0 where there is none."""

    member: Member
    title: str
    hint: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """A node on the canvas; `place` is its dotted name, `depth` how many containers hold it, `crew` who works in it."""

    place: str
    node: Node
    box: Box
    depth: int
    subtitle: str
    crew: tuple[Mate, ...] = ()

    @property
    def title(self) -> str:
        return self.node.title or spoken(self.node.id)

    @property
    def is_group(self) -> bool:
        return self.node.graph is not None

    @property
    def is_crew(self) -> bool:
        """Tell whether its box holds who works in it."""
        return bool(self.crew)

    @property
    def columns(self) -> int:
        """In how many columns its crew stands."""
        return crew.columns_of(len(self.crew))

    @property
    def order(self) -> str:
        """Who of its crew is next, in words."""
        return _ORDERS[str(self.node.config["mode"])]

    @property
    def is_pill(self) -> bool:
        return self.node.kind in (Kind.INPUT, Kind.OUTPUT)


@dataclass(frozen=True, slots=True)
class Route:
    """An edge's line; `source` and `target` are places. `label` is its port where there is a choice."""

    source: str
    target: str
    port: str
    line: str
    tip: str
    label: str
    label_x: float
    label_y: float

    @property
    def key(self) -> str:
        return f"{self.source}:{self.port}:{self.target}"


@dataclass(frozen=True)
class Picture:
    nodes: tuple[Placed, ...]
    routes: tuple[Route, ...]
    width: int
    height: int
    left: int = 0
    top: int = 0
    by_place: Mapping[str, Placed] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_place", {placed.place: placed for placed in self.nodes})


def picture(
    document: Document,
    lock: Mapping[str, Json] | None = None,
    pins: Mapping[str, Point] | None = None,
    *,
    with_crews: bool = False,
) -> Picture:
    """Return the canvas of a parsed document; `lock` (its JSON) adds what is known of agents and tools, `pins` where
    boxes were moved to. `with_crews` shows who works in a Team or a Supervisor as cards inside its box."""
    laid, known = layout(document, pins, with_crews=with_crews), lock or {}
    nodes = tuple(
        Placed(place, node, laid.nodes[place], depth, subtitle(node, known), mates(node, known) if with_crews else ())
        for place, node, depth in walk(document.graph)
    )
    labels = _labels(laid.edges)
    routes = tuple(_route(line, labels.pop((line.source, line.target), "")) for line in laid.edges)
    return Picture(nodes, routes, laid.width, laid.height, laid.left, laid.top)


def walk(graph: Graph, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Node, int]]:
    """Yield (place, node, depth) of every node in reading order: before what follows it, children after their box."""
    for name in _reading_order(graph):
        node, place = graph.nodes[name], f"{prefix}{name}"
        yield place, node, depth
        if node.graph is not None:
            yield from walk(node.graph, f"{place}.", depth + 1)


_TALKS = {"none": "", "run": " · goes on", "session": " · remembers"}
_MERGES = {"best_of": "best chosen", "synthesize": "one text"}


def subtitle(node: Node, lock: Mapping[str, Json]) -> str:
    """Return what stands under a node's title: who works, and what cannot be undone."""
    config = node.config
    match node.kind:
        case Kind.AGENT:
            agent = lock.get("agents", {}).get(config["agent"], {})
            return f"Agent · {agent.get('model') or config['agent']}{_TALKS[config['conversation']]}"
        case Kind.TOOL:
            effect = lock.get("tools", {}).get(config["tool"], {}).get("effect")
            return "Cannot be undone" if effect == "irreversible" else f"Action · {config['tool']}"
        case Kind.PIPELINE:
            return f"Runs {config['pipeline']}"
        case Kind.HUMAN:
            return f"Person · {config.get('min_approvals', 1)} needed"
        case _:
            return _of_control(node)


_ORDERS = {
    "round_robin": "In turn, in this order",
    "selector": "The first says who is next",
    "handoff": "The first begins and hands on",
    "moderator": "The first leads",
    "debate": "All at once, round by round",
    "bus": "Whom a message wakes",
    "step": "Task after task",
    "plan": "By a plan made first",
    "route_only": "One task for the right one",
}
_PARTS = {crew.LEADS: "Leads", crew.JUDGES: "Judges"}


def mates(node: Node, lock: Mapping[str, Json]) -> tuple[Mate, ...]:
    """Return the inner cards of a Team or a Supervisor; none for any other step."""
    numbered = node.config.get("mode") == "round_robin"
    found: list[Mate] = []
    for member in crew.crew_of(node):
        number = len(found) + 1 if numbered and member.is_listed else 0
        found.append(Mate(member, spoken(member.name), _said_of(member, lock), number))
    return tuple(found)


def _said_of(member: Member, lock: Mapping[str, Json]) -> str:
    """Return what somebody does and by which model, or what a tool does to the world."""
    agents = lock.get("agents", {})
    agent = agents.get(resolve(member.ref, agents) or member.ref, {})
    model = agent.get("model") or ""
    match member.kind:
        case "agent":
            what = _PARTS.get(member.part) or agent.get("role") or "Agent"
        case "supervisor":
            what = "Leads others"
        case "tool":
            effect = lock.get("tools", {}).get(member.ref, {}).get("effect")
            what = "Cannot be undone" if effect == "irreversible" else "Action"
        case _:
            what = "Pipeline"
    return f"{what} · {model}" if model else what


def _of_control(node: Node) -> str:
    words = _CONTROL.get(node.kind)
    return words(node) if words else node.kind.replace("_", " ").capitalize()


def _merging(node: Node) -> str:
    merge = str(node.config.get("merge", "object"))
    who = str(node.config.get("agent") or "an agent").partition("@")[0]
    return f"{_MERGES.get(merge, merge)}{f' by {who}' if merge in BY_JUDGEMENT else ''}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


_CONTROL: Mapping[Kind, Callable[[Node], str]] = {
    Kind.EACH: lambda node: f"For each · {node.config.get('max_parallel', 4)} at once",
    Kind.REPEAT: lambda node: f"Repeat · at most {_counted(node.config['max_rounds'], 'round')}",
    Kind.TEAM: lambda node: f"Team of {len(node.config['members'])} · {node.config['mode'].replace('_', ' ')}",
    Kind.SUPERVISOR: lambda node: f"Supervisor · {_counted(len(node.config['workers']), 'worker')}",
    Kind.CHECK: lambda node: f"Check · {_counted(len(node.config['rules']), 'rule')}",
    Kind.COMBINE: lambda node: f"Combine · {_merging(node)}",
    Kind.DECIDE: lambda node: "Route by AI" if node.config.get("mode") == "ai" else "Route by rules",
    Kind.WAIT: lambda node: f"Wait · {_counted(len(node.events), 'event')}" if node.events else "Wait · a time",
    Kind.BOARD: lambda node: f"Board · {node.config['op']} {node.config['key']}",
}


def spoken(name: str) -> str:
    """Return a node's id as a title: "check_policy" → "Check policy"."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def _reading_order(graph: Graph) -> list[str]:
    waiting = {name: len(graph.ins[name]) for name in graph.nodes}
    ready = [name for name, count in waiting.items() if not count]
    order: list[str] = []
    while ready:
        name = ready.pop(0)
        order.append(name)
        for index in graph.outs[name]:
            target = graph.edges[index].target
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return order


def _labels(lines: Sequence[Line]) -> dict[tuple[str, str], str]:
    """Return the ports of the lines between each two steps, which end at one spot and so have one label."""
    ports: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line.port != "done":
            ports.setdefault((line.source, line.target), []).append(line.port.replace("_", " "))
    return {ends: " or ".join(names) for ends, names in ports.items()}


def _route(line: Line, label: str) -> Route:
    x, y = line.points[-1]
    return Route(
        source=line.source,
        target=line.target,
        port=line.port,
        line=rounded(line.points),
        tip=f"M{x - 4} {y - 7}L{x} {y}L{x + 4} {y - 7}z",
        label=label,
        label_x=x,
        label_y=y - 22,
    )


def rounded(points: Sequence[Point]) -> str:
    """Return the path of an orthogonal line with round corners."""
    (x, y), *rest = points
    path = [f"M{x} {y}"]
    for before, (corner, after) in zip(points, pairwise(rest), strict=False):
        into, out = _towards(corner, before), _towards(corner, after)
        path.append(f"L{into[0]:g} {into[1]:g}Q{corner[0]} {corner[1]} {out[0]:g} {out[1]:g}")
    return f"{''.join(path)}L{points[-1][0]} {points[-1][1]}"


def _towards(corner: Point, other: Point) -> tuple[float, float]:
    """Return the point on the way to another where the corner's curve begins."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(dx), abs(dy), 1)
    reach = min(RADIUS, length / 2)
    return corner[0] + dx * reach / length, corner[1] + dy * reach / length
