"""A run, what waits for its owner, its steps and its log."""

from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.models import Pipeline, PipelineVersion
from runs.engine.status import RunState, StepState

OPEN_RUN_STATES = [s.value for s in RunState if not s.is_terminal]


class Via(StrEnum):
    """How a run was started. That by a trigger is `by_trigger`."""

    FORM = "form"
    API = "api"
    COMMAND = "command"
    TEST = "test"
    PIPELINE = "pipeline"
    FORK = "fork"
    EVALUATION = "evaluation"
    MCP = "mcp"


def by_trigger(slug: str) -> str:
    """Return how a run was started that this trigger started."""
    return f"trigger:{slug}"


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

    OF_PIPELINE, ABOVE = "pipeline", "origin__ancestors"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # These are the first columns of indexes below.
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, db_index=False)
    version = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT)
    number = models.PositiveIntegerField(help_text="counts up within the workspace; what people call the run")
    state = models.CharField(max_length=16, choices=[(s, s) for s in RunState], default=RunState.QUEUED)
    reason = models.CharField(max_length=64, null=True, blank=True)
    input = models.JSONField(default=dict, null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    large = models.JSONField(null=True, blank=True, help_text="what stands in an Artifact instead, by column")
    error = models.JSONField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=63), default=list)
    rehearsal = models.BooleanField(default=False)
    # Nothing here removes users, and an index is written anew with each change of state of a run.
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    via = models.CharField(
        max_length=80, default="", db_default="", blank=True, help_text='one of Via, or "trigger:" and its slug'
    )
    forked_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, db_index=False)
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,  # one_run_per_child begins with it
        related_name="child_runs",
        help_text="who started it",
    )
    parent_path = models.TextField(null=True, blank=True, help_text="the step that started it")
    parent_count = models.PositiveIntegerField(null=True, blank=True, help_text="which of that step's children it is")
    origin = models.JSONField(default=dict, help_text="of a child: ancestors, labels, editors; see engine.origin")
    above = ArrayField(
        models.UUIDField(),
        null=True,
        blank=True,
        help_text="of a child: the other pipelines whose runs stand above it, from its first claim on; see claims",
    )
    children = models.PositiveIntegerField(default=0, help_text="how many runs its steps have started")
    budget = models.JSONField(default=dict, help_text="the document's run budget, tightened by the starter")
    arm = models.CharField(max_length=1, null=True, blank=True, help_text="A, B …: where versions share the runs")
    prices = models.JSONField(
        null=True, blank=True, help_text="what changed of the lock's prices until its first claim; see claims"
    )
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
    booked_at = models.DateTimeField(null=True, blank=True, help_text="when it came into the daily books of spending")
    trimmed_at = models.DateTimeField(null=True, blank=True, help_text="when retention removed its events and spans")
    content_removed_at = models.DateTimeField(
        null=True, blank=True, help_text="when retention removed what it was given and said"
    )

    totals: Totals | None = None  # as `runs.family` has added it up

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "number"], name="one_run_per_number"),
            models.CheckConstraint(condition=Q(reserved_micros__gte=0), name="reservation_not_negative"),
            models.UniqueConstraint(
                fields=["parent", "parent_path", "parent_count"],
                condition=Q(parent__isnull=False),  # most runs are no children, and each change of a run costs
                name="one_run_per_child",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="runs_newest"),
            models.Index(fields=["pipeline", "-created_at"], name="runs_of_pipeline"),
            models.Index(fields=["workspace", "state"], condition=Q(state__in=OPEN_RUN_STATES), name="runs_open"),
            models.Index(fields=["lease_until"], condition=Q(owner__isnull=False), name="runs_leased"),
            models.Index(fields=["workspace"], condition=Q(booked_at__isnull=True), name="runs_not_booked"),
            models.Index(
                fields=["finished_at"],
                condition=Q(booked_at__isnull=True, owner__isnull=True) & ~Q(state__in=OPEN_RUN_STATES),
                name="runs_to_book",
            ),
            models.Index(
                fields=["workspace", "finished_at"],
                condition=Q(booked_at__isnull=False, trimmed_at__isnull=True),
                name="runs_to_trim",
            ),
            models.Index(
                fields=["workspace", "finished_at"],
                condition=Q(parent__isnull=True, trimmed_at__isnull=False, content_removed_at__isnull=True),
                name="runs_with_content",
            ),
            models.Index(fields=["wake_at"], condition=Q(wake_at__isnull=False), name="runs_timers"),
            models.Index(
                fields=["workspace", "finished_at"], condition=Q(above__isnull=False), name="runs_below_pipelines"
            ),
            models.Index(fields=["forked_from"], condition=Q(forked_from__isnull=False), name="runs_forks"),
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
    large = models.JSONField(null=True, blank=True, help_text="what stands in another run's Artifact instead")
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_fact_per_key")]
        indexes = [models.Index(fields=["run", "id"], condition=Q(taken_at__isnull=True), name="inbox_waiting")]


class Step(models.Model):
    """The present state of one step; `memo` is what the engine needs to go on after a restart."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    path = models.TextField()
    node = models.CharField(max_length=63)
    kind = models.CharField(max_length=16)
    title = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=16, choices=[(s, s) for s in StepState])
    wait_reason = models.CharField(max_length=32, null=True, blank=True)
    attempt = models.IntegerField(default=0)
    flags = ArrayField(models.CharField(max_length=16), default=list)
    port = models.TextField(null=True, blank=True, help_text="several of a Route are joined by commas")
    input = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    meta = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    memo = models.JSONField(null=True, blank=True)
    large = models.JSONField(null=True, blank=True, help_text="what stands in an Artifact instead, by column")
    cost_micros = models.BigIntegerField(default=0)
    unpriced_calls = models.IntegerField(default=0)
    position = models.IntegerField(default=0, help_text="order in which steps became ready")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_step_per_path")]


class Event(models.Model):
    """The run's log: seq 1, 2, 3 … without a gap. What the live pages follow. In the database a table per month."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    seq = models.BigIntegerField()
    type = models.CharField(max_length=32)
    path = models.TextField(null=True, blank=True)
    at = models.DateTimeField()
    payload = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="one_event_per_seq")]
        indexes = [models.Index(fields=["run"], condition=Q(type="step_waiting"), name="events_of_waits")]
