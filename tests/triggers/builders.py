"""Triggers, and the calls that webhooks are sent."""

import json
import time
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.test import Client

from accounts import secrets
from accounts.access import Actor
from accounts.ids import new_id
from accounts.models import Workspace
from accounts.roles import Role
from runs.models import Firing, Run, Trigger
from runs.triggers import definitions, firing, hooks, schedules
from runs.triggers.definitions import TriggerFields
from tests.people import a_member, a_workspace, acting
from tests.pipelines.builders import a_published_pipeline

KEY = "a signing key of some length"


def a_composer(name: str = "alice", workspace: Workspace | None = None) -> Actor:
    """Return a composer of a workspace that has a published pipeline, brief, and a secret, hook-key."""
    workspace = workspace or a_workspace("acme")
    actor = acting(a_member(workspace, name, Role.COMPOSER), workspace)
    a_published_pipeline(actor)
    secrets.put(workspace, "hook-key", KEY)
    return actor


def a_schedule(actor: Actor, slug: str = "daily", **fields: Any) -> Trigger:
    given = {"cron": "0 9 * * *", "zone": "Europe/Berlin", "input": {"topic": "News of ${event.local}"}} | fields
    return definitions.create(actor, TriggerFields(slug, "schedule", "brief", **given))


def a_hook(actor: Actor, slug: str = "orders", **fields: Any) -> Trigger:
    given = {"secret": "hook-key", "input": {"topic": "${event.title}"}} | fields
    return definitions.create(actor, TriggerFields(slug, "webhook", "brief", **given))


def a_listener(actor: Actor, slug: str = "paid", **fields: Any) -> Trigger:
    given = {"topic": "orders", "input": {"topic": "${event.payload.title}"}} | fields
    return definitions.create(actor, TriggerFields(slug, "event", "brief", **given))


def make_due(trigger: Trigger, ago: timedelta = timedelta(minutes=1)) -> None:
    """Let the schedule have become due some time ago, by the database's clock."""
    Trigger.objects.filter(pk=trigger.pk).update(next_at=Now() - ago)


def poll() -> None:
    """Do what every worker does about triggers every two seconds."""
    schedules.look()
    firing.look()


def runs_of(trigger: Trigger) -> list[Run]:
    return list(Run.objects.filter(via=f"trigger:{trigger.slug}", workspace=trigger.workspace_id).order_by("number"))


def fresh(trigger: Trigger) -> Trigger:
    return Trigger.objects.select_related("last_run").get(pk=trigger.pk)


def firings(trigger: Trigger) -> list[Firing]:
    return list(Firing.objects.filter(trigger=trigger).order_by("id"))


def call(slug: str, body: Any, *, key: str = KEY, path: str = "", to: str | None = None, **changed: Any) -> Any:
    """Call a webhook as a program does; what is `changed` was not signed: timestamp, nonce, body, signature …

    The call is signed `to` workspace/trigger, its own by default, or to nobody in particular ("").
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"timestamp": str(int(time.time())), "nonce": new_id().hex} | {
        name: changed.pop(name) for name in ("timestamp", "nonce") if name in changed
    }
    signature = hooks.signature(key, f"acme/{slug}" if to is None else to, sent["timestamp"], sent["nonce"], raw)
    headers = {
        "X-Baton-Timestamp": changed.get("sent_timestamp", sent["timestamp"]),
        "X-Baton-Nonce": changed.get("sent_nonce", sent["nonce"]),
        "X-Baton-Signature": changed.get("signature", signature),
    }
    if "forwarded" in changed:
        headers["X-Forwarded-For"] = changed["forwarded"]
    return Client(enforce_csrf_checks=True).generic(
        "POST",
        path or f"/hooks/{slug}",
        changed.get("sent_body", raw),
        changed.get("content_type", "application/json"),
        headers=headers,
    )
