"""Plain builders of what the pages show: a pipeline of the gallery, a run in the middle of its work, its spans."""

import datetime as dt
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.utils import timezone

from accounts.access import Actor
from accounts.roles import Role
from approvals.models import Approval
from pipelines import gallery
from pipelines.models import Pipeline
from runs.models import Event, Run, Span, Step
from tests.approvals.builders import an_approval
from tests.people import Team, a_team

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> ${7*7} {{ 7|add:7 }}"
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


def a_run_of(pipeline: Pipeline, team: Team, **fields: Any) -> Run:
    return Run.objects.create(
        workspace=pipeline.workspace,
        pipeline=pipeline,
        version=pipeline.published,
        number=next(_numbers),
        started_by=team.alice,
        **{"started_at": timezone.now(), "budget": {"max_cost_micros": 500_000}, **fields},
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
