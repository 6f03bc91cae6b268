"""A worker in the tests' own process, of which no thread is left behind at work in the next test's database."""

from collections.abc import Iterator
from contextlib import contextmanager

from notices import sending as notices
from runs.execution.otlp import sending as otlp
from runs.execution.worker import Worker


@contextmanager
def a_worker_here() -> Iterator[Worker]:
    worker = Worker("here@localhost")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        worker.loop.run_until_complete(worker.loop.shutdown_default_executor())  # a job of the poll may be under way
        for sender in (otlp._sender, notices._sender):
            sender.wait(30)  # the last job may have woken it
