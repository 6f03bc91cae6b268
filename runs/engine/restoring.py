"""Rebuilds a run from its step rows: edges from how steps ended, containers from what ran in them, memos."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from runs.engine import allotting, budget, children, paths, turns, worktime
from runs.engine.budget import RUN, Spend
from runs.engine.decision import StepRecord
from runs.engine.doubts import MAYBE_DONE
from runs.engine.forking import REOPENED, REUSED
from runs.engine.given import is_by_hand
from runs.engine.kinds import containers
from runs.engine.scope import EdgeState, Items, Scope, Step
from runs.engine.settling import TO_JUDGE
from runs.engine.state import Execution
from runs.engine.status import StepState, WaitReason


def restore_into(execution: Execution, rows: Iterable[StepRecord], spends: Mapping[str, Spend]) -> None:
    """Fill a fresh execution with what its rows say."""
    by_prefix: defaultdict[str, list[StepRecord]] = defaultdict(list)
    raised: list[tuple[str, str, int]] = []
    for record in rows:
        by_prefix[paths.prefix_of(record.path)].append(record)
        execution.position = max(
            execution.position, record.position, record.memo.get("queued", 0), record.memo.get("since", 0)
        )
        execution.has_edits = execution.has_edits or is_by_hand(record)
        execution.is_in_doubt = execution.is_in_doubt or MAYBE_DONE in record.memo
        children.recall(execution, record)
        raised.extend(tuple(entry) for entry in record.memo.get("raised", ()))
        execution.told_full.update(tuple(told) for told in record.memo.get("alerted", ()))
    if not execution.shares_board:
        execution.board.replay(record for records in by_prefix.values() for record in records)
    _fill(execution, execution.root, by_prefix)
    _remember(execution, by_prefix)
    execution.step_count = sum(map(len, by_prefix.values()))
    for cap, what, amount in raised:
        if cap == RUN or cap in execution.live:
            budget.raise_cap(execution, cap, what, amount)
    _count_spends(execution, by_prefix, spends)
    queued = [step for step in execution.live.values() if step.record.state is StepState.READY]
    execution.ready.extend(step.path for step in sorted(queued, key=lambda step: step.record.memo.get("queued", 0)))


def _fill(execution: Execution, scope: Scope, rows: Mapping[str, list[StepRecord]]) -> None:
    """Put the rows of a scope in their places, and those of the containers in it."""
    for record in _rows_of(scope.prefix, scope.container, rows):
        step = Step(scope, scope.graph.nodes[record.node], record)
        execution.add(step)
        _place(execution, step)
    under_way = [step for step in scope.steps.values() if step.node.iterates and not step.record.state.is_terminal]
    for step in under_way:
        if isinstance(step.record.input, dict):
            _fill_container(execution, step, rows)


def _rows_of(prefix: str, container: Step | None, rows: Mapping[str, list[StepRecord]]) -> list[StepRecord]:
    """Return the rows of one scope in order, without those of an earlier life of a container that began anew."""
    born = max(container.record.position, container.record.memo.get("since", 0)) if container else 0
    found = [record for record in rows.get(prefix, ()) if record.position > born]
    return sorted(found, key=lambda record: record.position)


def _remember(execution: Execution, rows: Mapping[str, list[StepRecord]]) -> None:
    """Keep what counts of the steps that are forgotten, in case their paths are trodden again."""
    for prefix, records in rows.items():
        for record in records if prefix else ():
            if record.path not in execution.live:
                around = (execution.live.get(path) for path in paths.containers_of(record.path))
                if container := next(filter(None, around), None):
                    container.remember(record)


def _place(execution: Execution, step: Step) -> None:
    record = step.record
    if record.state.is_terminal:
        step.scope.settle(step.node.id, lambda port: _edge_after(record, port))
        step.scope.open -= 1
        return
    if record.memo.get("due"):
        execution.set_timer(step, datetime.fromisoformat(record.memo["due"]))
    match record.state:
        case StepState.RUNNING if not step.node.iterates or TO_JUDGE in record.memo:
            execution.running.add(record.path)
        case StepState.RETRYING:
            execution.retrying.add(record.path)
        case StepState.WAITING if record.wait_reason == WaitReason.CIRCUIT:
            execution.retrying.add(record.path)
        case StepState.WAITING:
            execution.waiting.add(record.path)


def _edge_after(record: StepRecord, port: str) -> EdgeState:
    """Return how an ended step left the edges on a port."""
    match record.state:
        case StepState.SKIPPED if record.memo.get("failed_input"):
            return EdgeState.FAILED
        case StepState.FAILED if not record.ports:
            return EdgeState.FAILED
        case _:
            return EdgeState.TAKEN if port in record.ports else EdgeState.SKIPPED


def _fill_container(execution: Execution, step: Step, rows: Mapping[str, list[StepRecord]]) -> None:
    container = containers.reopen(execution, step)
    while found := _rows_of(containers.next_prefix(execution, step), step, rows):
        scope = containers.begin_next(execution, step)
        turns.recall(scope, found)
        _fill(execution, scope, rows)
        if not scope.open:
            containers.take_note(execution, step, scope)
        elif isinstance(container, Items) and not _has_begun(scope):
            container.active -= 1
            container.left.append(scope.index)


def _has_begun(scope: Scope) -> bool:
    """Tell whether anything of this run has happened in an item, other than what a fork took over."""
    return any(
        step.record.state is not StepState.PENDING
        and REUSED not in step.record.flags
        and not step.record.memo.get(REOPENED)
        for step in scope.steps.values()
    )


def _count_spends(execution: Execution, rows: Mapping[str, list[StepRecord]], spends: Mapping[str, Spend]) -> None:
    """Count on each capped step what the calls of the steps in it came to."""
    for records in rows.values():
        for record in records:
            spent = spends.get(record.path, Spend())
            for cap in (*paths.containers_of(record.path), record.path):
                if cap in execution.live and budget.is_counted(execution, cap):
                    execution.spend_of(cap).add(spent)
                    execution.spend_of(cap).machine_ms += worktime.worked_ms(record.memo)
                    if "children" in record.memo:
                        allotting.recount(execution.spend_of(cap), record.memo["children"])
