"""The Celery doorbell. A message holds a run's id and nothing else; losing it costs at most one poll."""

from celery import shared_task


@shared_task(name="runs.wake", ignore_result=True)
def wake(run_id: str, forwarded: bool = False) -> None:
    """Hand the run to this process's event loop and return; no thread waits for a model."""
    from runs.execution.worker import current

    worker = current()
    if worker is not None:
        worker.wake(run_id, forwarded=forwarded)
