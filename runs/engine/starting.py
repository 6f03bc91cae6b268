"""How an attempt reaches the executor: when there is room, with everything it may use, each grant for one call."""

from collections.abc import Iterable

from pipelines.graph.lock import PIPELINE_TOOL, PipelineSpec
from pipelines.graph.model import Json, Kind, Node
from runs.engine import budget, fallbacks, trust
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, StepError
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.settling import TO_JUDGE, leave, start_time
from runs.engine.state import Execution
from runs.engine.status import StepState

NEW, SAME = "new", "same"
SHORTEST_TIMEOUT = 0.001


def launch(move: Move, step: Step, attempt: str = NEW) -> None:
    """Have a prepared step handed to the executor as soon as there is room.

    `attempt` is NEW for another attempt and SAME when a person's answer lets the present one go on.
    """
    leave(move, step)
    step.record.state = StepState.READY
    step.record.memo["prepared"] = attempt
    move.launches.append(step)


def queue(move: Move, step: Step) -> None:
    """Let a step wait its turn: first come, first served."""
    record = step.record
    record.state = StepState.READY
    record.memo["queued"] = move.run.next_position()
    move.run.ready.append(record.path)
    move.log("step_ready", record.path)
    move.touch(step)


def begin(move: Move, step: Step) -> None:
    """Start a prepared step now."""
    record = step.record
    is_new = record.memo.pop("prepared", NEW) == NEW
    record.memo.pop("queued", None)
    record.attempt += is_new
    record.state = StepState.RUNNING
    start_time(step, move.now)
    move.run.running.add(record.path)
    move.log("step_started", record.path, attempt=record.attempt)
    move.decision.starts.append(start_of(move.run, step))
    move.touch(step)


def start_of(run: Execution, step: Step) -> Start:
    """Return the present attempt as the executor gets it; the same after a restart as before."""
    node, record, memo = step.node, step.record, step.record.memo
    if TO_JUDGE in memo:
        return _to_judges(run, step)
    agent = fallbacks.agent_of(run, step)
    return Start(
        path=record.path,
        attempt=record.attempt,
        node=node,
        input=record.input,
        timeout=_timeout(run, step),
        agent=run.lock.agent(agent) if agent else None,
        tool=run.lock.tool(node.config["tool"]) if node.kind is Kind.TOOL else None,
        model=fallbacks.model_of(run, step),
        repair=memo.get("repair"),
        grants=memo.get("grants", {}),
        edits=memo.get("edits", {}),
        denials=memo.get("denials", {}),
        outcomes=memo.get("outcomes", {}),
        trust=trust_of(run, step),
        generation=memo.get("generation", 0),
        seconds_left=seconds_left(step),
        cache_words=memo.get("cache_words"),
        judges={name: run.lock.agent(name) for name in _judges_of(node)},
        marked=step.is_made,
        pipelines=_pipelines_of(run, agent) if agent else {},
        answers=memo.get("answers", {}),
        unasked=run.origin.unattended and bool(guards_of(step)),
    )


def _to_judges(run: Execution, step: Step) -> Start:
    """Return the attempt in which the judges of a step's output are asked about it."""
    record, memo = step.record, step.record.memo
    return Start(
        path=record.path,
        attempt=record.attempt,
        node=step.node,
        input={"value": record.output, "rubrics": memo[TO_JUDGE]["rubrics"]},
        timeout=_timeout(run, step),
        trust=_of_rubrics(step, step.node.output_rubrics),
        generation=memo.get("generation", 0),
        seconds_left=seconds_left(step),
        judges={name: run.lock.agent(name) for name in _judges_of(step.node)},
        judging=True,
    )


def guards_of(step: Step) -> list[str]:
    """Return the Person steps of the scope that guard this step."""
    nodes = step.scope.graph.nodes
    return [
        name for name, node in nodes.items() if node.kind is Kind.HUMAN and node.config.get("guards") == step.node.id
    ]


def trust_of(run: Execution, step: Step) -> dict[str, str]:
    """Return where the values of the step's input come from, by JSON pointer."""
    found = None if run.has_edits or step.is_made else run.labels.get(step.place)
    if found is None:
        found = run.labels[step.place] = _labels(step)
    edited = step.record.memo.get("edited_by_person")
    return {**found, **dict.fromkeys(edited, trust.USER)} if edited else found


def _labels(step: Step) -> dict[str, str]:
    config = step.node.config
    match step.node.kind:
        case Kind.TOOL:
            return trust.labels(step, config["args"], "/args")
        case Kind.AGENT | Kind.COMBINE:
            return {**trust.labels(step, config["prompt"] or "", "/prompt"), **_of_rubrics(step, step.node.rubrics)}
        case Kind.DECIDE:
            described = [route.get("description") or "" for route in config["routes"]]
            return {**trust.labels(step, config.get("value"), "/value"), **trust.labels(step, described, "/routes")}
        case Kind.PIPELINE:
            return trust.labels(step, config["inputs"], "/inputs")
        case Kind.EACH:
            return trust.labels(step, config["over"], "/over")
        case Kind.TEAM | Kind.SUPERVISOR:
            return trust.labels(step, config["task"], "/task")
        case _:
            return {**trust.labels(step, config.get("value"), "/value"), **_of_rubrics(step, step.node.rubrics)}


def _of_rubrics(step: Step, rules: Iterable[Json]) -> dict[str, str]:
    return trust.labels(step, [rule["rubric"] for rule in rules], "/rubrics")


def _pipelines_of(run: Execution, agent: str) -> dict[str, PipelineSpec]:
    """Return the pipelines that an agent may start, by the names among its tools."""
    tools = (name for name in run.lock.agent(agent).tools if name.startswith(PIPELINE_TOOL))
    return {name: run.lock.pipeline(name.removeprefix(PIPELINE_TOOL)) for name in tools}


def missing_from_lock(run: Execution, step: Step) -> StepError | None:
    """Return a `config` error when the version's lock lacks the step's agent or tool."""
    tool = step.node.config["tool"] if step.node.kind is Kind.TOOL else ""
    agents = [("agent", name, run.lock.agent) for name in (fallbacks.agent_of(run, step), *_judges_of(step.node))]
    for what, name, find in (*agents, ("tool", tool, run.lock.tool)):
        if name:
            try:
                find(name)
            except KeyError:
                message = f"{step.path} names the {what} {name!r}, which this version does not hold."
                return StepError(ErrorClass.CONFIG, f"unknown_{what}", message)
    return None


def _judges_of(node: Node) -> list[str]:
    """Return the agents that judge by the step's rubrics."""
    return [str(rule["agent"]) for rule in (*node.rubrics, *node.output_rubrics) if rule.get("agent")]


def seconds_left(step: Step) -> float | None:
    """Return the machine seconds that the step's `total_timeout` leaves, None without one."""
    total = step.node.total_timeout
    return None if total is None else total - step.record.memo.get("machine_ms", 0) / 1000


def _timeout(run: Execution, step: Step) -> float:
    limits = (step.node.timeout, seconds_left(step), budget.seconds_left(run, step.path))
    return max(SHORTEST_TIMEOUT, min(limit for limit in limits if limit is not None))


def fresh_attempt(memo: dict[str, Json], *, keep_grants: bool) -> None:
    """Forget what belonged to the attempt before. A grant is for one call, so it goes unless sending again is safe."""
    for name in ("edits", "outcomes") if keep_grants else ("grants", "edits", "outcomes"):
        memo.pop(name, None)
