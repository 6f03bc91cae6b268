"""Freezes a document for publishing: everything it names by exact version, and the digest of what it means."""

from collections.abc import Iterable, Iterator, Mapping

from pipelines.graph.canonical import digest
from pipelines.graph.lock import PIPELINE_TOOL, AgentSpec, Library, Lock, PipelineSpec, resolve
from pipelines.graph.model import Document, Json, Kind, Node
from pipelines.graph.places import Place, places
from pipelines.graph.problems import Refusal
from pipelines.graph.safe import zones
from pipelines.graph.tools import ToolSpec
from pipelines.graph.workers import AGENT, PIPELINE, SUPERVISOR, TOOL, all_workers


def lock(document: Document, library: Library) -> Lock:
    """Return every agent, tool and pipeline (the agents' own too), price, window and `then: auto` that it relies on.

    Raise Refusal (`unknown_agent`, `unknown_tool`, `unknown_pipeline`) for a name the library does not have.
    """
    agents: dict[str, AgentSpec] = {}
    tools: dict[str, ToolSpec] = {}
    pipelines: dict[str, PipelineSpec] = {}
    models: set[str] = set()
    for place in places(document):
        for field_name, reference in agents_of(place.node):
            agent = library.agents[_known("agent", reference, library.agents, f"{place.where}/{field_name}")]
            agents[agent.id] = agent
            models.update((agent.model, *agent.fallback))
            _take_tools(tuple(name for name in agent.tools if not is_pipeline(name)), library, tools, place)
            _take_pipelines(pipelines_among(agent.tools), library, pipelines, place.where)
        for field_name, reference in pipelines_of(place.node):
            _take_pipelines((reference,), library, pipelines, f"{place.where}/{field_name}")
        _take_tools(tools_of(place.node), library, tools, place)
        models.update(models_of(place.node))
    prices = {model: library.prices.get(model) for model in sorted(models)}
    windows = {model: window for model in sorted(models) if (window := library.windows.get(model)) is not None}
    return Lock(agents=agents, tools=tools, prices=prices, windows=windows, then=zones(document), pipelines=pipelines)


def content_hash(raw_document: Mapping[str, Json]) -> str:
    """Return "sha256:…" over the document without `ui`: moving a box touches no meaning."""
    return digest({key: value for key, value in raw_document.items() if key != "ui"})


def agents_of(node: Node) -> Iterator[tuple[str, str]]:
    """Yield (JSON pointer within the node, reference) for every agent a step may ask."""
    needs_agent = node.kind in (Kind.AGENT, Kind.SUPERVISOR)
    for key in ("agent", "judge"):
        reference = node.config.get(key)
        if reference or (needs_agent and key == "agent"):
            yield key, reference or ""
    if judge := (node.config.get("stop") or {}).get("judge"):
        yield "stop/judge", judge
    for index, member in enumerate(node.config.get("members") or ()):
        yield f"members/{index}", member
    for worker in all_workers(node.config):
        if worker.kind == AGENT:
            yield f"{worker.at}/{AGENT}", worker.ref
        elif worker.kind == SUPERVISOR:
            yield f"{worker.at}/{SUPERVISOR}/{AGENT}", worker.ref
    yield from _judges(node)
    for index, fallback in enumerate(node.on_error.fallback):
        if fallback.kind == "agent":
            yield f"on_error/fallback/{index}/agent", fallback.ref


def _judges(node: Node) -> Iterator[tuple[str, str]]:
    for name, rules in (("checks", node.checks), ("rules", node.config.get("rules") or ())):
        for index, rule in enumerate(rules):
            if rule["agent"]:
                yield f"{name}/{index}/agent", rule["agent"]


def tools_of(node: Node) -> tuple[str, ...]:
    """Return the tools a step names itself: an action's tool, an agent's subset, a supervisor's workers."""
    if node.kind is Kind.TOOL:
        return (node.config["tool"],)
    workers = [worker.ref for worker in all_workers(node.config) if worker.kind == TOOL]
    return (*(name for name in node.config.get("tools") or () if not is_pipeline(name)), *workers)


def pipelines_of(node: Node) -> Iterator[tuple[str, str]]:
    """Yield (JSON pointer within the node, reference) for every pipeline a step may start itself."""
    if node.kind is Kind.PIPELINE:
        yield "pipeline", node.config["pipeline"]
    for worker in all_workers(node.config):
        if worker.kind == PIPELINE:
            yield f"{worker.at}/{PIPELINE}", worker.ref
    for index, fallback in enumerate(node.on_error.fallback):
        if fallback.kind == "pipeline":
            yield f"on_error/fallback/{index}/pipeline", fallback.ref


def is_pipeline(tool: str) -> bool:
    """Tell whether an agent's tool is a pipeline that it may start."""
    return tool.startswith(PIPELINE_TOOL)


def pipelines_among(tools: Iterable[str]) -> tuple[str, ...]:
    """Return the references of the pipelines among an agent's tools."""
    return tuple(name.removeprefix(PIPELINE_TOOL) for name in tools if is_pipeline(name))


def models_of(node: Node) -> tuple[str, ...]:
    """Return the models a step names itself, fallbacks included."""
    fallbacks = tuple(fallback.ref for fallback in node.on_error.fallback if fallback.kind == "model")
    rubrics = (*node.rubrics, *node.output_rubrics)
    own = (node.config.get("model"), *(rule["model"] for rule in rubrics))
    return (*(model for model in own if model), *fallbacks)


def _take_tools(references: tuple[str, ...], library: Library, tools: dict[str, ToolSpec], place: Place) -> None:
    for reference in references:
        tool = library.tools[_known("tool", reference, library.tools, place.where)]
        tools[tool.id] = tool


def _take_pipelines(
    references: Iterable[str], library: Library, pipelines: dict[str, PipelineSpec], where: str
) -> None:
    for reference in references:
        found = library.pipelines[_known("pipeline", reference, library.pipelines, where)]
        pipelines[found.id] = found


def _known(what: str, reference: str, known: Mapping[str, object], where: str) -> str:
    exact = resolve(reference, known)
    if exact is None:
        raise Refusal(f"unknown_{what}", f"There is no {what} {reference!r} in this workspace.", where)
    return exact
