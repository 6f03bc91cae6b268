"""What answers are held against, and what came of it: datasets in versions, evaluations, results and their metrics."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.models import Pipeline, PipelineVersion
from runs.models import Run


class Dataset(models.Model):
    """A name under which cases are kept; what they say is in its versions."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    name = models.SlugField(max_length=63)
    description = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_dataset_per_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """Cases as they were saved: never changed, only followed by the next number (trigger `immutable_version`)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    hash = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON of the cases")
    note = models.CharField(max_length=500, blank=True)
    size = models.PositiveIntegerField(help_text="number of cases")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_dataset_version_per_number")]


class Case(models.Model):
    """One row of a version: what goes in, and what is expected to come out. Never changed (trigger).

    `has_expected` tells an expected null from no expectation. `digest` is over name, inputs, expectation and context:
    what a recorded answer was an answer to.
    """

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="cases")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    inputs = models.JSONField(default=dict)
    expected_output = models.JSONField(null=True)
    has_expected = models.BooleanField(default=False)
    context = models.JSONField(null=True)
    asserts = models.JSONField(default=list)
    metadata = models.JSONField(default=dict)
    source = models.UUIDField(null=True, help_text="the run that it was made of")
    digest = models.CharField(max_length=71)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="one_case_per_position"),
            models.UniqueConstraint(fields=["version", "name"], name="one_case_per_name"),
        ]


class Evaluation(models.Model):
    """One version of a pipeline on one version of a dataset, each case some times.

    `baseline` is the evaluation it is compared with. `gate` is {min_pass_rate, max_cost_micros, max_regression}, each
    where it is asked for; `missed` says in sentences what of it was not met. `summary` and `comparison` are written
    when it ends. `asserts` are asked of every case beside its own. `replay`: no run was started for it.

    `prefer` says by what a judge chooses between both versions' answers, "" where it is not asked to; `preference` is
    what came of it.
    """

    OF_PIPELINE = "pipeline"

    class State(models.TextChoices):
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="evaluations")
    baseline = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    reason = models.TextField(blank=True, help_text="why it failed or was cancelled")
    repeats = models.PositiveSmallIntegerField(default=3)
    seed = models.PositiveIntegerField(default=0, help_text="of the interval's resampling")
    judge = models.CharField(max_length=128, blank=True)
    asserts = models.JSONField(default=list)
    gate = models.JSONField(default=dict)
    missed = ArrayField(models.TextField(), default=list)
    replay = models.BooleanField(default=False)
    summary = models.JSONField(null=True)
    comparison = models.JSONField(null=True)
    prefer = models.TextField(blank=True, db_default="")
    preference = models.JSONField(null=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="evaluations_newest"),
            models.Index(fields=["created_at"], condition=Q(state="running"), name="evaluations_open"),
        ]

    @property
    def is_open(self) -> bool:
        return self.state == self.State.RUNNING


class Result(models.Model):
    """One answer to one case. `run` is the rehearsal that gave it, in a replay that of the earlier evaluation.

    An answer that could not be scored has an `error` and neither score nor `passed`. Cost is in micro-dollars with all
    that the run started, None where a price is unknown; `held_micros` is what a run under way may still cost.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        JUDGING = "judging"
        SCORED = "scored"
        ERROR = "error"

    OPEN = (State.WAITING, State.RUNNING, State.JUDGING)

    id = models.BigAutoField(primary_key=True)
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="results", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")
    repeat = models.PositiveSmallIntegerField(help_text="from 1")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    broke = models.TextField(blank=True, help_text="why the run came to no output")
    error = models.TextField(blank=True)
    score = models.FloatField(null=True)
    passed = models.BooleanField(null=True)
    seconds = models.FloatField(null=True)
    cost_micros = models.BigIntegerField(null=True)
    held_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "case", "repeat"], name="one_result_per_repeat"),
            models.CheckConstraint(
                condition=~Q(state="scored") | Q(score__gte=0, score__lte=1), name="score_is_a_part"
            ),
        ]
        indexes = [models.Index(fields=["evaluation", "state"], name="results_by_state")]


class Metric(models.Model):
    """What one assertion says of one answer. `run` is the judge's; until it has ended there is neither score nor error.

    `key` is the digest of what a judge was asked, so that a replay finds what it said.
    """

    id = models.BigAutoField(primary_key=True)
    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="metrics", db_index=False)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=110)
    type = models.CharField(max_length=40)
    score = models.FloatField(null=True)
    passed = models.BooleanField(null=True)
    error = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    cost_micros = models.BigIntegerField(null=True, default=0)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=71, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["result", "position"], name="one_metric_per_assertion")]
        indexes = [models.Index(fields=["key"], condition=~Q(key=""), name="metrics_judged")]


class Pair(models.Model):
    """Both versions' answers to one case, of which a judge is asked which is better. `run` is the judge's.

    Until it is settled there is neither `outcome` nor `error`. `swayed`: read in the other order, the judge named the
    other answer. `key` is the digest of what it was asked, so that a replay finds what it said.
    """

    class Outcome(models.TextChoices):
        WON = "won"
        TIED = "tied"
        LOST = "lost"

    OPEN = Q(outcome="", error="")

    id = models.BigAutoField(primary_key=True)
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="pairs", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")
    repeat = models.PositiveSmallIntegerField(help_text="from 1")
    outcome = models.CharField(max_length=4, choices=Outcome.choices, blank=True)
    swayed = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    error = models.TextField(blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=71, blank=True)
    cost_micros = models.BigIntegerField(null=True, default=0)
    held_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "case", "repeat"], name="one_pair_per_repeat"),
        ]
        indexes = [models.Index(fields=["key"], condition=~Q(key=""), name="pairs_judged")]


class Rating(models.Model):
    """What a person says of what a run came to. Never changed (trigger): who changes their mind gives another.

    Of each person the newest counts. It belongs to the run, so that each evaluation that scores this answer has it.
    """

    OF_PIPELINE, ABOVE = "run__pipeline", "run__origin__ancestors"

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+", db_index=False)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    score = models.FloatField(help_text="from 0 to 1")
    passed = models.BooleanField()
    note = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=1), name="rating_is_a_part"),
        ]
        indexes = [
            models.Index(fields=["run", "by", "-id"], name="ratings_of_a_run"),
            models.Index(fields=["workspace", "-id"], name="ratings_newest"),
        ]


class PublishGate(models.Model):
    """What a pipeline's draft must pass before it is published; `min_pass_rate` is a part of 1.

    All that an answer is measured by is pinned, since who composes may add cases and choose judges: the version of the
    dataset, the judge of rubrics that name none ("" where none needs one), and how often a case is answered at least.
    """

    pipeline = models.OneToOneField(Pipeline, primary_key=True, on_delete=models.CASCADE, related_name="+")
    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="+")
    min_pass_rate = models.FloatField()
    judge = models.CharField(max_length=128, blank=True)
    repeats = models.PositiveSmallIntegerField(help_text="the least number of answers to each case")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    set_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(min_pass_rate__gt=0, min_pass_rate__lte=1), name="some_must_pass_and_at_most_all"
            )
        ]
