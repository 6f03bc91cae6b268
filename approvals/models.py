"""What a person must answer, and what people answered."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.ids import new_id
from accounts.models import Workspace
from pipelines.models import Pipeline
from runs.models import Run


class Approval(models.Model):
    """One question to people, bound to the digest of exactly what would run.

    A row appears in the commit of the decision that asks. `request` is unique in its run (path and a counter), so
    a repeated commit cannot ask twice. Only `approvals.services.decide` and `approvals.deadlines` change `state`.
    """

    class Kind(models.TextChoices):
        APPROVE = "approve"
        EDIT = "edit"
        ANSWER = "answer"
        FAILURE = "failure"
        BUDGET = "budget"
        OUTCOME_UNKNOWN = "outcome_unknown"

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"
        CANCELLED = "cancelled"
        ANSWERED = "answered"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE)
    run = models.ForeignKey(Run, on_delete=models.CASCADE)
    path = models.CharField(max_length=400)
    request = models.CharField(max_length=420)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    title = models.CharField(max_length=300)
    action = models.JSONField(null=True, blank=True, help_text='{"tool": "email.send@1", "effect": "irreversible"}')
    payload = models.JSONField(null=True, blank=True)
    payload_hash = models.CharField(max_length=71, blank=True)
    asked = models.JSONField(null=True, blank=True, help_text="the payload as first asked, once somebody edited it")
    show = models.JSONField(default=dict)
    form = models.JSONField(null=True, blank=True)
    why = models.TextField(blank=True)
    trust = models.JSONField(default=dict, help_text="JSON pointer → author, user, tool or model")
    roles = ArrayField(models.CharField(max_length=16), default=list)
    people = ArrayField(models.EmailField(), default=list)
    min_approvals = models.PositiveSmallIntegerField(default=1)
    not_starter = models.BooleanField(default=True)
    barred = ArrayField(
        models.UUIDField(), default=list, help_text="who may not answer: starter and editors of the pinned version"
    )
    on_expire = models.CharField(max_length=10, default="reject")
    expires_at = models.DateTimeField(null=True, blank=True)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "request"], name="one_approval_per_request"),
            models.CheckConstraint(condition=Q(min_approvals__gte=1), name="somebody_approves"),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None) | (~Q(state="open") & Q(decided_at__isnull=False)),
                name="decided_when_not_open",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "expires_at"], condition=Q(state="open"), name="approvals_open"),
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="approvals_due"),
            models.Index(fields=["workspace", "-created_at", "-id"], name="approvals_newest"),
        ]


class DecisionRecord(models.Model):
    """What one person answered, kept for ever. One per person and approval."""

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="decisions")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=10)
    reason = models.TextField(blank=True)
    payload = models.JSONField(null=True, blank=True, help_text="the edited payload or the answer")
    payload_hash = models.CharField(max_length=71, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "by"], name="one_decision_per_person")]


class Comment(models.Model):
    """What somebody asked or explained beside a question. It decides nothing."""

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="comments")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())
