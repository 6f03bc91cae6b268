"""What did run: runs and their inbox, steps, events, spans, calls and the money ledger.

`runs.store` writes these rows with one SQL statement per decision; everything else reads them with the ORM.
The tables a run appends to carry no database foreign key to it: each row enters through the run's fence
(`owner` and `epoch`), which already proves that the run exists.
"""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.models import Pipeline, PipelineVersion
from runs.engine.status import RunState, StepState

OPEN_RUN_STATES = [s.value for s in RunState if not s.is_terminal]


@dataclass(frozen=True, slots=True)
class Totals:
    """What runs come to together. Money is micro-dollars."""

    cost_micros: int = 0
    reserved_micros: int = 0
    unconfirmed_micros: int = 0
    unpriced_calls: int = 0
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Run(models.Model):
    """One execution of one pinned version. Money is in micro-dollars; `epoch` fences off former owners."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # These are the first columns of indexes below.
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, db_index=False)
    version = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT)
    number = models.PositiveIntegerField(help_text="counts up within the workspace; what people call the run")
    state = models.CharField(max_length=16, choices=[(s, s) for s in RunState], default=RunState.QUEUED)
    reason = models.CharField(max_length=64, null=True, blank=True)
    input = models.JSONField(default=dict)
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=63), default=list)
    rehearsal = models.BooleanField(default=False)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    forked_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="child_runs", help_text="who started it"
    )
    parent_path = models.CharField(max_length=400, null=True, blank=True, help_text="the step that started it")
    parent_count = models.PositiveIntegerField(null=True, blank=True, help_text="which of that step's children it is")
    origin = models.JSONField(default=dict, help_text="of a child: ancestors, labels, editors; see engine.origin")
    children = models.PositiveIntegerField(default=0, help_text="how many runs its steps have started")
    budget = models.JSONField(default=dict, help_text="the document's run budget, tightened by the starter")
    arm = models.CharField(max_length=1, null=True, blank=True, help_text="A, B …: where versions share the runs")
    board_id = models.UUIDField(default=new_id, editable=False, help_text="whose board entries are this run's")

    cost_micros = models.BigIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)
    unconfirmed_micros = models.BigIntegerField(default=0)
    saved_micros = models.BigIntegerField(default=0)
    unpriced_calls = models.IntegerField(default=0)
    llm_calls = models.IntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    machine_ms = models.BigIntegerField(default=0)

    owner = models.CharField(max_length=128, null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    epoch = models.IntegerField(default=0)
    revision = models.BigIntegerField(default=0, help_text="number of commits; tells a lost answer from a lost commit")
    crashes = models.IntegerField(default=0)
    seq = models.BigIntegerField(default=0, help_text="number of the newest event")
    wake_at = models.DateTimeField(null=True, blank=True, help_text="when the next timer of a parked run is due")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    totals: Totals | None = None  # as `runs.family` has added it up

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "number"], name="one_run_per_number"),
            models.CheckConstraint(condition=Q(reserved_micros__gte=0), name="reservation_not_negative"),
            models.UniqueConstraint(fields=["parent", "parent_path", "parent_count"], name="one_run_per_child"),
        ]
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="runs_newest"),
            models.Index(fields=["pipeline", "-created_at"], name="runs_of_pipeline"),
            models.Index(fields=["workspace", "state"], condition=Q(state__in=OPEN_RUN_STATES), name="runs_open"),
            models.Index(fields=["lease_until"], condition=Q(owner__isnull=False), name="runs_leased"),
            models.Index(fields=["wake_at"], condition=Q(wake_at__isnull=False), name="runs_timers"),
        ]

    @property
    def total_micros(self) -> int:
        """What the run and all that its steps started have cost, where it was added up; else the run alone."""
        return self.totals.cost_micros if self.totals else self.cost_micros

    @property
    def total_reserved_micros(self) -> int:
        return self.totals.reserved_micros if self.totals else self.reserved_micros


class RunCounter(models.Model):
    """The number of the newest run of a workspace."""

    workspace = models.OneToOneField(Workspace, primary_key=True, on_delete=models.CASCADE)
    last = models.PositiveIntegerField(default=0)


class Inbox(models.Model):
    """A fact from outside waiting for the run's owner; unique by key, so a repeated report is one fact."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False)  # one_fact_per_key begins with it
    key = models.CharField(max_length=200)
    fact = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_fact_per_key")]
        indexes = [models.Index(fields=["run", "id"], condition=Q(taken_at__isnull=True), name="inbox_waiting")]


class Step(models.Model):
    """The present state of one step; `memo` is what the engine needs to go on after a restart."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    path = models.CharField(max_length=400)
    node = models.CharField(max_length=63)
    kind = models.CharField(max_length=16)
    title = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=16, choices=[(s, s) for s in StepState])
    wait_reason = models.CharField(max_length=32, null=True, blank=True)
    attempt = models.IntegerField(default=0)
    flags = ArrayField(models.CharField(max_length=16), default=list)
    port = models.CharField(max_length=63, null=True, blank=True)
    input = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    meta = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    memo = models.JSONField(null=True, blank=True)
    cost_micros = models.BigIntegerField(default=0)
    unpriced_calls = models.IntegerField(default=0)
    position = models.IntegerField(default=0, help_text="order in which steps became ready")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_step_per_path")]


class Event(models.Model):
    """The run's log: seq 1, 2, 3 … without a gap. What the live pages follow."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    seq = models.BigIntegerField()
    type = models.CharField(max_length=32)
    path = models.CharField(max_length=400, null=True, blank=True)
    at = models.DateTimeField()
    payload = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="one_event_per_seq")]


class Call(models.Model):
    """The journal: one model or tool call, written before it is made and again when it answered.

    `key` is path@attempt/n; `idempotency_key` is run/path/n and is
    sent along. A call with an approval consumes it: `approval` is unique.
    """

    class State(models.TextChoices):
        STARTED = "started"
        FINISHED = "finished"
        FAILED = "failed"
        LOST = "lost"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    key = models.CharField(max_length=440)
    path = models.CharField(max_length=400)
    attempt = models.IntegerField()
    n = models.IntegerField(help_text="counts the calls of the step over all its attempts")
    kind = models.CharField(max_length=8, choices=[("model", "model"), ("tool", "tool")])
    name = models.CharField(max_length=128, help_text="provider/model or tool@version")
    state = models.CharField(max_length=8, choices=State.choices)
    request_hash = models.CharField(max_length=71)
    request = models.JSONField(null=True, blank=True)
    response = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    effect = models.CharField(max_length=16, default="none")
    delivery = models.CharField(max_length=16, default="idempotent")
    idempotency_key = models.CharField(max_length=440)
    approval = models.UUIDField(null=True, blank=True, unique=True)
    reserved_micros = models.BigIntegerField(default=0)
    cost_micros = models.BigIntegerField(null=True, blank=True)
    input_tokens = models.BigIntegerField(null=True, blank=True)
    output_tokens = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_call_per_key")]


class LedgerEntry(models.Model):
    """One movement of money. Settled entries sum to the run's cost and to its spans' costs."""

    class Kind(models.TextChoices):
        RESERVED = "reserved"
        SETTLED = "settled"
        RELEASED = "released"
        UNCONFIRMED = "unconfirmed"
        CACHE_HIT = "cache_hit"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    path = models.CharField(max_length=420, help_text="path@attempt")
    call = models.CharField(max_length=440)
    model = models.CharField(max_length=128)
    amount_micros = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call", "kind"], name="one_entry_per_call_and_kind")]


class Span(models.Model):
    """A finished piece of work in OpenTelemetry's shape, with what the cost pages group by."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    span_id = models.CharField(max_length=16)
    parent_span_id = models.CharField(max_length=16, null=True, blank=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=8, default="internal")
    path = models.CharField(max_length=400, null=True, blank=True)
    node = models.CharField(max_length=63, null=True, blank=True)
    agent = models.CharField(max_length=80, null=True, blank=True)
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=8, default="ok")
    attributes = models.JSONField(default=dict)
    model = models.CharField(max_length=128, null=True, blank=True)
    input_tokens = models.BigIntegerField(null=True, blank=True)
    output_tokens = models.BigIntegerField(null=True, blank=True)
    cost_micros = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "span_id"], name="one_span_per_id")]
        indexes = [
            models.Index(
                fields=["workspace", "end"],
                condition=Q(model__isnull=False),
                name="spans_that_cost",
                include=[
                    *("pipeline", "agent", "node", "model", "status", "run"),
                    *("cost_micros", "input_tokens", "output_tokens"),
                ],
            )
        ]


class BudgetCounter(models.Model):
    """What a budget's period has spent and reserved so far; moved by `runs.allowance` and the fenced commit only.

    `alerted_micros` is the spend up to which the budget's alerts have been given, `full_micros` the cap at whose end
    one was. `extra_micros` is what a manager allowed beyond the cap in this period.
    """

    budget = models.ForeignKey("pipelines.Budget", on_delete=models.CASCADE)
    period_start = models.DateField(help_text="in the workspace's zone")
    spent_micros = models.BigIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)
    alerted_micros = models.BigIntegerField(default=0)
    full_micros = models.BigIntegerField(default=0)
    extra_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "period_start"], name="one_counter_per_period"),
            models.CheckConstraint(condition=Q(reserved_micros__gte=0), name="counter_not_negative"),
        ]


class BudgetHold(models.Model):
    """What one open call has reserved of one budget's period; gone once the call is settled."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    call = models.CharField(max_length=440)
    budget = models.ForeignKey("pipelines.Budget", on_delete=models.CASCADE, db_constraint=False)
    period_start = models.DateField()
    amount_micros = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call", "budget"], name="one_hold_per_call_and_budget")]


class ConnectionUse(models.Model):
    """A call that goes through a limited connection, or waits to; moved by `runs.limits` only.

    Until `taken_at` it waits in line; from then until `given_back_at` it is under way, as long as its owner renews
    `until`. Rows of the last minute say how many requests and tokens the minute has had.
    """

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey("pipelines.Connection", on_delete=models.CASCADE, db_constraint=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    call = models.CharField(max_length=440)
    owner = models.CharField(max_length=128)
    tokens = models.BigIntegerField(help_text="reserved, and once the call has answered what it used")
    asked_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True, blank=True)
    given_back_at = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call"], name="one_use_per_call")]


class CacheEntry(models.Model):
    """The result of a step, for steps with the same digest; written with the step's success in the fenced commit.

    `run`, `path` name its origin, `cost_micros` is what the origin paid (None: unknown).
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False)
    path = models.CharField(max_length=400)
    output = models.JSONField(null=True)
    meta = models.JSONField(null=True)
    ports = ArrayField(models.CharField(max_length=63), default=list)
    model = models.CharField(max_length=128, blank=True)
    cost_micros = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_entry_per_key")]


class Turn(models.Model):
    """What an agent was asked and answered in a session, written with the step's success in the fenced commit.

    `key` is the digest of pipeline, agent and the session's name. `trust` says whose words the prompt was; the answer
    is a model's.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    path = models.CharField(max_length=400)
    prompt = models.TextField()
    answer = models.TextField()
    trust = models.CharField(max_length=8)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_turn_per_step")]
        indexes = [models.Index(fields=["workspace", "key", "id"], name="turns_of_session")]


class Note(models.Model):
    """A row written by the sample tools `notes.append` and `crm.log`; unique by idempotency key."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    book = models.CharField(max_length=16, choices=[("notes", "notes"), ("crm", "crm")])
    contact = models.CharField(max_length=254, blank=True)
    text = models.TextField()
    idempotency_key = models.CharField(max_length=480, unique=True)
    at = models.DateTimeField(auto_now_add=True)


class BoardEntry(models.Model):
    """One change of a board, never changed again; the newest `version` of a key, or the appends since its last write,
    are what stands there. Written with the step that made it, in the fenced commit."""

    id = models.BigAutoField(primary_key=True)
    board_id = models.UUIDField()
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False)
    path = models.CharField(max_length=400)
    key = models.CharField(max_length=200)
    version = models.BigIntegerField()
    op = models.CharField(max_length=8, choices=[("write", "write"), ("append", "append")])
    value = models.JSONField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["board_id", "key", "version"], name="one_entry_per_version")]


class SentEvent(models.Model):
    """An event that was sent to a topic of a workspace, by a person or program (`by`) or by a run's step.

    `key` is unique in the workspace: what is sent again under it is the same event. `looked_at` is when its waits were
    looked for after it was committed; until then the poll does. `runs.topics` forgets it when no wait may want it.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=480)
    topic = models.CharField(max_length=200)
    name = models.CharField(max_length=63, blank=True)
    payload = models.JSONField(null=True)
    by = models.CharField(max_length=254)
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    at = models.DateTimeField(db_index=True)
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_sent_event_per_key")]
        indexes = [
            models.Index(fields=["workspace", "topic", "id"], name="sent_events_of_topic"),
            models.Index(fields=["id"], condition=Q(looked_at__isnull=True), name="sent_events_to_look_at"),
        ]


class EventWait(models.Model):
    """A topic that a step of a run waits at; there as long as it does, written and removed in the fenced commit.

    Events sent from `since` on count. `looked_at` is when events sent before were looked for, `looked_to` the newest of
    those.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    request = models.CharField(max_length=420)
    topic = models.CharField(max_length=200)
    since = models.DateTimeField()
    looked_at = models.DateTimeField(null=True, blank=True)
    looked_to = models.BigIntegerField(db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "request", "topic"], name="one_wait_per_topic")]
        indexes = [
            models.Index(fields=["workspace", "topic"], name="waits_of_topic"),
            models.Index(fields=["id"], condition=Q(looked_at__isnull=True), name="waits_to_look_for"),
        ]


class TakenEvent(models.Model):
    """An event that ended a wait of a run: no later wait of that run is given it again."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    event = models.ForeignKey(SentEvent, on_delete=models.CASCADE, db_constraint=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "event"], name="one_taking_per_run")]


class StepLock(models.Model):
    """A step's place in line for a named lock of its workspace; the lock is its own from `granted_at` until the row
    goes.

    Written and removed in the fenced commit of the step's run; `runs.locks` grants.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    request = models.CharField(max_length=420)
    name = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    granted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "request"], name="one_place_per_request"),
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(granted_at__isnull=False), name="one_holder_per_lock"
            ),
        ]
        indexes = [models.Index(fields=["workspace", "name", "id"], name="locks_line")]
