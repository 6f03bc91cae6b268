"""A claimed run's state in memory and the rows that each decision makes of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipelines.graph.lock import Lock, Price
from pipelines.graph.model import Budget, Document, Graph, Json, Kind, Node
from pipelines.graph.tools import Effect
from runs import children, effects
from runs.allowance import Alert
from runs.boards import Place
from runs.children import Above
from runs.claims import Claimed
from runs.effects import Row, RunFacts
from runs.engine import budget, paths, turns
from runs.engine.decision import Decision, Event, StepRecord
from runs.engine.facts import ErrorClass, StepError
from runs.engine.origin import Origin
from runs.engine.settling import TO_JUDGE
from runs.engine.state import Execution
from runs.engine.status import RunState, StepState
from runs.execution import results, rows, trace
from runs.execution.context import FAILED, FINISHED, LOST, MODEL, STARTED, CallIntent, CallOutcome, JournalEntry
from runs.execution.results import Brought
from runs.ledger import CallRow, Ledger, StepCost
from runs.store import Commit
from runs.talks import Summary

EXECUTED = frozenset({Kind.AGENT, Kind.TOOL, Kind.DECIDE, Kind.CHECK, Kind.COMBINE, Kind.PIPELINE})

MOST_EVENTS = 50_000


@dataclass(frozen=True, slots=True)
class Pinned:
    """A version as the worker keeps it: parsed once per process."""

    id: str
    document: Document
    lock: Lock
    editors: tuple[str, ...]

    def priced(self, changed: Mapping[str, Json] | None) -> "Pinned":
        """Return it with the prices that a run has instead of the lock's; None stands for one that nobody knows."""
        if not changed:
            return self
        own = {ref: Price(**price) if price else None for ref, price in changed.items()}
        return replace(self, lock=replace(self.lock, prices={**self.lock.prices, **own}))

    def agent_of(self, path: str, record: StepRecord | None) -> str | None:
        """Return slug@number of the agent that the step at this path runs, None for other kinds.

        A step that was made as the run went stands in no document; its record says it.
        """
        if record and (made := turns.agent_of(record)):
            return self.lock.agent(made).id
        graph: Graph | None = self.document.graph
        node: Node | None = None
        for name in paths.place_of(path).split("."):
            node = graph.nodes.get(name) if graph else None
            graph = node.graph if node else None
        if node is None or node.kind not in (Kind.AGENT, Kind.SUPERVISOR):
            return None
        return self.lock.agent(str(node.config["agent"])).id


class OwnedRun:
    """One run at one epoch. `revision` counts its commits; `seq` numbers its events without a gap; `crashes` counts
    the workers that died over it since it last finished a step."""

    def __init__(self, claimed: Claimed, pinned: Pinned, owner: str) -> None:
        row = claimed.run
        pinned = pinned.priced(row["prices"])
        self._row, self._pinned, self._owner = row, pinned, owner
        self.id, self.workspace_id, self.pipeline_id = (str(row[k]) for k in ("id", "workspace_id", "pipeline_id"))
        self.rehearsal: bool = row["rehearsal"]
        self.budgeted = claimed.budgeted
        self.lock = pinned.lock
        self.wake_at: datetime | None = row["wake_at"]
        self._seq, self._revision, self.epoch = row["seq"], row["revision"], row["epoch"]
        self.crashes: int = row["crashes"]
        self.state = RunState(row["state"])
        self.parent_id = str(row["parent_id"]) if row["parent_id"] else None
        self._editors = tuple(dict.fromkeys((*pinned.editors, *row["origin"].get("editors", ()))))
        self.execution = _execution(claimed, pinned)
        self.shares_board = self.execution.shares_board
        self.board, self.board_seen = Place(str(row["board_id"]), self.id, owner, self.epoch), 0
        costs = {s["path"]: rows.own_cost(s) for s in claimed.steps}
        self._ledger = Ledger(self.id, costs)
        self._journal = _journal(claimed.calls)
        self._place = trace.Place(
            self.id, self.workspace_id, self.pipeline_id, pinned.document.name, self._agent_of, self._attempt_of
        )
        self._begun: dict[str, datetime] = {}
        self._calls: list[dict[str, Json]] = []
        self._spans: list[dict[str, Json]] = []
        self._holds: list[dict[str, Json]] = []
        self._brought: dict[str, Brought] = {}
        self._summaries: list[Row] = []
        self._saved: int = row["saved_micros"]
        self._touched: set[str] = set()

    @property
    def beyond_limits(self) -> StepError | None:
        """Return why the run must end now, when its log is as long as a log may be."""
        if self._seq < MOST_EVENTS or self.state.is_terminal:
            return None
        message = (
            f"The run has logged {self._seq:,} events; {MOST_EVENTS:,} is the most. Split the work over several runs."
        )
        return StepError(ErrorClass.LIMIT, "too_many_events", message)

    def journal_of(self, path: str) -> tuple[JournalEntry, ...]:
        return tuple(self._journal[path].values())

    # -- money and calls --------------------------------------------------------------------------------------------

    def reserve(self, intent: CallIntent, now: datetime) -> StepError | None:
        """Reserve a call's price and note its intent; return why not when a cap stands in the way."""
        if intent.kind == MODEL:
            refusal = budget.admit(self.execution, intent.path, intent.reserve_micros, intent.max_tokens)
            if refusal is not None:
                return StepError(ErrorClass.BUDGET, refusal.code, refusal.message)
            budget.reserve(self.execution, intent.path, intent.reserve_micros, intent.max_tokens)
        self._ledger.reserved(rows.call_row(intent), now)
        self._calls.append(rows.call_started(self.id, intent, now))
        self._journal[intent.path][intent.key] = rows.noted(intent)
        return None

    def announce(self, alerts: Sequence[Alert]) -> None:
        """Log which parts of a budget are used up, with the next commit."""
        self._ledger.entries.after.extend(Event("budget_alert", None, alert.payload) for alert in alerts)

    def let_go(self, intent: CallIntent) -> None:
        """Give back, with the next commit, what a call that will not be made may have held of budgets."""
        if intent.kind == MODEL and self.budgeted:
            self._holds.append(rows.hold_closed(self.id, intent.key, 0))

    def settle(self, intent: CallIntent, outcome: CallOutcome, now: datetime) -> None:
        """Settle a call that answered, failed or was lost, and note it in the journal."""
        if intent.kind == MODEL:
            self._move_money(intent, outcome)
        booked = {
            "answered": outcome.error is None,
            "cost_micros": outcome.cost_micros,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "error": outcome.error.as_json() if outcome.error else None,
        }
        row = rows.call_row(intent)
        if outcome.lost:
            self._ledger.unconfirmed(row, now)
        else:
            self._ledger.settled(row, booked, now)
        self._calls.append(rows.call_ended(self.id, intent, outcome))
        if intent.kind == MODEL and self.budgeted:
            self._holds.append(rows.hold_closed(self.id, intent.key, outcome.cost_micros, lost=outcome.lost))
        self._journal[intent.path][intent.key] = rows.noted(intent, outcome)
        step = self.execution.steps.get(intent.path)
        self._spans.append(trace.call_span(self._place, intent, outcome, step.memo if step else {}))
        self._touched.add(intent.path)

    def _move_money(self, intent: CallIntent, outcome: CallOutcome) -> None:
        if outcome.lost:
            budget.unconfirm(self.execution, intent.path, intent.reserve_micros, intent.max_tokens)
        elif outcome.error is not None and outcome.cost_micros is None:
            budget.release(self.execution, intent.path, intent.reserve_micros, intent.max_tokens)
        else:
            usage = budget.Usage(outcome.cost_micros, outcome.input_tokens or 0, outcome.output_tokens or 0)
            budget.settle(self.execution, intent.path, intent.reserve_micros, usage, intent.max_tokens)

    def lose_started_calls(self, calls: list[dict[str, Any]], now: datetime) -> None:
        """After a crash: the calls that were under way lost their answers. Model calls keep their reservation."""
        for call in calls:
            if call["state"] != STARTED:
                continue
            row = CallRow(
                call["key"], call["path"], call["attempt"], call["kind"], call["name"], call["reserved_micros"]
            )
            if call["kind"] == MODEL:
                budget.unconfirm(self.execution, row.path, call["still_reserved"] or None, call["reserved_tokens"])
                if self.budgeted:
                    self._holds.append(rows.hold_closed(self.id, call["key"], None, lost=True))
            elif call["delivery"] == "neither":
                continue  # its outcome is unknown; a person decides, and until then the journal says "started"
            self._ledger.unconfirmed(row, now)
            self._calls.append(rows.call_lost(self.id, call, now))
            self._spans.append(trace.lost_span(self._place, call, now))
            self._journal[call["path"]][call["key"]] = replace(self._journal[call["path"]][call["key"]], state=LOST)

    def _agent_of(self, path: str, record: StepRecord | None) -> str | None:
        origin = self.execution.origin
        place = f"{origin.place}.{path}" if origin.is_item else path
        return self._pinned.agent_of(place, record or self.execution.steps.get(path))

    def _attempt_of(self, path: str) -> int:
        record = self.execution.steps.get(path)
        return record.attempt if record else 1

    # -- results ----------------------------------------------------------------------------------------------------

    def bring(self, brought: Brought | None) -> None:
        """Remember what a step came to, or came upon in the cache, until the decision about it is written."""
        if brought is not None:
            self._brought[brought.path] = brought

    def _keep_results(self, changed: Mapping[str, StepRecord], now: datetime) -> list[dict[str, Json]]:
        """Return the rows of results to keep, and book what kept ones saved: of the steps that this decision ends well.

        What was brought and not accepted is forgotten: the next attempt brings its own.
        """
        kept = []
        for path in self._brought.keys() & changed.keys():
            if TO_JUDGE in changed[path].memo:  # the judges have not said yet whether it ends well
                continue
            brought = self._brought.pop(path)
            if not results.is_the_end(changed[path], brought):
                continue
            if brought.origin is not None:
                self._saved += brought.origin.cost_micros or 0
                self._ledger.cache_hit(rows.hit_row(brought), now)
            elif all(entry.effect == Effect.NONE for entry in self._journal[path].values()):
                cost = self._ledger.costs.get(path, StepCost())
                kept.append(rows.kept_result(self.id, self.workspace_id, brought, cost, now))
        return kept

    def keep_summary(self, key: str, summary: Summary, now: datetime) -> None:
        """Keep what a talk was summed up to, with the next commit: that of the call that did it, or a later one."""
        self._summaries.append(rows.summary_row(self.id, self.workspace_id, key, summary, now))

    # -- rows -------------------------------------------------------------------------------------------------------

    def commit(self, decision: Decision, taken: list[int], now: datetime, *, release: bool) -> Commit | None:
        """Return the rows of this decision, or None when there is nothing to write."""
        entries = self._ledger.take_entries()
        events = entries.before + list(decision.events) + entries.after
        touched = {path: self.execution.steps[path] for path in self._touched if path in self.execution.steps}
        changed = {**touched, **decision.changed}
        kept = self._keep_results(decision.changed, now)
        entries.ledger.extend(self._ledger.take_entries().ledger)
        if not (events or changed or taken or release or self._calls or self._holds):
            return None
        self.state = decision.run
        self._revision += 1
        if any(record.kind in EXECUTED and record.state is StepState.SUCCEEDED for record in decision.changed.values()):
            self.crashes = 0  # it got further than the worker before, so it was not the run that killed it
        turns = [] if self.rehearsal else rows.turns_of(self.id, self.workspace_id, decision.changed.values(), now)
        costs = self._ledger.costs
        above = Above(self._row, self._pinned.id, self._editors)
        relatives = children.relatives(above, decision, self.execution, self._revision, now)
        steps = [rows.step_row(self.id, record, costs.get(path, StepCost())) for path, record in changed.items()]
        before = trace.attempt_spans(self._place, decision.events, self.execution.steps, self._begun, now)
        spans = [*self._spans, *before, *trace.step_spans(self._place, decision.changed.values())]
        if decision.ends:
            spans.append(trace.run_span(self._place, self._row, now, decision.run))
        commit = Commit(
            run=self._run_row(decision, now, release=release),
            events=[self._event_row(event, now) for event in events],
            steps=steps,
            calls=rows.latest_of_each(self._calls),
            ledger=entries.ledger,
            spans=spans,
            holds=self._holds,
            results=kept,
            turns=turns,
            taken=taken,
            rows=[*effects.rows_for(events, self._facts(now)), *relatives, *self._summaries],
        )
        commit.run["seq"] = self._seq
        self._calls, self._spans, self._holds, self._touched = [], [], [], set()
        self._summaries = []
        return commit

    def _event_row(self, event: Event, now: datetime) -> dict[str, Json]:
        self._seq += 1
        return {
            "run_id": self.id,
            "seq": self._seq,
            "type": event.type,
            "path": event.path,
            "at": now,
            "payload": event.payload,
        }

    def _run_row(self, decision: Decision, now: datetime, *, release: bool) -> dict[str, Json]:
        execution, spend = self.execution, self.execution.spend
        row = self._row
        if row["started_at"] is None and decision.run != RunState.QUEUED:
            row["started_at"] = now
        if decision.run.is_terminal and row["finished_at"] is None:
            row["finished_at"] = now
        return {
            "id": self.id,
            "owner": self._owner,
            "epoch": self.epoch,
            "revision": self._revision,
            "release": release,
            "crashes": self.crashes,
            "state": decision.run,
            "reason": execution.reason,
            "output": execution.output,
            "error": execution.error,
            "cost_micros": spend.cost,
            "reserved_micros": spend.reserved,
            "unconfirmed_micros": spend.unconfirmed,
            "saved_micros": self._saved,
            "unpriced_calls": spend.unpriced,
            "llm_calls": spend.calls,
            "input_tokens": spend.input_tokens,
            "output_tokens": spend.output_tokens,
            "machine_ms": spend.machine_ms,
            "children": execution.child_count,
            "wake_at": self.wake_at,
            "started_at": row["started_at"],
            "finished_at": row["finished_at"],
        }

    def _facts(self, now: datetime) -> RunFacts:
        started_by = self._row["started_by_id"]
        return RunFacts(
            id=self.id,
            workspace_id=self.workspace_id,
            pipeline_id=self.pipeline_id,
            version_id=self._pinned.id,
            started_by=str(started_by) if started_by else None,
            editors=self._editors,
            now=now,
            board_id=str(self._row["board_id"]),
            rehearsal=self.rehearsal,
            unattended=self.execution.origin.unattended,
        )


def _execution(claimed: Claimed, pinned: Pinned) -> Execution:
    run = claimed.run
    caps = dict(run["budget"])
    caps["alert_at"] = tuple(caps.get("alert_at", ()))
    origin = Origin.from_json(str(run["id"]), run["origin"])
    if not run["rehearsal"]:
        origin = replace(origin, unattended=False)  # what is really done is asked about, whoever wrote the row
    if not claimed.steps and run["revision"] == 0:
        return Execution.begin(pinned.document, pinned.lock, run["input"], Budget(**caps), origin)
    by_step = _step_spends(claimed.calls)
    held = budget.total(by_step.values())
    spend = budget.Spend(
        cost=run["cost_micros"],
        reserved=run["reserved_micros"],
        unconfirmed=run["unconfirmed_micros"],
        unpriced=run["unpriced_calls"],
        calls=run["llm_calls"],
        input_tokens=run["input_tokens"],
        output_tokens=run["output_tokens"],
        machine_ms=run["machine_ms"],
        reserved_tokens=held.reserved_tokens,
        unconfirmed_tokens=held.unconfirmed_tokens,
    )
    records = [rows.step_record(step) for step in claimed.steps]
    return Execution.restore(
        pinned.document,
        pinned.lock,
        run["input"],
        Budget(**caps),
        records,
        RunState(run["state"]),
        spend,
        by_step,
        origin,
    )


def _step_spends(calls: list[dict[str, Any]]) -> dict[str, budget.Spend]:
    """Return what each step's own calls came to, and hold."""
    spends: defaultdict[str, budget.Spend] = defaultdict(budget.Spend)
    for call in calls:
        if call["kind"] != MODEL or call["state"] == FAILED:
            continue
        spend = spends[call["path"]]
        spend.calls += 1
        spend.cost += call["cost_micros"] or 0
        spend.reserved += call["reserved_micros"] if call["state"] == STARTED else 0
        spend.unconfirmed += call["reserved_micros"] if call["state"] == LOST else 0
        spend.reserved_tokens += call["reserved_tokens"] if call["state"] == STARTED else 0
        spend.unconfirmed_tokens += call["reserved_tokens"] if call["state"] == LOST else 0
        spend.unpriced += call["state"] == FINISHED and call["cost_micros"] is None
        spend.input_tokens += call["input_tokens"] or 0
        spend.output_tokens += call["output_tokens"] or 0
    return dict(spends)


def _journal(calls: list[dict[str, Any]]) -> defaultdict[str, dict[str, JournalEntry]]:
    journal: defaultdict[str, dict[str, JournalEntry]] = defaultdict(dict)
    for call in calls:
        journal[call["path"]][call["key"]] = rows.journal_entry(call)
    return journal
