"""Everything a version names, frozen by exact version when it is published or started (engine.md §4.8)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pipelines.graph.model import Budget, Json
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


# What an answer may have at most where nobody says otherwise, in tokens (engine.md §3).
MAX_OUTPUT = 4096


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens."""

    input: int
    output: int
    cached_input: int | None = None


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent version. `id` is slug@number.

    `secrets` are the names it may put into headers; `egress` the hosts it may reach (none listed: any public one).
    """

    id: str
    model: str
    role: str = ""
    goal: str = ""
    instructions: str = ""
    tools: tuple[str, ...] = ()
    output_schema: Json = None
    max_output: int = MAX_OUTPUT
    temperature: float | None = None
    max_cost_micros: int | None = None
    fallback: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "AgentSpec":
        fields: dict[str, Json] = dict(data)
        for name in ("tools", "fallback", "secrets", "egress"):
            fields[name] = tuple(data.get(name) or ())
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """One published version of a pipeline, as far as who starts it needs to know. `id` is slug@number.

    `pipeline` and `version` are the ids of their rows; the version has a lock of its own. `inputs` is the JSON Schema
    of its start form, `budget` its caps of a run.
    """

    id: str
    pipeline: str
    version: str
    name: str = ""
    description: str = ""
    inputs: Json = None
    budget: Budget = field(default_factory=Budget)

    @property
    def slug(self) -> str:
        return self.id.partition("@")[0]

    def filled(self, given: Mapping[str, Json]) -> dict[str, Json]:
        """Return what a run of it is given, with the defaults of its form where nothing is."""
        fields = (self.inputs or {}).get("properties", {})
        rules = {name: rule for name, rule in fields.items() if isinstance(rule, dict)}
        return {**{name: rule["default"] for name, rule in rules.items() if "default" in rule}, **given}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "PipelineSpec":
        caps = {**data["budget"], "alert_at": tuple(data["budget"]["alert_at"])}
        return cls(**{**data, "budget": Budget(**caps)})


# An agent's tools name a pipeline it may start by this prefix: "pipeline:research@2".
PIPELINE_TOOL = "pipeline:"


@dataclass(frozen=True, slots=True)
class Lock:
    """`agents`, `tools` and `pipelines` by id@version; `prices` by model, None where no price is known.

    `windows` says how many tokens a model reads and writes in one call, where that is known.
    `then` maps the dotted place of a step (`research.dig`) to what `then: auto` means there: "skip" or "stop_run".
    """

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    then: Mapping[str, str] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineSpec] = field(default_factory=dict)

    def agent(self, reference: str) -> AgentSpec:
        """Return the agent a step names, with or without a version; raise KeyError when it is not locked."""
        return self.agents[resolve(reference, self.agents) or reference]

    def tool(self, reference: str) -> ToolSpec:
        """Return the tool a step names, with or without a version; raise KeyError when it is not locked."""
        return self.tools[resolve(reference, self.tools) or reference]

    def pipeline(self, reference: str) -> PipelineSpec:
        """Return the pipeline a step names, with or without a version; raise KeyError when it is not locked."""
        return self.pipelines[resolve(reference, self.pipelines) or reference]

    def as_json(self) -> dict[str, Json]:
        return {
            "agents": {key: asdict(agent) for key, agent in self.agents.items()},
            "tools": {key: tool.as_json() for key, tool in self.tools.items()},
            "prices": {key: asdict(price) if price else None for key, price in self.prices.items()},
            "windows": dict(self.windows),
            "then": dict(self.then),
            "pipelines": {key: asdict(pipeline) for key, pipeline in self.pipelines.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "Lock":
        return cls(
            agents={key: AgentSpec.from_json(agent) for key, agent in data.get("agents", {}).items()},
            tools={key: ToolSpec.from_json(tool) for key, tool in data.get("tools", {}).items()},
            prices={key: Price(**price) if price else None for key, price in data.get("prices", {}).items()},
            windows=data.get("windows", {}),
            then=data.get("then", {}),
            pipelines={key: PipelineSpec.from_json(one) for key, one in data.get("pipelines", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Library:
    """All that a workspace offers: agents, tools and published pipelines by id@version, prices and windows by model."""

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineSpec] = field(default_factory=dict)
