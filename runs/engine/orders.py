"""Tasks that a supervisor's leader wants to give out: what they are, and why one may not be."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.graph import schemas
from pipelines.graph.lock import Lock
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, shown
from pipelines.graph.workers import SUPERVISOR, TOOL, Worker, takes_task
from runs.engine.loops import Repeats, wish

STEP, PLAN, ROUTE = "step", "plan", "route_only"
LONGEST_TASK = 50_000

# A code and a sentence for the leader.
Why = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """One task given out. `id` and `uses` are those of a plan; tools and pipelines are given `args` and no `task`."""

    worker: str
    task: str = ""
    args: Mapping[str, Json] = field(default_factory=dict)
    id: str = ""
    uses: tuple[str, ...] = ()

    @property
    def wish(self) -> str:
        """Return what two orders for the same work have in common."""
        return wish(self.worker, self.task or dict(self.args))


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change while a supervisor works.

    `task` is its own, as leaders and workers read it, `most` how many tasks it may give out. `above` are the wishes
    that it and the supervisors above it carry out. `too_deep` is why no supervisor may stand under it, "" if one may.
    `schema` is what a result must fit. `forgiven` are the turns at whose end a person ordered it to go on.
    """

    mode: str
    task: str
    workers: Mapping[str, Worker]
    lock: Lock
    most: int
    reviewed: bool = False
    schema: Json = None
    above: frozenset[str] = frozenset()
    too_deep: str = ""
    forgiven: frozenset[int] = frozenset()


def bare(order: Order, setting: Setting) -> Order:
    """Return an order with what its worker takes, and nothing else."""
    return replace(order, args={}) if takes_task(setting.workers[order.worker]) else replace(order, task="")


def unfit(order: Order, setting: Setting) -> Why | None:
    """Return why an order's worker could not carry it out."""
    worker = setting.workers[order.worker]
    if takes_task(worker) and not order.task.strip():
        return "no_task", f"It was not said what {worker.name} is to do."
    if not takes_task(worker) and (why := _not_taken(order, worker, setting.lock)):
        return "invalid_arguments", why
    return too_long(order, setting)


def _not_taken(order: Order, worker: Worker, lock: Lock) -> str:
    """Return why a tool or a pipeline cannot be called with the arguments of an order, "" when it can."""
    try:
        if worker.kind == TOOL:
            findings = schemas.findings(dict(lock.tool(worker.ref).args_schema), dict(order.args))
        else:
            spec = lock.pipeline(worker.ref)
            findings = schemas.findings(spec.inputs, spec.filled(order.args)) if spec.inputs else []
    except Refusal as refusal:
        return f"The arguments of {worker.name} cannot be checked: {refusal.message}"
    if not findings:
        return ""
    return f"{worker.name} cannot be called with this: {findings[0].pointer or '/'}: {findings[0].message}"


def too_long(order: Order, setting: Setting) -> Why | None:
    """Return why a task's words cannot be handed on; what a router hands to an agent are its own."""
    hands_on = setting.mode == ROUTE and setting.workers[order.worker].kind != SUPERVISOR
    if len(order.task) <= LONGEST_TASK or hands_on:
        return None
    message = f"A task has at most {LONGEST_TASK:,} characters; that of {order.worker} has {len(order.task):,}."
    return "task_too_long", message


def goes_round(order: Order, setting: Setting, repeats: Repeats) -> Why | None:
    """Return why an order leads nowhere: it is its own cause, or was carried out twice for nothing."""
    wanted = order.wish
    if setting.workers[order.worker].kind == SUPERVISOR and setting.too_deep:
        return "too_deep", setting.too_deep
    said = shown(order.task, 200) if order.task else "with the same arguments"
    if wanted in setting.above:
        return "delegation_loop", f"{order.worker} already works on this same task, and it led here: {said}"
    if repeats.is_spent(wanted):
        message = f"{order.worker} was given this same task twice, and nothing new has come since: {said}"
        return "repeated_task", message
    return None
