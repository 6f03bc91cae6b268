"""The daily books of spending: what ended runs came to, by day and by whatever managers ask for.

`runs.spending` writes and reads them. They follow from the spans and the ledger and can be made again from those, but
for the lines of runs whose spans retention has removed (`is_sealed`).
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Workspace
from runs.models.run import Run


class SpendBook(models.Model):
    """The zone whose days a workspace's lines are kept in. While it differs from the workspace's, spans are read."""

    workspace = models.OneToOneField(Workspace, primary_key=True, on_delete=models.CASCADE)
    zone = models.CharField(max_length=64)


class RunDay(models.Model):
    """How many runs began on a day, by how they ended, and what their own calls cost. Money is micro-dollars."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    day = models.DateField(help_text="of the book's zone, in which the run was created")
    pipeline_id = models.UUIDField()
    state = models.CharField(max_length=16)
    is_child = models.BooleanField(help_text="started by another run's step")
    rehearsal = models.BooleanField()
    person = models.UUIDField(null=True)
    trigger = models.CharField(max_length=80)
    tags = ArrayField(models.CharField(max_length=63))
    runs = models.IntegerField()
    cost = models.BigIntegerField()
    peak = models.BigIntegerField(help_text="what the dearest one cost")
    unconfirmed = models.BigIntegerField()
    capped = models.IntegerField(help_text="how many a budget stopped")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    *("workspace", "day", "pipeline_id", "state", "is_child", "rehearsal"),
                    *("person", "trigger", "tags"),
                ],
                name="one_count_per_day_and_end",
                nulls_distinct=False,
            )
        ]


class _Place(models.Model):
    """What spending is asked by. `person` is a user's id; `outcome` is how the run ended."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    day = models.DateField(help_text="of the book's zone, in which the call ended")
    pipeline_id = models.UUIDField()
    agent = models.CharField(max_length=80, null=True)
    node = models.CharField(max_length=63, null=True)
    model = models.CharField(max_length=128)
    person = models.UUIDField(null=True)
    trigger = models.CharField(max_length=80)
    outcome = models.CharField(max_length=16)
    tags = ArrayField(models.CharField(max_length=63))
    is_sealed = models.BooleanField(default=False, help_text="of runs whose spans are gone")

    class Meta:
        abstract = True


class SpendDay(_Place):
    """One line of the book. Money is micro-dollars.

    The eight `runs` count the runs of the line whose calls all lie in one day, each once among the lines that differ
    only in what the column does not name (a agent, n node, m model): adding up the right one counts every run once.
    """

    cost = models.BigIntegerField()
    unconfirmed = models.BigIntegerField(help_text="what lost calls may have cost")
    saved = models.BigIntegerField(help_text="what kept results would have cost")
    retried = models.BigIntegerField(help_text="part of the cost: asked again after a failure")
    repaired = models.BigIntegerField(help_text="part of the cost: asked again for an answer that could be used")
    unused = models.BigIntegerField(default=0, help_text="part of the cost: of steps that came to nothing")
    looped = models.BigIntegerField(default=0, help_text="part of the cost: second and later rounds of loops")
    calls = models.BigIntegerField()
    failed_calls = models.BigIntegerField()
    priced = models.BigIntegerField()
    unpriced = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    milliseconds = models.BigIntegerField()
    runs = models.IntegerField()
    runs_a = models.IntegerField()
    runs_n = models.IntegerField()
    runs_m = models.IntegerField()
    runs_an = models.IntegerField()
    runs_am = models.IntegerField()
    runs_nm = models.IntegerField()
    runs_anm = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    *("workspace", "day", "pipeline_id", "agent", "node", "model"),
                    *("person", "trigger", "outcome", "tags", "is_sealed"),
                ],
                name="one_line_per_day_and_place",
                nulls_distinct=False,
            )
        ]


class StepDay(models.Model):
    """How long steps of a pipeline took that ended on a day, and its runs (node ""), by part and bucket of time.

    `runs.spending.durations` says what parts and buckets are.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    day = models.DateField(help_text="of the book's zone, in which the step ended")
    pipeline_id = models.UUIDField()
    node = models.CharField(max_length=63)
    kind = models.CharField(max_length=16)
    state = models.CharField(max_length=16)
    port = models.TextField(null=True)
    part = models.CharField(max_length=8)
    bucket = models.SmallIntegerField()
    is_sealed = models.BooleanField(default=False, help_text="of runs whose events are gone")
    times = models.BigIntegerField()
    milliseconds = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    *("workspace", "day", "pipeline_id", "node", "kind", "state", "port"),
                    *("part", "bucket", "is_sealed"),
                ],
                name="one_time_per_day_and_bucket",
                nulls_distinct=False,
            )
        ]


class SpendHour(models.Model):
    """What a workspace's calls that ended in an hour cost; `runs.spending.hours` writes and reads it.

    Hours are those of UTC, whatever the workspace's zone: they are only ever looked at one by one.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    hour = models.DateTimeField(help_text="at which it begins")
    is_sealed = models.BooleanField(default=False, help_text="of runs whose spans are gone")
    cost = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "hour", "is_sealed"], name="one_line_per_hour"),
        ]


class StepReading(models.Model):
    """When somebody last looked at what a step of a pipeline gave, in whichever run (`runs.unread`)."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False)
    pipeline_id = models.UUIDField()
    node = models.CharField(max_length=63)
    read_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline_id", "node"], name="one_reading_per_step")]


class SpendVisit(_Place):
    """Where a run with calls in more than one day was, so that it counts once in a question about several days."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "day"], name="visits_by_day"),
            models.Index(fields=["run"], name="visits_of_run"),
        ]
