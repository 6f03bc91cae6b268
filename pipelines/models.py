"""What may run: pipelines with their draft and versions, agents, connections and budgets."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.knowledge.models import Collection, Document, Passage  # noqa: F401 - Django looks for models here

ON_EXCEED = ("stop", "ask_human", "cheaper_model")


class Pipeline(models.Model):
    """A pipeline's name and place; what it says is in its draft and its versions."""

    OF_PIPELINE = "pk"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    slug = models.CharField(max_length=63)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    split = models.JSONField(default=list, help_text="arms [{version, percent}] that share new runs; empty: none do")
    published = models.ForeignKey("PipelineVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_pipeline_per_slug")]

    def __str__(self) -> str:
        return self.name


class Draft(models.Model):
    """The one editable document of a pipeline. `revision` rises by one with every accepted change."""

    pipeline = models.OneToOneField(Pipeline, primary_key=True, on_delete=models.CASCADE)
    document = models.JSONField()
    revision = models.PositiveIntegerField(default=1)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)


class PipelineVersion(models.Model):
    """An immutable document with the lock of everything it names (trigger `immutable_version`).

    `number` is 1, 2, … for published versions and null for a draft frozen by starting it.
    `lock` is the JSON of `pipelines.graph.lock.Lock`: every agent, tool and model price by exact version.
    `editors` are the ids of the people who edited the draft since the version before: they cannot approve.
    """

    OF_PIPELINE = "pipeline"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(null=True, blank=True)
    hash = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    document = models.JSONField()
    lock = models.JSONField()
    note = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0, help_text="of the draft when this was made")
    editors = ArrayField(models.UUIDField(), default=list)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "number"], name="one_version_per_number")]


class DraftEdit(models.Model):
    """One accepted change of a draft: who, and in `ops` {ops, inverse}: what they did and what takes it back.

    `undoes` and `redoes` are the revision of an earlier edit of the same person that this takes back or makes anew.
    """

    id = models.BigAutoField(primary_key=True)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="edits")
    revision = models.PositiveIntegerField()
    op_id = models.CharField(max_length=64)
    ops = models.JSONField()
    undoes = models.PositiveIntegerField(null=True, blank=True)
    redoes = models.PositiveIntegerField(null=True, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "op_id"], name="one_edit_per_op")]


class Agent(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    slug = models.CharField(max_length=63)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_agent_per_slug")]


class AgentVersion(models.Model):
    """An agent as it was saved: never changed, only followed by the next number (trigger `immutable_version`)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    model = models.CharField(max_length=128)
    role = models.TextField(blank=True)
    goal = models.TextField(blank=True)
    instructions = models.TextField(blank=True)
    tools = ArrayField(models.CharField(max_length=128), default=list)
    output_schema = models.JSONField(null=True, blank=True)
    max_output = models.PositiveIntegerField(default=4096, help_text="tokens")
    temperature = models.FloatField(null=True, blank=True)
    max_cost_micros = models.BigIntegerField(null=True, blank=True)
    fallback = ArrayField(models.CharField(max_length=128), default=list)
    secrets = ArrayField(models.CharField(max_length=63), default=list)
    egress = ArrayField(models.CharField(max_length=253), default=list)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="one_agent_version_per_number")]


class Connection(models.Model):
    """A way to a model provider, or to an MCP server (kind `mcp`).

    `prices` overrides: {model: {input_per_million, output_per_million, context_window?}} in USD and tokens.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    name = models.SlugField(max_length=63)
    kind = models.CharField(max_length=16, choices=[(k, k) for k in ("openai", "anthropic", "google", "mcp")])
    base_url = models.URLField(max_length=500, blank=True)
    secret = models.CharField(max_length=63, blank=True, help_text="name of a secret, never its value")
    secret_header = models.CharField(
        max_length=63, blank=True, help_text="the header in which an MCP server wants the secret, else as a bearer's"
    )
    prices = models.JSONField(default=dict)
    trusted_address = models.BooleanField(default=False, help_text="an operator allowed this private address")
    max_concurrent = models.PositiveIntegerField(null=True, blank=True)
    rpm = models.PositiveIntegerField(null=True, blank=True)
    tpm = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_connection_per_name")]


class McpTool(models.Model):
    """A tool of an MCP server as it was registered: a change of the server, or of what an admin says, is a new number.

    `connection` is a name and no key: a connection that is removed and made again must not give an old version a new
    meaning. `pin` is the digest of the server's own words for it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    connection = models.CharField(max_length=63)
    remote = models.CharField(max_length=64, help_text="what the server calls it")
    number = models.PositiveIntegerField()
    description = models.TextField(blank=True)
    args_schema = models.JSONField()
    result_schema = models.JSONField()
    effect = models.CharField(max_length=16, default="irreversible")
    delivery = models.CharField(max_length=16, default="neither")
    pin = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "connection", "remote", "number"], name="one_mcp_tool_per_number"
            )
        ]


class Circuit(models.Model):
    """A model, a tool or an agent with its model that failed of late in a workspace; `runs.circuits` moves it.

    One that never failed has no row. `failures` are the newest of the last minute. From `opened_at` on the circuit is
    open: nobody calls before `retry_at`, then one call or attempt tries, `probe`, and has until `probe_until` to say
    how it went.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    subject = models.CharField(max_length=400, help_text="a model, a tool and its host, or an agent and its model")
    failures = ArrayField(models.DateTimeField(), default=list)
    opened_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    probe = models.TextField(blank=True, default="")
    probe_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "subject"], name="one_circuit_per_subject")]
        indexes = [models.Index(fields=["workspace"], condition=Q(opened_at__isnull=False), name="circuits_open")]


class Budget(models.Model):
    """A cap over a period: of a workspace, a pipeline, or all runs with a tag. `runs.allowance` keeps its counter."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    pipeline = models.ForeignKey(Pipeline, null=True, blank=True, on_delete=models.CASCADE)
    tag = models.CharField(max_length=63, null=True, blank=True)
    period = models.CharField(max_length=8, choices=[("day", "day"), ("month", "month")])
    max_cost_micros = models.BigIntegerField()
    hard = models.BooleanField(default=True)
    on_exceed = models.CharField(max_length=16, choices=[(c, c) for c in ON_EXCEED], default="stop")
    alert_at = ArrayField(models.FloatField(), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "pipeline", "tag", "period"], nulls_distinct=False, name="one_budget_per_scope"
            ),
            models.CheckConstraint(condition=Q(max_cost_micros__gt=0), name="budget_is_positive"),
            models.CheckConstraint(condition=Q(pipeline=None) | Q(tag=None), name="budget_of_one_scope"),
        ]


class BudgetChange(models.Model):
    """What somebody did to a budget, and why (trigger `immutable_version`).

    `scope` names it as people do ("tag research/month") and outlives it. `was_micros` is None for a new budget,
    `cap_micros` for a removed one; of `allowed`, which holds for one period, `cap_micros` is what was added. Where a
    run asked for that, `terms` is {of}: the slugs of its pipeline and of those above it.
    """

    class Act(models.TextChoices):
        SET = "set"
        RAISED = "raised"
        LOWERED = "lowered"
        CHANGED = "changed"
        ALLOWED = "allowed"
        REMOVED = "removed"

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    scope = models.CharField(max_length=200)
    act = models.CharField(max_length=8, choices=Act.choices)
    was_micros = models.BigIntegerField(null=True)
    cap_micros = models.BigIntegerField(null=True)
    terms = models.JSONField(default=dict, help_text="{hard, on_exceed} from then on")
    reason = models.CharField(max_length=400, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["workspace", "-id"], name="budget_changes_newest")]


class PriceChange(models.Model):
    """What a model costs from a moment on, as somebody said (trigger `immutable_version`). Never dated back.

    A run pays what held when its first owner took it (`Run.prices`). `connection` is a name and no key, so that the
    history outlives it. Amounts are micro-dollars per million tokens, `input` None where nobody knows the price. A
    change that is not `own` takes the connection's word back: then the packaged price holds again, as it was at that
    moment.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    connection = models.CharField(max_length=63)
    model = models.CharField(max_length=128)
    input = models.BigIntegerField(null=True)
    output = models.BigIntegerField(null=True)
    cached_input = models.BigIntegerField(null=True)
    own = models.BooleanField(default=True)
    from_at = models.DateTimeField()
    reason = models.CharField(max_length=400, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(from_at__gte=F("at")), name="price_never_dated_back"),
            models.CheckConstraint(
                condition=Q(input=None, output=None) | Q(input__gte=0, output__gte=0), name="price_is_whole"
            ),
        ]
        indexes = [models.Index(fields=["workspace", "connection", "model", "-from_at"], name="price_changes_of_model")]
