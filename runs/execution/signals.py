"""Ties the worker's event loop to the life of the Celery process: its own queue, start, drain."""

from typing import Any

from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown, worker_shutting_down

from accounts import logins
from runs import dispatch
from runs.execution import beside, worker


@celeryd_after_setup.connect(weak=False)
def add_own_queue(sender: str, instance: Any, **_: Any) -> None:
    """Listen on a queue of its own beside the shared one, so that a bell for an owned run rings at its owner."""
    instance.app.amqp.queues.select_add(dispatch.queue_of(sender))
    worker.name_node(sender)


@celeryd_after_setup.connect(weak=False)
def name_connections(**_: Any) -> None:
    logins.name_process(logins.WORKER_NAME)


@worker_ready.connect(weak=False)
def start(**_: Any) -> None:
    worker.start()


@worker_shutting_down.connect(weak=False)
def drain(**_: Any) -> None:
    worker.drain()


@worker_shutdown.connect(weak=False)
def stop(**_: Any) -> None:
    worker.stop()
    beside.end_all()
