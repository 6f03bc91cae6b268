"""The daily books of spending stay exact when jobs meet, die in the middle and race with runs that end."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client

from pipelines.graph.money import micros
from runs.models import Run, SpendDay
from runs.spending import booking
from runs.spending.checking import check
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def spent(stage: Stage) -> int:
    answer = Client().get("/api/v1/costs", headers=bearer(stage.team.carol, stage.team.workspace)).json()
    return micros(answer["total"]["cost_usd"])


def ledger(stage: Stage) -> int:
    return check(stage.team.workspace).ledger[0]


def in_threads(work: Callable[[], object], threads: int) -> None:
    def once() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(once) for _ in range(threads)]:
            future.result(60)


@contextmanager
def asking_all_the_while(stage: Stage, seen: list[bool]) -> Iterator[None]:
    """Compare what the API says with the ledger again and again, in a thread."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            found = check(stage.team.workspace)
            seen.append(found.is_right)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def test_every_answer_is_exact_while_runs_commit_and_jobs_book_side_by_side(stage: Stage) -> None:
    pipeline = stage.chain(4, 0)
    stage.worker("w1"), stage.worker("w2")
    seen: list[bool] = []
    with asking_all_the_while(stage, seen):
        runs = [stage.start(pipeline, f"r{number}") for number in range(12)]
        while Run.objects.filter(finished_at=None).exists():
            in_threads(booking.book, 3)
        done = [stage.wait(run, seconds=60) for run in runs]
    assert all(books_balance(run) for run in done)
    assert len(seen) > 3
    assert all(seen)
    wait_for(lambda: not Run.objects.filter(booked_at=None).exists(), 20)
    assert spent(stage) == ledger(stage) == sum(run.cost_micros for run in done) > 0


def test_two_jobs_at_once_book_each_run_once(stage: Stage) -> None:
    pipeline = stage.chain(2, 0)
    worker = stage.worker("w1")
    runs = [stage.wait(stage.start(pipeline, f"r{number}")) for number in range(6)]
    worker.kill()
    booking.rebuild(stage.team.workspace)
    for _ in range(3):
        Run.objects.update(booked_at=None)
        SpendDay.objects.all().delete()
        in_threads(booking.book, 4)
        wait_for(lambda: not Run.objects.filter(booked_at=None).exists() or booking.book_some() == 0, 10)
        assert sum(SpendDay.objects.values_list("cost", flat=True)) == sum(run.cost_micros for run in runs)
    assert spent(stage) == ledger(stage)


def test_a_job_that_dies_in_the_middle_has_booked_nothing(stage: Stage) -> None:
    pipeline = stage.chain(2, 0)
    worker = stage.worker("w1")
    runs = [stage.wait(stage.start(pipeline, f"r{number}")) for number in range(3)]
    worker.kill()
    booking.rebuild(stage.team.workspace)
    Run.objects.update(booked_at=None)
    SpendDay.objects.all().delete()
    with pytest.raises(Exception, match=r"terminating connection|closed"), transaction.atomic():  # noqa: PT012
        assert booking.book_some() == 3
        with connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            (pid,) = cursor.fetchone()
        with psycopg.connect(stage_conninfo(), autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", (pid,))
        SpendDay.objects.count()
    connection.close()
    assert not SpendDay.objects.exists()
    assert not Run.objects.exclude(booked_at=None).exists()
    assert spent(stage) == sum(run.cost_micros for run in runs), "what is not booked is read from the spans"
    booking.book()
    assert sum(SpendDay.objects.values_list("cost", flat=True)) == spent(stage) == ledger(stage)


def stage_conninfo() -> str:
    from tests.runs.builders import test_conninfo

    return test_conninfo()


def test_a_retry_and_a_repair_are_told_apart_from_what_was_paid_once(stage: Stage) -> None:
    pipeline = stage.chain(2, 0)
    stage.models.ask("/admin/script", [{"kind": "malformed", "times": 1, "match": "run=bad", "retry_after": "0"}])
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline, "bad"), seconds=60)
    assert run.state == "succeeded"
    wait_for(SpendDay.objects.exists, 20)
    retried = sum(line.retried for line in SpendDay.objects.all())
    assert 0 < retried < run.cost_micros
