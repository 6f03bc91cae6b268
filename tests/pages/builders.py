"""Plain builders of what the pages show: a pipeline of the gallery, a run in the middle of its work, its spans."""

import datetime as dt
import re
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.utils import timezone

from accounts import safe, secrets
from accounts.access import Actor
from accounts.models import Violation
from accounts.roles import Role
from approvals.models import Approval
from pipelines import gallery
from pipelines.library import agents, connections, mcp
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.models import Circuit, Pipeline
from runs.models import Event, Firing, Run, Span, Step, Trigger
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.approvals.builders import an_approval
from tests.people import Team, a_team, acting

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> ${7000001*7} {{ 7000000|add:7 }}"
EVALUATED = re.compile("49000007|7000007")
_numbers = count(100)


@dataclass(frozen=True)
class World:
    """A team whose run of the outreach pipeline waits for a reviewer before the email."""

    team: Team
    pipeline: Pipeline
    run: Run
    approval: Approval


def a_world() -> World:
    team = a_team()
    operator = Actor(team.alice, team.workspace, frozenset(Role))
    pipeline = gallery.instantiate(operator, "prospect-outreach")
    run = a_run_of(pipeline, team, state="waiting", input={"company": "Halden Metals", "contact": "Ingrid"})
    a_step(run, "research", "agent", state="succeeded", cost_micros=18_400, output={"text": HOSTILE}, port="done")
    a_step(run, "approve", "human", state="waiting", wait_reason="approval", title=HOSTILE)
    a_step(run, "send", "tool", state="pending")
    return World(team, pipeline, run, an_approval(run))


def some_triggers(world: World) -> None:
    """Give the pipeline a schedule whose last run could not be started, and a webhook that started the run."""
    alice = acting(world.team.alice)
    secrets.put(alice.workspace, "hook-key", "a signing key of some length")
    given = {"company": "Halden Metals", "contact": "Ingrid", "email": "ingrid@example.com", "product": "Ball bearings"}
    slug = world.pipeline.slug
    schedule = TriggerFields("monday-news", "schedule", slug, input=given, cron="0 9 * * 1", zone="Europe/Berlin")
    error = {"code": "forbidden", "message": "You may not start runs in Acme: that needs the role composer or admin."}
    _fired(definitions.create(alice, schedule), state="refused", error=error)
    hook = TriggerFields("orders", "webhook", slug, input={"company": "${event.company}"}, secret="hook-key")
    _fired(definitions.create(alice, hook), state="started", run=world.run)


def some_connections(world: World) -> None:
    """Connect a model server that keeps failing and that an agent uses, and a server with two registered tools."""
    dana = acting(world.team.dana)
    for name, hosts in {"local-key": (), "crm-key": ("api.crm.example",)}.items():
        safe.write(dana, name, "a key of some length", hosts)
    connections.create(dana, ConnectionFields("local", base_url="http://127.0.0.1:9/v1", secret="local-key", rpm=60))
    fields = AgentFields("local/llama", secrets=("crm-key",))
    agents.create(acting(world.team.alice), "local-helper", fields, "Local helper")
    now = timezone.now()
    Circuit.objects.create(workspace=world.team.workspace, subject="local/llama", opened_at=now, retry_at=now)
    files = connections.create(dana, ConnectionFields("files", "mcp", "https://tools.example/mcp", "gone-key"))
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    offered = [
        {"name": name, "description": f"{name} a file. " * 30, "inputSchema": schema} for name in ("read", "drop")
    ]
    mcp.register(dana, files, offered, {"read": mcp.Said("none", "idempotent"), "drop": mcp.Said()})


def some_violations(world: World) -> None:
    """Have browsers report one thing that a page of the workspace tried, one of an extension, one of nobody's."""
    rows = (
        (world.team.workspace, "img-src", "/runs/<uuid:run_id>/", "https://tracker.example", "", 3),
        (world.team.workspace, "script-src-elem", "/approvals/<uuid:approval_id>/", "inline", "chrome-extension:", 41),
        (None, "connect-src", "/login/", "wss://a-host-with-a-long-name.evil.example:8443", "/static/dist/app.js", 1),
    )
    for workspace, directive, page, blocked, source, times in rows:
        said = {"directive": directive, "page": page, "blocked": blocked, "source": source, "count": times}
        Violation.objects.create(workspace=workspace, **said)


def _fired(trigger: Trigger, **fields: Any) -> None:
    now = timezone.now()
    Firing.objects.create(trigger=trigger, key="one", at=now, **fields)
    seen = {"last_fired_at": now, "last_error": fields.get("error"), "last_run": fields.get("run")}
    Trigger.objects.filter(pk=trigger.pk).update(**seen)


def a_run_of(pipeline: Pipeline, team: Team, **fields: Any) -> Run:
    return Run.objects.create(
        workspace=pipeline.workspace,
        pipeline=pipeline,
        number=next(_numbers),
        **{
            "started_by": team.alice,
            "version": pipeline.published,
            "started_at": timezone.now(),
            "budget": {"max_cost_micros": 500_000},
            **fields,
        },
    )


def a_step(run: Run, path: str, kind: str, **fields: Any) -> Step:
    node = path.rsplit(".", 1)[-1].split("[", maxsplit=1)[0]
    done = fields.get("state") in ("succeeded", "failed")
    times = {"started_at": timezone.now(), "finished_at": timezone.now() if done else None}
    position = Step.objects.filter(run=run).count() + 1
    return Step.objects.create(run=run, path=path, node=node, kind=kind, **{"position": position, **times, **fields})


def an_event(run: Run, type: str, path: str | None = None, at: dt.datetime | None = None, **payload: Any) -> Event:
    run.seq += 1
    run.save(update_fields=["seq"])
    return Event.objects.create(run=run, seq=run.seq, type=type, path=path, at=at or timezone.now(), payload=payload)


def a_model_call(run: Run, micros: int | None, **fields: Any) -> Span:
    number = next(_numbers)
    return Span.objects.create(
        workspace=run.workspace,
        pipeline=run.pipeline,
        run=run,
        span_id=f"{number:016x}",
        name="chat demo/writer",
        kind="client",
        cost_micros=micros,
        **{
            "model": "demo/writer",
            "agent": "writer",
            "path": "research",
            "start": timezone.now(),
            "end": timezone.now(),
            "input_tokens": 100,
            "output_tokens": 10,
            **fields,
        },
    )
