"""Where a run is carried to its end through the deaths of its owners, and what must be true of it then."""

from collections.abc import Callable, Mapping
from typing import Any

from accounts.access import Actor
from runs.models import Call, Event, Run, Step
from tests.faults.mortal import Death, MortalHost, World, a_pinned_run, live_through
from tests.faults.stage import books_balance, finished_twice, has_no_gap
from tests.people import Team, a_team, acting

ACTIONS = {"crm.log@1": {"note": "hello"}, "shop.order@1": {"item": 7}, "email.send@1": {"to": "bo@example.com"}}
TOOLS = tuple(ACTIONS)


class Stand:
    """A team, and a world that takes the place of models and tools."""

    def __init__(self) -> None:
        self.team: Team = a_team()
        self.bob: Actor = acting(self.team.bob)
        self.make_world: Callable[[int | None], World] = World
        self.world = World(None)

    def play(self, graph: Mapping[str, Any], luck: int | None, *deaths: Death, **fields: Any) -> tuple[Run, MortalHost]:
        """Carry a new run of this graph to its end through these deaths. `fields` are the document's."""
        self.world = self.make_world(luck)
        run, pinned = a_pinned_run(self.team.workspace, graph, **fields)
        host = live_through(run, pinned, self.world, self.bob, deaths)
        return Run.objects.get(pk=run.pk), host


def assert_sound(run: Run, world: World) -> None:
    assert has_no_gap(run)
    assert books_balance(run)
    assert finished_twice(run) == []
    assert not Step.objects.filter(run=run).exclude(state__in=("succeeded", "failed", "skipped", "cancelled")).exists()
    ended = list(Event.objects.filter(run=run, type="step_succeeded").values_list("path", flat=True))
    assert len(ended) == len(set(ended)), "a step succeeded twice"
    for path, tool in set(Call.objects.filter(run=run, kind="tool").values_list("path", "name")):
        if tool == "email.send@1":
            assert world.done[path] <= 1, f"the mail of {path} went out twice"
        else:
            assert len(world.sent[path]) <= 1, f"{path} was sent under several keys: {world.sent[path]}"


def end_of(run: Run, *, races: bool) -> Any:
    """Return what does not depend on where the owner died."""
    if races:
        return run.state
    steps = Step.objects.filter(run=run)
    containers = steps.filter(kind="each").exists()
    rows = {
        step.path: (step.state, step.output, step.port)
        for step in steps
        if not (containers and ("[" in step.path or step.state == "failed"))
    }
    return run.state, run.reason, run.output, rows
