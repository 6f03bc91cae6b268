"""Everything a version names, frozen by exact version when it is published or started (engine.md §4.8)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec


def resolve(reference: str, known: Iterable[str]) -> str | None:
    """Return the exact id@version a reference means, or None. Without a version it means the highest known one."""
    if "@" in reference:
        return reference if reference in known else None
    versions = [name for name in known if name.partition("@")[0] == reference]
    return max(versions, key=_number) if versions else None


def _number(exact: str) -> int:
    version = exact.partition("@")[2]
    return int(version) if version.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens."""

    input: int
    output: int
    cached_input: int | None = None


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent version. `id` is slug@number."""

    id: str
    model: str
    role: str = ""
    goal: str = ""
    instructions: str = ""
    tools: tuple[str, ...] = ()
    output_schema: Json = None
    max_output: int = 4096
    temperature: float | None = None
    max_cost_micros: int | None = None
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """`agents` and `tools` by id@version; `prices` by model, None where no price is known.

    `then` maps the dotted place of a step (`research.dig`) to what `then: auto` means there: "skip" or "stop_run".
    """

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    then: Mapping[str, str] = field(default_factory=dict)

    def agent(self, reference: str) -> AgentSpec:
        """Return the agent a step names, with or without a version; raise KeyError when it is not locked."""
        return self.agents[resolve(reference, self.agents) or reference]

    def tool(self, reference: str) -> ToolSpec:
        """Return the tool a step names, with or without a version; raise KeyError when it is not locked."""
        return self.tools[resolve(reference, self.tools) or reference]

    def as_json(self) -> dict[str, Json]:
        return {
            "agents": {key: asdict(agent) for key, agent in self.agents.items()},
            "tools": {key: tool.as_json() for key, tool in self.tools.items()},
            "prices": {key: asdict(price) if price else None for key, price in self.prices.items()},
            "then": dict(self.then),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "Lock":
        return cls(
            agents={
                key: AgentSpec(**{**agent, "tools": tuple(agent["tools"]), "fallback": tuple(agent["fallback"])})
                for key, agent in data.get("agents", {}).items()
            },
            tools={key: ToolSpec.from_json(tool) for key, tool in data.get("tools", {}).items()},
            prices={key: Price(**price) if price else None for key, price in data.get("prices", {}).items()},
            then=data.get("then", {}),
        )


@dataclass(frozen=True, slots=True)
class Library:
    """All that a workspace offers: agents and tools by id@version, prices by model, slugs of pipelines."""

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    pipelines: Collection[str] = frozenset()
