"""Who is here: people, workspaces, memberships, tokens, secrets and the audit chain."""

import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from accounts.ids import new_id
from accounts.roles import Role, Scope


def existing_zone(name: str) -> None:
    """Raise ValidationError unless this is a time zone of the IANA database, as Europe/Berlin."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name} is no time zone. Use a name such as Europe/Berlin.")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a person who signs in with this email; without a password they cannot sign in yet."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, known by email. What they may do hangs on memberships, never on the user."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    zone = models.CharField(max_length=64, default="UTC", validators=[existing_zone])
    is_active = models.BooleanField(default=True)
    epoch = models.PositiveIntegerField(default=0, db_default=0, help_text="raised to end all sessions of the person")
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

    def get_session_auth_hash(self) -> str:
        """Return what a session must show: it changes with the password, and when all sessions were ended."""
        return self._of_epoch(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        yield from map(self._of_epoch, super().get_session_auth_fallback_hash())

    def _of_epoch(self, shown: str) -> str:
        return f"{shown}.{self.epoch}" if self.epoch else shown

    @property
    def tzinfo(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.zone)


class Workspace(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=120)
    zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[existing_zone],
        help_text="Days and months of budgets follow this zone.",
    )
    keep_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="how long logs and traces of ended runs are kept; empty: for ever"
    )
    keep_content_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="how long what ended runs were given and said is kept; empty: for ever"
    )
    without_content = ArrayField(
        models.CharField(max_length=16, choices=[(r, r) for r in Role]),
        default=list,
        db_default=[],
        blank=True,
        help_text="the roles that see what things cost, and nothing of what runs say",
    )
    sharing = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="by pipeline's id: its slug, and the roles and addresses of each Share that is kept for some",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    def active(self) -> Self:
        """Return the memberships whose person acts here: neither they nor the membership were deactivated."""
        return self.filter(user__is_active=True, deactivated_at=None)


class Membership(models.Model):
    """One person's roles in one workspace; while it is deactivated they do nothing there and see nothing of it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=16, choices=[(r, r) for r in Role]), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    deactivated_at = models.DateTimeField(null=True, blank=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_membership_per_person")]

    @property
    def is_active(self) -> bool:
        return self.deactivated_at is None and self.user.is_active


class ApiToken(models.Model):
    """A program's key. The bare token is shown once; the row keeps its SHA-256."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    name = models.CharField(max_length=120, blank=True)
    prefix = models.CharField(max_length=16)
    digest = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=16, choices=[(s, s) for s in Scope]), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    @property
    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class Secret(models.Model):
    """A named value that is written here, injected at the socket, and never read back by a person."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    name = models.SlugField(max_length=63)
    ciphertext = models.BinaryField()
    hosts = ArrayField(
        models.CharField(max_length=253),
        default=list,
        help_text="where the tool http.request may send it; none: nowhere",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_secret_per_name")]


class AuditEntry(models.Model):
    """One act of a person or of policy; `hash` chains it to the entry before (trigger `audit_chain`)."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT)
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=254, blank=True)
    data = models.JSONField(default=dict)
    prev = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "seq"], name="one_audit_entry_per_seq")]


class AuditHead(models.Model):
    """The last entry of a chain as it was on a day (UTC), to be kept where this database's owner cannot change it."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    day = models.DateField()
    seq = models.BigIntegerField()
    hash = models.BinaryField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "day"], name="one_audit_head_a_day")]


class IdempotentResponse(models.Model):
    """The answer given to a POST with an `Idempotency-Key`, replayed when the same request comes again."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=71)
    status = models.IntegerField(null=True)
    sealed = models.BinaryField(null=True, help_text="headers and body, encrypted: an answer may carry a new token")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user", "key"], name="one_answer_per_key")]


class LoginAttempt(models.Model):
    """One sign-in that is being tried or has failed. A success forgives what failed with its email and address.

    What `failed` is kept until it was `told` to the audit log.
    """

    id = models.BigAutoField(primary_key=True)
    email = models.CharField(max_length=254)
    address = models.CharField(max_length=64, blank=True)
    failed = models.BooleanField(default=False, db_default=False)
    forgiven = models.BooleanField(default=False, db_default=False)
    told = models.BooleanField(default=False, db_default=False)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["email", "address", "at"], name="attempts_by_who"),
            models.Index(fields=["address", "at"], name="attempts_by_client"),
            models.Index(fields=["at"], name="attempts_by_time"),
        ]


class Violation(models.Model):
    """What pages tried and their content policy forbade, as browsers reported it: one row for all that are alike.

    `page` is the pattern of an address and `blocked` an origin, never an address. A report that came without a session
    is of no workspace.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, null=True)
    directive = models.CharField(max_length=32)
    page = models.CharField(max_length=200, blank=True)
    blocked = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=300, blank=True)
    count = models.PositiveBigIntegerField(default=1)
    first_at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "directive", "page", "blocked", "source"],
                name="one_row_for_violations_alike",
                nulls_distinct=False,
            )
        ]

    @property
    def is_by_an_extension(self) -> bool:
        """Whether somebody's browser extension asked for it, and no page of ours."""
        return self.source.endswith("extension:")


class BrowserSession(models.Model):
    """Where a person is signed in. The session itself is Django's; without it this row means nothing."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    session = models.CharField(max_length=40, unique=True)
    agent = models.CharField(max_length=300, blank=True)
    address = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(auto_now_add=True)


class Invitation(models.Model):
    """A person who was asked into a workspace, until they accept, it is withdrawn, or its days are over."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    email = models.EmailField()
    roles = ArrayField(models.CharField(max_length=16, choices=[(r, r) for r in Role]), default=list)
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "email"],
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="one_open_invitation_per_email",
            )
        ]

    @property
    def is_over(self) -> bool:
        return self.expires_at <= timezone.now()


class Letter(models.Model):
    """An email that lets somebody in, to be sent by a worker. Its link is made when it is sent, and kept nowhere."""

    class Kind(models.TextChoices):
        INVITATION = "invitation"
        PASSWORD = "password"  # noqa: S105 - a kind of letter

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        DROPPED = "dropped"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=Kind)
    email = models.EmailField()
    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, null=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    tries = models.IntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(state="waiting"), name="letters_that_are_due"),
            models.Index(fields=["email", "created_at"], name="letters_to_whom"),
        ]
