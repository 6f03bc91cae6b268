"""Migrations of much data leave the runs alone that are under way, and the books right."""

import threading
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, transaction

from runs.models import Run
from runs.spending import booking
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db(transaction=True)
HOW = import_module("runs.migrations.0021_how_earlier_runs_were_started")
AGAIN = import_module("runs.migrations.0014_waste_and_times_of_days").AGAIN


def say_how() -> None:
    try:
        HOW.say_how(None, SimpleNamespace(connection=connection))
    finally:
        connection.close()


def test_earlier_runs_say_how_they_were_started_without_waiting_for_one_that_a_worker_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HOW, "AT_ONCE", 1)
    first = a_run()
    acme = first.workspace
    child, held = (a_run(acme, parent=first, parent_path=path, parent_count=1) for path in ("a", "b"))
    fork, newer = (
        a_run(acme, forked_from=first),
        a_run(acme, parent=first, parent_path="c", parent_count=1, via="pipeline"),
    )
    thread = threading.Thread(target=say_how)
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=held.pk)
        thread.start()
        while Run.objects.filter(pk__in=[child.pk, fork.pk], via=""):
            thread.join(0.05)
        assert thread.is_alive()
    thread.join(20)
    assert not thread.is_alive()
    said = {run.pk: run.via for run in Run.objects.all()}
    assert said == {
        first.pk: "",
        child.pk: "pipeline",
        held.pk: "pipeline",
        fork.pk: "fork",
        newer.pk: "pipeline",
    }


def test_what_is_booked_again_is_taken_off_while_nobody_books() -> None:
    waited: list[bool] = []

    def take_off() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("set local lock_timeout = '200ms'")
                cursor.execute(AGAIN)
        except OperationalError:
            waited.append(True)
        finally:
            connection.close()

    with booking.alone() as cursor:
        assert cursor is not None
        thread = threading.Thread(target=take_off)
        thread.start()
        thread.join(20)
    assert waited
