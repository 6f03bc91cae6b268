"""What runs leave for later ones: results, talks, and what the sample tools wrote."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Workspace
from runs.models.run import Run


class CacheEntry(models.Model):
    """The result of a step, for steps with the same digest; written with the step's success in the fenced commit.

    `run`, `path` name its origin, `cost_micros` is what the origin paid (None: unknown).
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False)
    path = models.TextField()
    output = models.JSONField(null=True)
    meta = models.JSONField(null=True)
    large = models.JSONField(null=True, blank=True, help_text="what stands in an Artifact instead, by column")
    ports = ArrayField(models.CharField(max_length=63), default=list)
    model = models.CharField(max_length=128, blank=True)
    cost_micros = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_entry_per_key")]


class Turn(models.Model):
    """What an agent was asked and answered in a session, written with the step's success in the fenced commit.

    `key` is the digest of pipeline, agent and the session's name. `trust` says whose words the prompt was; the answer
    is a model's.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    path = models.TextField()
    prompt = models.TextField()
    answer = models.TextField()
    trust = models.CharField(max_length=8)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_turn_per_step")]
        indexes = [models.Index(fields=["workspace", "key", "id"], name="turns_of_session")]


class Summary(models.Model):
    """What the older turns of a talk were summed up to by a model, written with the commit of the call that did it.

    `key` is a session's, or the digest of run and agent. `covers` has the digest of each turn that is in it.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=71, help_text="sha256: and 64 hex digits over canonical JSON")
    hash = models.CharField(max_length=71, help_text="the digest of `covers`")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False)
    covers = ArrayField(models.CharField(max_length=16))
    text = models.TextField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key", "hash"], name="one_summary_per_turns")]


class Note(models.Model):
    """A row written by the sample tools `notes.append` and `crm.log`; unique by idempotency key."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    book = models.CharField(max_length=16, choices=[("notes", "notes"), ("crm", "crm")])
    contact = models.CharField(max_length=254, blank=True)
    text = models.TextField()
    idempotency_key = models.TextField(unique=True)
    at = models.DateTimeField(auto_now_add=True)
