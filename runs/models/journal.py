"""What a run asked and was answered: calls, values too large for rows, money, spans."""

from django.db import models
from django.db.models import Q

from accounts.models import Workspace
from pipelines.models import Pipeline
from runs.models.run import Run


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
    key = models.TextField()
    path = models.TextField()
    attempt = models.IntegerField()
    n = models.IntegerField(help_text="counts the calls of the step over all its attempts")
    kind = models.CharField(max_length=8, choices=[("model", "model"), ("tool", "tool")])
    name = models.CharField(max_length=128, help_text="provider/model or tool@version")
    state = models.CharField(max_length=8, choices=State.choices)
    request_hash = models.CharField(max_length=71)
    request = models.JSONField(null=True, blank=True)
    response = models.JSONField(null=True, blank=True)
    large = models.JSONField(null=True, blank=True, help_text="what stands in an Artifact instead, by column")
    error = models.JSONField(null=True, blank=True)
    effect = models.CharField(max_length=16, default="none")
    delivery = models.CharField(max_length=16, default="idempotent")
    idempotency_key = models.TextField()
    approval = models.UUIDField(null=True, blank=True, unique=True)
    reserved_micros = models.BigIntegerField(default=0)
    reserved_tokens = models.BigIntegerField(default=0, db_default=0)
    cost_micros = models.BigIntegerField(null=True, blank=True)
    input_tokens = models.BigIntegerField(null=True, blank=True)
    output_tokens = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_call_per_key")]


class Artifact(models.Model):
    """A value too large for a row, kept once per run; written in the fenced commit of the rows that name it,
    or with the run whose input it is.

    `hash` is the digest of its canonical JSON, `size` the bytes of that.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    hash = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    size = models.BigIntegerField()
    value = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "hash"], name="one_artifact_per_hash")]


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
    path = models.TextField(help_text="path@attempt")
    call = models.TextField()
    model = models.CharField(max_length=128)
    amount_micros = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call", "kind"], name="one_entry_per_call_and_kind")]
        indexes = [
            models.Index(fields=["at"], condition=Q(kind__in=["unconfirmed", "cache_hit"]), name="entries_beside_cost"),
            models.Index(fields=["run"], condition=Q(kind__in=["unconfirmed", "cache_hit"]), name="entries_of_run"),
        ]


class Span(models.Model):
    """A finished piece of work in OpenTelemetry's shape, with what the cost pages group by. A table per month."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    span_id = models.CharField(max_length=16)
    parent_span_id = models.CharField(max_length=16, null=True, blank=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=8, default="internal")
    path = models.TextField(null=True, blank=True)
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
    again = models.CharField(max_length=8, null=True, help_text="of a call: retry or repair of an earlier attempt")

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


class SpanExport(models.Model):
    """How far the spans have been sent to a collector. One row per destination; `holder` sends until `held_until`.

    Every span whose id is at most `position` was taken by the collector, or cannot be.
    """

    name = models.CharField(primary_key=True, max_length=16)
    position = models.BigIntegerField()
    holder = models.CharField(max_length=32, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True, help_text="not before this, after a failure")
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    error = models.CharField(max_length=500, blank=True, help_text="what the last failure said")
    sent = models.BigIntegerField(default=0, help_text="spans that the collector took")
    refused = models.BigIntegerField(default=0, help_text="spans that it refused for good")
