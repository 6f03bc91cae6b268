"""Records runs as histories: `python -m tests.histories [NAME …]` writes NAME.json here, for names of `scenarios`.

Without names, all are recorded anew. It brings its own database and broker, runs the template with its sample, or the
pipeline that is drawn for it, on the built-in models, and answers as bob what is asked. Record anew when the engine is
meant to decide otherwise than before, and read the difference.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MOST_SECONDS = 120.0


def main(names: Sequence[str]) -> None:
    os.environ["BATON_DEMO_LATENCY_MS"] = "20"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from bench import services

    with services.running():
        import django

        django.setup()
        from tests.histories.scenarios import SCENARIOS

        for name in names or SCENARIOS:
            history = record(name, SCENARIOS[name])
            target = FOLDER / f"{name}.json"
            target.write_text(json.dumps(history, ensure_ascii=False, indent=1) + "\n")
            print(f"{target.name}: {len(history['turns'])} turns, {target.stat().st_size / 1000:.0f} KB", flush=True)


def record(name: str, scenario: Any) -> dict[str, Any]:
    """Return the history of one run of a scenario."""
    from django.conf import settings

    from pipelines.models import PipelineVersion
    from runs import forks
    from runs.execution.worker import Worker
    from runs.services import Order, start_run
    from tests.histories.recording import Recorder, told
    from tests.people import acting

    team, olga = _people()
    pipeline, given = _published(acting(olga), name, scenario)
    settings.DEMO_LATENCY_MS = scenario.latency
    with Recorder() as recorder:
        worker = Worker("recorder@localhost")
        worker.start()
        run = start_run(acting(olga), pipeline, Order(given))
        _carry(worker, run, scenario, team)
        if scenario.fork_from:
            run = forks.fork(acting(olga), run, forks.Fork(scenario.fork_from))
            _carry(worker, run, scenario, team)
        worker.stop()
    versions = PipelineVersion.objects.all()
    documents = {str(version.pk): {"document": version.document, "lock": version.lock} for version in versions}
    return {"template": name, **told(recorder, str(run.pk), documents)}


def _carry(worker: Any, run: Any, scenario: Any, team: Any) -> None:
    """Wait until a run and those below it have ended, and do meanwhile what the scenario says."""
    from runs import services
    from runs.models import Run, Step
    from tests.people import acting

    worker.wake(str(run.pk), forwarded=True)
    deadline = time.monotonic() + MOST_SECONDS
    number, cancelled = 0, False
    while Run.objects.filter(finished_at=None).exists() and time.monotonic() < deadline:
        number += _answer(acting(team.bob), scenario, number)
        at = Step.objects.filter(run=run, path=scenario.cancel_at, state="running")
        if scenario.cancel_at and not cancelled and at.exists():
            services.cancel(acting(team.carol), run, "Enough.")
            worker.wake(str(run.pk), forwarded=True)
            cancelled = True
        time.sleep(0.05)
    run.refresh_from_db()
    if run.finished_at is None:
        sys.exit(f"The run did not end in {MOST_SECONDS:.0f} seconds: {run.state}.")


def _published(olga: Any, name: str, scenario: Any) -> tuple[Any, dict[str, Any]]:
    """Return the scenario's pipeline, published, and the input of its run."""
    from pipelines import drafts, gallery, publish
    from pipelines.library import agents
    from pipelines.library.agents import AgentFields
    from pipelines.models import Agent

    if not scenario.drawing:
        return gallery.instantiate(olga, name), dict(gallery.template(name).sample)
    for slug, model in (("teller", "demo/writer"), ("judge", "demo/judge")):
        if not Agent.objects.filter(workspace=olga.workspace, slug=slug).exists():
            agents.create(olga, slug, AgentFields(model))
    documents = [scenario.child_document()] if scenario.child else []
    for document in (*documents, scenario.document(name)):
        pipeline = drafts.create(olga, document)
        publish.publish(olga, pipeline, "")
        pipeline.refresh_from_db()
    return pipeline, {"topic": "tides"}


def _people() -> tuple[Any, Any]:
    from accounts.models import User, Workspace
    from accounts.roles import Role
    from tests.people import Team, a_member, a_team

    if not Workspace.objects.filter(slug="acme").exists():
        team = a_team()
        return team, a_member(team.workspace, "olga", *Role)
    people = {user.email.partition("@")[0]: user for user in User.objects.all()}
    workspaces = {"workspace": Workspace.objects.get(slug="acme"), "elsewhere": Workspace.objects.get(slug="globex")}
    names = ("alice", "bob", "carol", "dana", "erin", "charlie")
    return Team(**workspaces, **{name: people[name] for name in names}), people["olga"]


def _answer(bob: Any, scenario: Any, number: int) -> int:
    """Answer what is asked; return how many questions there were."""
    from approvals import services
    from approvals.models import Approval

    questions = list(Approval.objects.filter(state="open")) if scenario.answer else []
    for question in questions:
        services.decide(bob, question.pk, scenario.answer(question, number))
    return len(questions)


if __name__ == "__main__":
    main(sys.argv[1:])
