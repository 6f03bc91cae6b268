"""Records runs of gallery templates as histories: `python -m tests.histories [TEMPLATE …]` writes TEMPLATE.json here.

Without names, all that are recorded already are recorded anew. It brings its own database and broker, runs the template
with its sample on the built-in models, and answers as bob what is asked. Record anew when the engine is meant to decide
otherwise than before, and read the difference.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

MOST_SECONDS = 120.0


def main(names: Sequence[str]) -> None:
    os.environ["BATON_DEMO_LATENCY_MS"] = "20"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from bench import services

    with services.running():
        import django

        django.setup()
        from tests.histories.replay import FOLDER, recorded

        for name in names or [file.stem for file in recorded()]:
            history = record(name)
            target = FOLDER / f"{name}.json"
            target.write_text(json.dumps(history, ensure_ascii=False, indent=1) + "\n")
            print(f"{target.name}: {len(history['turns'])} turns, {target.stat().st_size / 1000:.0f} KB")


class Recorder:
    """Stands in the place of `decide` and writes down what it is told and what it decides."""

    def __init__(self) -> None:
        from runs.engine import decide

        self.turns: list[dict[str, Any]] = []
        self._module, self._decide = decide, decide.decide
        self._known: Any = None

    def __enter__(self) -> "Recorder":
        self._module.decide = self._noted
        return self

    def __exit__(self, *_: object) -> None:
        self._module.decide = self._decide

    def _noted(self, execution: Any, facts: Sequence[Any], now: datetime) -> Any:
        from tests.histories import codec

        turn = {
            "now": now.isoformat(),
            "restored": self._known is not None and execution is not self._known,
            "money": codec.money_to_json(execution),
            "facts": [codec.fact_to_json(fact) for fact in facts],
        }
        self._known = execution
        decision = self._decide(execution, facts, now)
        self.turns.append({**turn, "decision": codec.decision_to_json(decision)})
        return decision


def record(name: str) -> dict[str, Any]:
    """Return the history of one run of a template."""
    from pipelines import gallery
    from runs.execution.worker import Worker
    from runs.models import Run
    from runs.services import Order, start_run
    from tests.people import acting

    team, olga = _people()
    pipeline = gallery.instantiate(acting(olga), name)
    with Recorder() as recorder:
        worker = Worker("recorder@localhost")
        worker.start()
        run = start_run(acting(olga), pipeline, Order(dict(gallery.template(name).sample)))
        worker.wake(str(run.pk), forwarded=True)
        deadline = time.monotonic() + MOST_SECONDS
        while Run.objects.filter(pk=run.pk, finished_at=None).exists() and time.monotonic() < deadline:
            _answer(acting(team.bob), run)
            time.sleep(0.1)
        worker.stop()
    run.refresh_from_db()
    if run.finished_at is None:
        sys.exit(f"The run of {name} did not end in {MOST_SECONDS:.0f} seconds: {run.state}.")
    version = run.version
    return {
        "template": name,
        "document": version.document,
        "lock": version.lock,
        "input": run.input,
        "budget": run.budget,
        "turns": recorder.turns,
    }


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


def _answer(bob: Any, run: Any) -> None:
    from approvals import services
    from approvals.models import Approval
    from approvals.policy import Decision

    for question in Approval.objects.filter(run=run, state="open"):
        services.decide(bob, question.pk, Decision("approve", payload_hash=question.payload_hash))


if __name__ == "__main__":
    main(sys.argv[1:])
