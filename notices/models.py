"""What people are told, by which way, and how far each sending has come."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.ids import new_id
from accounts.models import Workspace
from approvals.models import Approval
from pipelines.models import Pipeline
from runs.models import Run


class Kind(models.TextChoices):
    """What a person can be told of; the labels are the page's words."""

    ASKED = "approval_requested", "A question waits for me"
    ASSIGNED = "assigned", "A question is handed to me"
    REMINDER = "reminder", "A question falls due soon"
    ESCALATED = "escalated", "A question is passed up to me"
    INFORMATION = "information", "Somebody asks me what I know about a question"
    COMMENTED = "comment", "Somebody comments on a question of mine"
    DECIDED = "decided", "A question of my run is decided"
    BUDGET = "budget_alert", "A budget is running out"
    ALERT = "alert", "An alert rule finds something"


ABOUT = ("workspace", "by", "run__pipeline", "approval__pipeline", "approval__run")
"""What an event is about: with these selected, it is told without further queries."""
DIGEST, TEST = "digest", "test"


class How(models.TextChoices):
    NOW = "now", "At once by email"
    DIGEST = "digest", "In the daily email"
    OFF = "off", "Only here"


class Event(models.Model):
    """Something that people are to be told of: written with what happened, spread to people by the workers' poll."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=24)
    key = models.CharField(max_length=200, unique=True)
    approval = models.ForeignKey(Approval, null=True, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")
    data = models.JSONField(default=dict, db_default={})
    created_at = models.DateTimeField(db_default=Now())
    taken_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(taken_at=None), name="events_to_spread")]


class Notice(models.Model):
    """One thing that one person is told: a line of their inbox, and what an email is made of. `key` makes it one."""

    OF_PIPELINE, ABOVE = "approval__pipeline", "approval__run__origin__ancestors"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=24)
    how = models.CharField(max_length=8, choices=How.choices, default=How.NOW)
    subject = models.CharField(max_length=300)
    data = models.JSONField(default=dict, help_text='{"said": "…", "place": "/approvals/…/", "due": true}')
    approval = models.ForeignKey(Approval, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=240, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "user", "-created_at", "-id"], name="notices_newest"),
            models.Index(fields=["workspace", "user"], condition=Q(read_at=None), name="notices_unread"),
        ]


class Channel(models.Model):
    """A place outside Baton that a workspace tells. What must stay secret stands in the secret it names."""

    class Kind(models.TextChoices):
        SLACK = "slack", "Slack, or what takes its messages"
        WEBHOOK = "webhook", "Signed webhook"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    name = models.SlugField(max_length=40)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    url = models.CharField(max_length=2_000, blank=True, help_text="a webhook's address; Slack's stands in the secret")
    secret = models.CharField(max_length=63, help_text="name of the signing key, or of Slack's address")
    events = ArrayField(models.CharField(max_length=24), default=list)
    details = models.BooleanField(default=False, help_text="whether the words of a question are sent along")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    error_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_channel_per_name")]


class Delivery(models.Model):
    """One sending, of a notice by email or of an event to a channel. Due rows are claimed by moving `next_at`.

    `attempts` counts the claims, so that a sender that was thought dead cannot overwrite what a later one found.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        DROPPED = "dropped"
        DEAD = "dead"

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    notice = models.ForeignKey(Notice, null=True, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, null=True, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(db_default=Now())
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notice"], name="one_email_per_notice"),
            models.UniqueConstraint(fields=["event", "channel"], name="one_delivery_per_channel"),
            models.CheckConstraint(
                condition=Q(notice__isnull=False, event=None, channel=None)
                | Q(notice=None, event__isnull=False, channel__isnull=False),
                name="an_email_or_a_channel",
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="deliveries_due"),
            models.Index(fields=["workspace", "-ended_at"], condition=Q(state="dead"), name="deliveries_dead"),
        ]


class Preference(models.Model):
    """How one person wants to be told of one kind; without a row the default holds."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=24, choices=Kind.choices)
    how = models.CharField(max_length=8, choices=How.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user", "kind"], name="one_preference_per_kind")]


class Digest(models.Model):
    """When one person's daily email comes: at `hour` in their own zone, next at `next_at`; never without an hour."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    hour = models.PositiveSmallIntegerField(null=True, validators=[MaxValueValidator(23)])
    next_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_digest_per_person")]
        indexes = [models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="digests_due")]


class AlertRule(models.Model):
    """What a workspace wants to be told of when the books say so; `notices.alerts` looks, once a minute.

    `limit` is micro-dollars, hundredths of a percent or milliseconds, by the metric; of an anomaly it is hundredths of
    the usual. `revision` rises with each change, so that a changed rule may speak again in the same period.
    """

    class Kind(models.TextChoices):
        THRESHOLD = "threshold", "More than a limit"
        ANOMALY = "anomaly", "Far more than usual"
        SILENCE = "silence", "A pipeline that usually runs did not"

    class Metric(models.TextChoices):
        SPEND = "spend", "Spend"
        FAILURES = "failures", "Failed runs"
        LATENCY = "latency", "Machine time of runs"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    metric = models.CharField(max_length=12, choices=Metric.choices, blank=True)
    pipeline = models.ForeignKey(Pipeline, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    period = models.CharField(max_length=8, choices=[("day", "day"), ("month", "month")], default="day")
    limit = models.BigIntegerField(null=True)
    roles = ArrayField(models.CharField(max_length=16), default=list)
    people = ArrayField(models.CharField(max_length=254), default=list, help_text="emails of members")
    channels = ArrayField(models.CharField(max_length=40), default=list, help_text="names of channels")
    revision = models.PositiveIntegerField(default=1)
    checked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_alert_rule_per_name")]
        indexes = [models.Index(fields=["checked_at"], name="alert_rules_to_check")]


class AlertFiring(models.Model):
    """What a rule found in a period, told once."""

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="firings")
    revision = models.PositiveIntegerField()
    period_start = models.DateField(help_text="in the workspace's zone")
    said = models.CharField(max_length=400)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "revision", "period_start"], name="one_firing_per_period")
        ]
