"""Where runs meet each other and the world: boards, events, locks."""

from django.db import models
from django.db.models import Q

from accounts.models import Workspace
from runs.models.run import Run


class BoardEntry(models.Model):
    """One change of a board, never changed again; the newest `version` of a key, or the appends since its last write,
    are what stands there. Written with the step that made it, in the fenced commit; on a board that runs share, by
    `runs.boards` before it."""

    id = models.BigAutoField(primary_key=True)
    board_id = models.UUIDField()
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False)
    path = models.TextField()
    key = models.CharField(max_length=200)
    version = models.BigIntegerField()
    op = models.CharField(max_length=8, choices=[("write", "write"), ("append", "append")])
    value = models.JSONField(null=True)
    at = models.DateTimeField()
    request = models.TextField(null=True, help_text="of a shared board: path@attempt that changed it")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["board_id", "key", "version"], name="one_entry_per_version"),
            models.UniqueConstraint(
                fields=["run", "request"], condition=Q(request__isnull=False), name="one_change_per_request"
            ),
        ]
        indexes = [models.Index(fields=["board_id", "id"], name="board_in_order")]


class SentEvent(models.Model):
    """An event that was sent to a topic of a workspace, by a person or program (`by`) or by a run's step.

    `key` is unique in the workspace: what is sent again under it is the same event. `looked_at` is when its waits were
    looked for after it was committed; until then the poll does. `runs.topics` forgets it when no wait may want it.
    """

    OF_PIPELINE, ABOVE = "run__pipeline", "run__origin__ancestors"

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    key = models.TextField()
    topic = models.CharField(max_length=200)
    name = models.CharField(max_length=63, blank=True)
    payload = models.JSONField(null=True)
    by = models.CharField(max_length=254)
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    at = models.DateTimeField(db_index=True)
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_sent_event_per_key")]
        indexes = [
            models.Index(fields=["workspace", "topic", "id"], name="sent_events_of_topic"),
            models.Index(fields=["id"], condition=Q(looked_at__isnull=True), name="sent_events_to_look_at"),
        ]


class EventWait(models.Model):
    """A topic that a step of a run waits at; there as long as it does, written and removed in the fenced commit.

    Events sent from `since` on count. `looked_at` is when events sent before were looked for, `looked_to` the newest of
    those.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    request = models.TextField()
    topic = models.CharField(max_length=200)
    since = models.DateTimeField()
    looked_at = models.DateTimeField(null=True, blank=True)
    looked_to = models.BigIntegerField(db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "request", "topic"], name="one_wait_per_topic")]
        indexes = [
            models.Index(fields=["workspace", "topic"], name="waits_of_topic"),
            models.Index(fields=["id"], condition=Q(looked_at__isnull=True), name="waits_to_look_for"),
        ]


class TakenEvent(models.Model):
    """An event that ended a wait of a run: no later wait of that run is given it again."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    event = models.ForeignKey(SentEvent, on_delete=models.CASCADE, db_constraint=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "event"], name="one_taking_per_run")]


class StepLock(models.Model):
    """A step's place in line for a named lock of its workspace; the lock is its own from `granted_at` until the row
    goes.

    Written and removed in the fenced commit of the step's run; `runs.locks` grants.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    request = models.TextField()
    name = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    granted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "request"], name="one_place_per_request"),
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(granted_at__isnull=False), name="one_holder_per_lock"
            ),
        ]
        indexes = [models.Index(fields=["workspace", "name", "id"], name="locks_line")]
