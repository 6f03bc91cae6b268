"""What a supervisor knows and what follows from it: what its leader answered, whom it gave tasks to, what they brought.

A fold over the leader's answers and over the outcomes of each batch of tasks, in their order, so that it comes out the
same after a restart as before. It begins nothing: `runs.engine.kinds.supervisor` does.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from pipelines.graph import plans, schemas
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal
from runs.engine import orders
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failure import class_above
from runs.engine.loops import Repeats
from runs.engine.orders import PLAN, ROUTE, STEP, Order, Setting
from runs.engine.scope import Outcome

MOST_STALLS = 3
MOST_RESETS = 2
NO_PROGRESS, USED_UP, FINISHED = "no_progress", "max_delegations", "finished"


class Stage(StrEnum):
    """What comes next. A `final` question takes only a result for an answer; nothing follows `ended` and `failed`."""

    ASK = "ask"
    FINAL = "final"
    REVIEW = "review"
    WORK = "work"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was not carried out and why: a code, and a sentence for the leader."""

    turn: int
    code: str
    message: str

    def as_json(self) -> dict[str, Json]:
        return {"turn": self.turn, "code": self.code, "message": self.message}


@dataclass(slots=True)
class Book:
    """`given` are the tasks that have begun, by number from 1, and `outcomes` how they ended; `todo` have not begun.
    `known` is what the tasks of plans have brought, by id.

    `rejected` is all that was refused, of which the leader has been told the first `told`. `objection` is what is wrong
    with the plan a person has edited. `error` is why the supervisor failed.
    """

    setting: Setting
    stage: Stage = Stage.ASK
    turn: int = 0
    given: list[Order] = field(default_factory=list)
    todo: list[Order] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    known: dict[str, Json] = field(default_factory=dict)
    plan: tuple[plans.Task, ...] = ()
    rejected: list[Rejected] = field(default_factory=list)
    told: int = 0
    objection: str = ""
    stalls: int = 0
    resets: int = 0
    is_replanning: bool = False
    ended: str = ""
    result: Json = None
    error: StepError | None = None
    _repeats: Repeats = field(default_factory=Repeats)
    _closed: int = 0
    _is_fresh: bool = True
    _is_judged: bool = True

    # -- what may be asked of it ------------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """Return how many tasks may still be given out."""
        return self.setting.most - len(self.given) - len(self.todo)

    @property
    def has_results(self) -> bool:
        return any(outcome.status == "succeeded" for outcome in self.outcomes.values())

    def ready(self) -> Order | None:
        """Return the next task that may begin: all that it uses is there."""
        if not self.todo or not any(order.uses for order in self.todo):
            return self.todo[0] if self.todo else None
        return next((order for order in self.todo if all(name in self.known for name in order.uses)), None)

    def begin(self, order: Order) -> int:
        """Take note that a task begins; return its number."""
        self.todo.remove(order)
        self.given.append(order)
        return len(self.given)

    def note(self, number: int, outcome: Outcome) -> None:
        """Take note of how a task ended."""
        self.outcomes[number] = outcome
        if (name := self.given[number - 1].id) and outcome.status == "succeeded":
            self.known[name] = outcome.value

    def forget(self, number: int) -> None:
        """Take a task for one that has not ended, because it is carried out once more."""
        del self.outcomes[number]
        self._closed = number - 1
        self.stage, self.error = Stage.WORK, None

    # -- the leader's answers ---------------------------------------------------------------------------------------

    def hear(self, answer: Json) -> None:
        """Take the leader's answer to the newest question, which has the shape that was asked for."""
        self.told, self.is_replanning = len(self.rejected), False
        if self.stage is Stage.FINAL or (self.setting.mode == STEP and answer.get("action") == "finish"):
            self._finish(answer)
            return
        if self._has_stalled(answer):
            self._hold_against()
        if self.is_replanning or self.stage is not Stage.ASK:
            return
        if self.setting.mode == PLAN:
            self._take_plan(answer)
        else:
            self._give_out(self._accepted(answer))

    def leader_failed(self, error: StepError) -> None:
        message = f"The leader could not say how to go on: {error.message}"
        self._fail(StepError(class_above(error.cls, error.code), "leader_failed", message))

    def ask_again(self) -> None:
        """Take back that the leader, or who was to look at a plan, failed: the newest question is asked once more."""
        self.stage, self.error = self._asked(), None

    def reviewed(self, plan: Json, decision: str, reason: str) -> None:
        """Take what a person said of the plan: `decision` is approve (perhaps edited), reject or expire."""
        self.objection = ""
        if decision == "expire":
            self._fail(StepError(ErrorClass.DENIED, "denied", "Nobody looked at the plan in time."))
        elif decision != "approve":
            self.plan = ()
            self._reject("plan_rejected", f"A person rejected the plan: {reason or 'no reason was given'}")
            self.stage = Stage.ASK
            self._hold_against()
        else:
            try:
                self.plan = self._checked(plan)
            except Refusal as refusal:
                self.objection = refusal.message
            else:
                self._start_plan()

    # -- the tasks' outcomes ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Draw the conclusion from a batch of tasks that have all ended, or can never begin."""
        numbers = range(self._closed + 1, len(self.given) + 1)
        brought = [self.outcomes[number].value for number in numbers if self.outcomes[number].status == "succeeded"]
        news = [self._repeats.note(value) for value in brought]
        self._is_fresh = any(news)
        self._closed, self._is_judged, self.todo = len(self.given), False, []
        match self.setting.mode:
            case "route_only":
                self._end_with(len(self.given))
            case "plan":
                self._close_plan()
            case _ if self.left > 0:
                self.stage = Stage.ASK
            case _:
                self.stage, self.ended = Stage.FINAL, USED_UP

    # -- within -----------------------------------------------------------------------------------------------------

    def _asked(self) -> Stage:
        return Stage.FINAL if self.ended else Stage.ASK

    def _finish(self, answer: Json) -> None:
        findings = ["there is none"]
        if "result" in answer:
            findings = [found.message for found in schemas.findings(self.setting.schema or {}, answer["result"])]
        if not findings:
            self._end(answer["result"])
            return
        self._reject("wrong_result", f"The result cannot be used: {findings[0]}")
        self._hold_against()

    def _has_stalled(self, answer: Json) -> bool:
        """Tell whether the batch before brought nothing new, or nothing that helped the leader; judge it once."""
        if self._is_judged:
            return False
        self._is_judged = True
        if self._is_fresh and answer.get("progress") is not False:
            self.stalls = 0
            return False
        return True

    def _hold_against(self) -> None:
        """Count a turn that brought nothing: at the third in a row the leader must think again, at last it must end."""
        self.stalls += 1
        if self.stalls < MOST_STALLS:
            return
        self.stalls = 0
        if self.stage is not Stage.FINAL and self.resets < MOST_RESETS:
            self.resets += 1
            self.is_replanning = True
        elif self.stage is not Stage.FINAL and self.setting.mode == STEP and self.has_results:
            self.stage, self.ended = Stage.FINAL, NO_PROGRESS
        else:
            self._fail(StepError(ErrorClass.LIMIT, NO_PROGRESS, self._why_stuck()))

    def _why_stuck(self) -> str:
        times = (self.resets + 1) * MOST_STALLS
        newest = f" The last thing refused: {self.rejected[-1].message}" if self.rejected else ""
        return f"{times} answers of the leader brought nothing new, and it thought again {self.resets} times.{newest}"

    def _accepted(self, answer: Json) -> list[Order]:
        """Return the tasks of an answer that may be given out; note why not, for the others."""
        wanted = [answer] if self.setting.mode == ROUTE else answer.get("delegate") or ()
        if not wanted:
            self._reject("no_task", "No task was given out, and the work was not finished either.")
        left, accepted = self.left, []
        for entry in wanted[:left]:
            task = self.setting.task if self.setting.mode == ROUTE else entry.get("task") or ""
            order = self._fitting(Order(str(entry.get("worker")), task, entry.get("args") or {}))
            accepted += [order] if order else []
        if len(wanted) > left:
            message = f"{len(wanted):,} tasks were wanted at once; {left:,} more may be given out."
            self._reject("too_many_delegations", message)
        return accepted

    def _fitting(self, wanted: Order) -> Order | None:
        """Return an order as it may be carried out, None when it may not."""
        if wanted.worker not in self.setting.workers:
            self._reject("unknown_worker", plans.no_worker(wanted.worker, self.setting.workers))
            return None
        order = orders.bare(wanted, self.setting)
        why = orders.unfit(order, self.setting) or orders.goes_round(order, self.setting, self._repeats)
        if why:
            self._reject(*why)
            return None
        self._repeats.grant(order.wish)
        return order

    def _give_out(self, tasks: list[Order]) -> None:
        if tasks:
            self.todo, self.stage = tasks, Stage.WORK
        else:
            self._hold_against()

    def _take_plan(self, answer: Json) -> None:
        try:
            self.plan = self._checked(answer)
        except Refusal as refusal:
            self._reject(refusal.code, refusal.message)
            self._hold_against()
            return
        if self.setting.reviewed:
            self.stage = Stage.REVIEW
        else:
            self._start_plan()

    def _checked(self, plan: Json) -> tuple[plans.Task, ...]:
        setting = self.setting
        found = plans.read(plan, plans.Bounds(setting.workers, setting.lock, max(self.left, 0), self.known))
        for task in found:
            order = self._order(task)
            if why := orders.too_long(order, setting) or orders.goes_round(order, setting, self._repeats):
                raise Refusal(*why)
        return found

    def _start_plan(self) -> None:
        tasks = [self._order(task) for task in self.plan]
        for order in tasks:
            self._repeats.grant(order.wish)
        self._give_out(tasks)

    def _order(self, task: plans.Task) -> Order:
        return orders.bare(Order(task.worker, task.task, task.args, task.id, task.uses), self.setting)

    def _close_plan(self) -> None:
        last = self.plan[-1].id
        if last in self.known:
            self._end(self.known[last])
            return
        self.stage, self._is_judged = Stage.ASK, True
        if self.left > 0:
            self._hold_against()
        else:
            message = f"All {self.setting.most} tasks have been given out, and the plan has not come to its end."
            self._fail(StepError(ErrorClass.LIMIT, USED_UP, message))

    def _end_with(self, number: int) -> None:
        """End with what one worker brought, good or bad."""
        outcome = self.outcomes[number]
        if outcome.status == "succeeded":
            self._end(outcome.value)
            return
        error = outcome.error or {"class": ErrorClass.INTERNAL, "message": "it was cancelled"}
        message = f"{self.given[number - 1].worker} could not do it: {error['message']}"
        cls = class_above(ErrorClass(error["class"]), error.get("code", ""))
        self._fail(StepError(cls, "delegation_failed", message))

    def _reject(self, code: str, message: str) -> None:
        self.rejected.append(Rejected(self.turn, code, message))

    def _end(self, result: Json) -> None:
        self.result, self.stage, self.ended = result, Stage.ENDED, self.ended or FINISHED
        if self.turn in self.setting.forgiven:
            self.forgive()

    def _fail(self, error: StepError) -> None:
        self.stage, self.error = Stage.FAILED, error
        if self.turn in self.setting.forgiven:
            self.forgive()

    def forgive(self) -> None:
        """Go on after all, as a person ordered: what was held against the leader is forgotten."""
        denied = self.error is not None and self.error.cls is ErrorClass.DENIED
        used_up = self.setting.mode == STEP and self.left <= 0
        self.stage = Stage.REVIEW if denied and self.plan else Stage.FINAL if used_up else Stage.ASK
        self.stalls, self.resets, self.ended, self.error = 0, 0, USED_UP if used_up else "", None
