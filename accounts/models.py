"""Who is here: people, workspaces, memberships, tokens, secrets and the audit chain."""

import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

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
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

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
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's roles in one workspace."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=16, choices=[(r, r) for r in Role]), default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_membership_per_person")]


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
    """One sign-in that is being tried or has failed; a success deletes the rows of its email and address."""

    id = models.BigAutoField(primary_key=True)
    email = models.CharField(max_length=254)
    address = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["email", "address", "at"], name="attempts_by_who"),
            models.Index(fields=["at"], name="attempts_by_time"),
        ]
