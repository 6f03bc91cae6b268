"""What starts runs by itself: schedules, signed webhooks, events at a topic; and each time one of them went off."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.models import Pipeline
from runs.models.run import Run


class Trigger(models.Model):
    """What starts a pipeline, in the name and with the present rights of whoever saved it last (`runs_as`).

    `editors` are all who ever saved it: what it starts is of their making, so that none of them approves it.

    `version` is null for the published one at that time. `input` is a template over `${event}`. `last_error` is
    {code, message} of the last time when no run could be started, null once one could.
    """

    OF_PIPELINE = "pipeline"

    class Kind(models.TextChoices):
        WEBHOOK = "webhook"
        SCHEDULE = "schedule"
        EVENT = "event"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    slug = models.CharField(max_length=63)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE)
    version = models.PositiveIntegerField(null=True, blank=True)
    input = models.JSONField(default=dict)
    cron = models.CharField(max_length=120, blank=True)
    zone = models.CharField(max_length=63, blank=True)
    topic = models.CharField(max_length=200, blank=True)
    secret = models.CharField(max_length=63, blank=True, help_text="the name of the secret that signs")
    enabled = models.BooleanField(default=True)
    runs_as = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    editors = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    next_at = models.DateTimeField(null=True, blank=True, help_text="when a schedule is due next")
    last_fired_at = models.DateTimeField(null=True, blank=True)
    last_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    last_error = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="one_trigger_per_slug"),
            models.CheckConstraint(
                condition=Q(kind="schedule", cron__gt="", zone__gt="", topic="", secret="")
                | Q(kind="webhook", cron="", zone="", topic="", secret__gt="")
                | Q(kind="event", cron="", zone="", topic__gt="", secret=""),
                name="trigger_has_what_its_kind_needs",
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(enabled=True, next_at__isnull=False), name="schedules_due"),
            models.Index(fields=["workspace", "topic"], condition=Q(kind="event"), name="triggers_of_topic"),
            models.Index(fields=["slug"], condition=Q(kind="webhook"), name="hooks_by_slug"),
        ]

    def __str__(self) -> str:
        return self.slug


class Firing(models.Model):
    """One time that a trigger went off; `key` makes it one: the due moment, the webhook's nonce, the event's key.

    It is `due` until a run was started for it or refused, both in the transaction that says so.
    """

    class State(models.TextChoices):
        DUE = "due"
        STARTED = "started"
        REFUSED = "refused"

    id = models.BigAutoField(primary_key=True)
    trigger = models.ForeignKey(Trigger, on_delete=models.CASCADE, db_index=False, related_name="firings")
    key = models.CharField(max_length=500)
    event = models.JSONField(null=True, help_text="what its input is made from; gone once that was done")
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.DUE)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    error = models.JSONField(null=True)
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trigger", "key"], name="one_firing_per_key")]
        indexes = [
            models.Index(fields=["id"], condition=Q(state="due"), name="firings_to_start"),
            models.Index(fields=["trigger", "-id"], name="firings_of_trigger"),
        ]


class HookAttempt(models.Model):
    """A call of a webhook's address that was turned away; counted by client, and forgotten after a while."""

    id = models.BigAutoField(primary_key=True)
    client = models.CharField(max_length=64)
    slug = models.CharField(max_length=63)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["client", "at"], name="attempts_of_client")]
