"""What a person must answer, and what people answered."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
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

    OF_PIPELINE, ABOVE = "pipeline", "run__origin__ancestors"

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
    path = models.TextField()
    request = models.TextField()
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
    rules = models.JSONField(
        default=list, help_text="the workspace's rules as they stood when this was asked; the database puts them here"
    )
    turns = models.JSONField(default=dict, help_text="rule → its level now and when each level's time is up")
    also_roles = ArrayField(models.CharField(max_length=16), default=list, help_text="whom the rules ask beside")
    also_people = ArrayField(models.EmailField(), default=list)
    on_expire = models.CharField(max_length=10, default="reject")
    expires_at = models.DateTimeField(null=True, blank=True)
    wakes_at = models.DateTimeField(
        null=True, blank=True, help_text="when the clock next has something to do: first plan, remind, escalate"
    )
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    held_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="approved by all it takes; the run is told then, unless it is taken back",
    )
    shared = models.CharField(
        max_length=80, blank=True, default="", db_default="", help_text="what other runs ask about as well, asked once"
    )
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["shared"], condition=Q(state="open") & ~Q(shared=""), name="asked_once_while_open"
            ),
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
            models.Index(fields=["wakes_at"], condition=Q(state="open"), name="approvals_waking"),
            models.Index(
                fields=["held_until"], condition=Q(state="open", held_until__isnull=False), name="approvals_held"
            ),
            models.Index(fields=["workspace", "-created_at", "-id"], name="approvals_newest"),
        ]


class Joined(models.Model):
    """A run that waits for the answer to a question about the same; written in the commit that would have asked."""

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="joined")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False)  # one_place_per_question begins with it
    request = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "request"], name="one_place_per_question")]


class DecisionRecord(models.Model):
    """What one person answered, kept for ever. One per person and approval counts: what was taken back does not."""

    OF_PIPELINE, ABOVE = "approval__pipeline", "approval__run__origin__ancestors"

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="decisions")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    stands_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="the absent colleague in whose place they answered",
    )
    decision = models.CharField(max_length=10)
    reason = models.TextField(blank=True)
    payload = models.JSONField(null=True, blank=True, help_text="the edited payload or the answer")
    payload_hash = models.CharField(max_length=71, blank=True)
    at = models.DateTimeField(db_default=Now())
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["approval", "by"], condition=Q(withdrawn_at=None), name="one_standing_decision_per_person"
            )
        ]


class Comment(models.Model):
    """What somebody asked or explained beside a question. It decides nothing.

    With `asked_of` it asks that person for information, and is open until they comment or the question closes.
    """

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="comments")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())
    asked_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["asked_of"], condition=Q(asked_of__isnull=False, answered_at=None), name="comments_asking"
            )
        ]


class Calendar(models.Model):
    """Business hours by which deadlines may be counted. `approvals.business.read` says what it may hold."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    name = models.CharField(max_length=60)
    zone = models.CharField(max_length=60)
    week = models.JSONField(help_text='{"mon": [["09:00", "17:00"]]}')
    holidays = models.JSONField(default=list, help_text='["2026-12-25"]')

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_calendar_per_name")]


class Rule(models.Model):
    """What a workspace asks beside what its pipelines ask, before something is done. It can only add.

    A question takes a copy of the rules in the statement that writes it, so that a change is about later questions.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    name = models.CharField(max_length=80)
    pipeline = models.ForeignKey(Pipeline, null=True, blank=True, on_delete=models.CASCADE)
    tool = models.CharField(max_length=200, blank=True)
    effect = models.CharField(max_length=16, blank=True)
    amount_at = models.CharField(max_length=200, blank=True, help_text="JSON pointer into the call's arguments")
    amount_least = models.DecimalField(max_digits=24, decimal_places=6, null=True, blank=True)
    least = models.PositiveSmallIntegerField(default=1, help_text="how many different people")
    levels = models.JSONField(help_text='[{"roles": ["manager"], "people": [], "within": 14400}]')
    calendar = models.ForeignKey(Calendar, null=True, blank=True, on_delete=models.PROTECT)
    remind_half = models.BooleanField(default=True)
    remind_before = ArrayField(models.PositiveIntegerField(), default=list, help_text="seconds before a level's end")
    hold = models.PositiveIntegerField(
        default=0, db_default=0, help_text="seconds for which an approval can still be taken back"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="one_rule_per_name"),
            models.CheckConstraint(condition=Q(least__gte=1), name="a_rule_asks_somebody"),
        ]


class Absence(models.Model):
    """While somebody is away a colleague answers for them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="absences")
    delegate = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="stands_in")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="an_absence_has_a_length"),
            models.CheckConstraint(condition=~Q(person=F("delegate")), name="nobody_stands_for_themselves"),
        ]
        indexes = [models.Index(fields=["delegate", "ends_at"], name="absences_by_delegate")]


class Notice(models.Model):
    """Something people are to be told about a question; whoever sends it sets `taken_at`.

    `mark` tells the notices of one kind apart, so that each is written once however many workers look.
    """

    class Kind(models.TextChoices):
        REMINDER = "reminder"
        ESCALATED = "escalated"
        EXPIRED = "expired"

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    mark = models.CharField(max_length=100, blank=True)
    audience = ArrayField(models.CharField(max_length=254), default=list, help_text="roles, and addresses with an @")
    created_at = models.DateTimeField(db_default=Now())
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "kind", "mark"], name="one_notice_per_mark")]
        indexes = [models.Index(fields=["id"], condition=Q(taken_at=None), name="notices_to_send")]
