"""Keeps the pipeline of the world for some."""

from pipelines import sharing
from pipelines.sharing import Lists
from tests.api.world import World
from tests.people import acting


def keep(world: World, **lists: tuple[str, ...]) -> Lists:
    owner = acting(world.olga, world.team.workspace)
    return sharing.put(owner, world.here.pipeline, Lists(**lists))
