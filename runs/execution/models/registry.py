"""Which adapter answers to a model's name: one per connection and model, kept with its open client per event loop."""

import asyncio
import importlib
import time
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from accounts import secrets
from accounts.errors import NotFound
from accounts.models import Workspace
from pipelines.library import models as library
from pipelines.library.models import ModelRoute
from runs.execution import database
from runs.execution.failures import Failure, config, transient
from runs.execution.models.demo import DemoModel
from runs.execution.models.values import ModelAdapter

ROUTE_SECONDS = 5.0


@dataclass(slots=True)
class _Found:
    """An adapter, what it was made from, and until when (monotonic) the connection is taken as unchanged."""

    adapter: ModelAdapter
    made_from: tuple[ModelRoute, str] | None
    fresh_until: float


@dataclass(slots=True)
class _Adapters:
    """The adapters of one event loop by workspace and model; `looking_up` keeps a crowd from opening a client each."""

    found: dict[tuple[str, str], _Found] = field(default_factory=dict)
    looking_up: asyncio.Lock = field(default_factory=asyncio.Lock)

    def fresh(self, key: tuple[str, str]) -> ModelAdapter | None:
        known = self.found.get(key)
        return known.adapter if known and time.monotonic() < known.fresh_until else None


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Adapters] = WeakKeyDictionary()


async def adapter(workspace_id: str, ref: str) -> ModelAdapter:
    """Return the adapter of `provider/model` in a workspace; a config Failure when nobody answers to the name.

    A changed connection or secret is noticed within five seconds. The database is read in a thread.
    """
    adapters, key = _loops.setdefault(asyncio.get_running_loop(), _Adapters()), (workspace_id, ref)
    if (known := adapters.fresh(key)) is not None:
        return known
    if library.is_simulated(ref):
        return _demo(adapters, key)
    async with adapters.looking_up:
        return adapters.fresh(key) or await _looked_up(adapters, key)


def load_providers() -> None:
    """Import the providers' libraries now, which takes seconds of CPU, and not within the first call."""
    for module in ("runs.execution.models.providers", "runs.execution.models.openai_client"):
        importlib.import_module(module)


async def close() -> None:
    """Close the clients of this event loop; for a worker that stops."""
    adapters = _loops.pop(asyncio.get_running_loop(), _Adapters())
    for known in adapters.found.values():
        if (closing := getattr(known.adapter, "close", None)) is not None:
            await closing()


def _demo(adapters: _Adapters, key: tuple[str, str]) -> ModelAdapter:
    if key[1] not in library.DEMO_PRICES:
        raise _unknown(key[1])
    adapters.found[key] = _Found(DemoModel(key[1]), None, float("inf"))
    return adapters.found[key].adapter


async def _looked_up(adapters: _Adapters, key: tuple[str, str]) -> ModelAdapter:
    try:
        made_from = await database.ask(lambda: _route_and_key(*key))
    except DatabaseError as error:
        raise transient("database", f"The connection of {key[1]} could not be looked up: {error}") from error
    known = adapters.found.get(key)
    if known is None or known.made_from != made_from:
        # A client replaced here may still be answering others, so it is left to them and the garbage collector.
        known = adapters.found[key] = _Found(await asyncio.to_thread(_opened, *made_from), made_from, 0.0)
    known.fresh_until = time.monotonic() + ROUTE_SECONDS
    return known.adapter


def _opened(route: ModelRoute, key: str) -> ModelAdapter:
    """Return a new adapter. Runs in a thread: the first import of a provider's SDK takes seconds of CPU."""
    opened: ModelAdapter = importlib.import_module("runs.execution.models.providers").ProviderModel(route, key)
    return opened


def _route_and_key(workspace_id: str, ref: str) -> tuple[ModelRoute, str]:
    try:
        route = library.route(Workspace(id=UUID(workspace_id)), ref)
        if route is None:
            raise _unknown(ref)
        return route, _key(workspace_id, route)
    except (NotFound, ImproperlyConfigured) as error:
        raise config("no_secret", f"The key of {ref} cannot be read: {error}") from error


def _key(workspace_id: str, route: ModelRoute) -> str:
    if route.from_environment:
        return str(settings.PROVIDER_ENV[route.kind][0])
    return secrets.reveal(UUID(workspace_id), route.secret) if route.secret else ""


def _unknown(ref: str) -> Failure:
    name = ref.partition("/")[0]
    return config("no_such_model", f"Nobody answers to the model {ref}. Add the connection {name!r} or choose another.")
