"""Who takes part in a Team or works for a Supervisor, and how much room they take on a picture. Pure.

They are no steps of the document and have no arrows: on the canvas they stand in the box of their step, in the order
in which the document lists them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.graph.geometry import HEADER, WIDTH, Point
from pipelines.graph.model import Json, Kind, Node
from pipelines.graph.workers import AGENT, SUPERVISOR, all_workers

LEADS, JUDGES, TAKES_PART = "leads", "judges", "takes_part"
CREWS = (Kind.TEAM, Kind.SUPERVISOR)
CALLED_ON = ("selector", "moderator")  # the modes in which one beside the members says who is next

PAD = 12
LINE = 24  # what is said of the order
MATE = 38
GAP = 6
IN_A_COLUMN = 5
MOST_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Member:
    """One of a crew. `kind` is agent, tool, pipeline or supervisor, `name` what the others call it.

    `at` is the JSON pointer to its entry within the step, `part` what it does there, and `depth` how many supervisors
    stand between it and the step.
    """

    kind: str
    ref: str
    name: str
    at: str
    part: str = TAKES_PART
    depth: int = 0

    @property
    def slug(self) -> str:
        return self.ref.partition("@")[0]

    @property
    def is_listed(self) -> bool:
        """Tell whether it stands in a list, so that it can be moved and removed."""
        return self.part == TAKES_PART

    @property
    def field(self) -> str:
        """Return the JSON pointer to what names it, within the step."""
        return f"/{self.at}/{self.kind}" if self.is_listed and "workers/" in self.at else f"/{self.at}"


def crew_of(node: Node) -> tuple[Member, ...]:
    """Return who works in a step: who leads, the others in their order, who judges. Nobody in any other kind."""
    if node.kind not in CREWS:
        return ()
    config = node.config
    listed = _workers(config) if node.kind is Kind.SUPERVISOR else _members(config)
    return (*_leader(node), *listed, *_judges(config))


def listed_at(node: Node) -> str:
    """Return the JSON pointer within the step to the list of its crew."""
    return "workers" if node.kind is Kind.SUPERVISOR else "members"


def _leader(node: Node) -> Iterator[Member]:
    leads = node.kind is Kind.SUPERVISOR or node.config["mode"] in CALLED_ON
    if leads and (ref := node.config.get("agent")):
        yield _agent(ref, "agent", LEADS)


def _judges(config: Mapping[str, Json]) -> Iterator[Member]:
    found = {"judge": config.get("judge"), "stop/judge": (config.get("stop") or {}).get("judge")}
    for at, ref in found.items():
        if ref:
            yield _agent(ref, at, JUDGES)


def _members(config: Mapping[str, Json]) -> Iterator[Member]:
    for index, ref in enumerate(config["members"]):
        yield _agent(ref, f"members/{index}")


def _agent(ref: str, at: str, part: str = TAKES_PART) -> Member:
    return Member(AGENT, ref, ref.partition("@")[0], at, part)


def _workers(config: Mapping[str, Json]) -> Iterator[Member]:
    for one in all_workers(config):
        yield Member(one.kind, one.ref, one.name, one.at, depth=one.at.count(f"/{SUPERVISOR}/"))


def columns_of(count: int) -> int:
    """Return in how many columns so many stand."""
    return max(1, min(MOST_COLUMNS, -(-count // IN_A_COLUMN)))


def room_for(node: Node) -> Point | None:
    """Return width and height of a box that holds its crew; None for a step that has none."""
    count = len(crew_of(node))
    if not count:
        return None
    columns = columns_of(count)
    rows = -(-count // columns)
    return columns * (WIDTH + GAP) - GAP + 2 * PAD, HEADER + LINE + rows * (MATE + GAP) - GAP + PAD
