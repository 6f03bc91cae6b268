"""A lock has one holder, whoever looks at the same moment; the line is first come, first served."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Workspace
from runs import locks
from runs.models import Inbox, Run, StepLock
from tests.people import a_workspace
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db(transaction=True)


def ask(run: Run, name: str = "printer", request: str = "a!1") -> StepLock:
    return StepLock.objects.create(
        workspace=run.workspace, run=run, request=request, name=name, asked_at=timezone.now()
    )


def granted() -> list[tuple[str, str]]:
    return [(fact["fact"], fact["request"]) for fact in Inbox.objects.order_by("id").values_list("fact", flat=True)]


def test_the_first_in_line_gets_the_lock_and_the_next_when_it_is_given_back() -> None:
    run = a_run(state="waiting")
    first, second = ask(run), ask(run, request="b!1")
    locks.look()
    locks.look()
    assert granted() == [("lock_granted", "a!1")]
    first.delete()
    locks.look()
    assert granted()[1:] == [("lock_granted", "b!1")]
    second.refresh_from_db()
    assert second.granted_at is not None


def test_each_name_and_each_workspace_has_a_lock_of_its_own() -> None:
    run = a_run(state="waiting")
    other = a_run(a_workspace("globex"), state="waiting")
    ask(run)
    ask(run, "scanner", "b!1")
    ask(other)
    locks.look()
    assert StepLock.objects.filter(granted_at__isnull=False).count() == 3


def test_a_run_that_has_ended_holds_nothing() -> None:
    run = a_run(state="failed")
    ask(run)
    StepLock.objects.update(granted_at=timezone.now())
    waiting = a_run(run.workspace, state="waiting")
    ask(waiting, request="b!1")
    locks.look()
    assert granted() == [("lock_granted", "b!1")]
    assert not StepLock.objects.filter(run=run).exists()


def test_who_came_earlier_and_is_seen_later_does_not_share_the_lock() -> None:
    """Ids are drawn before they are committed: a smaller one may appear after a larger one was granted."""
    run = a_run(state="waiting")
    early, late = ask(run), ask(run, request="b!1")
    StepLock.objects.filter(pk=late.pk).update(granted_at=timezone.now())
    locks.look()
    assert granted() == []
    late.delete()
    locks.look()
    assert granted() == [("lock_granted", "a!1")]
    early.refresh_from_db()
    assert early.granted_at is not None


def test_many_that_look_at_once_grant_once() -> None:
    workspace: Workspace = a_workspace("acme")
    for n in range(4):
        ask(a_run(workspace, state="waiting"), request=f"a!{n}")
    together = threading.Barrier(4)

    def look() -> None:
        together.wait()
        locks.look()
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted() == [("lock_granted", "a!0")]
    assert StepLock.objects.filter(granted_at__isnull=False).count() == 1
