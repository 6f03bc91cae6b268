"""Families of runs go together, by whoever's turn it is; a fork keeps what it took over, and nothing else changes."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.errors import Gone
from accounts.models import Workspace
from approvals.models import Approval, DecisionRecord
from runs import boards, forks, removal
from runs.forks import Fork
from runs.models import BoardEntry, Call, Run
from runs.spending import booking, retention
from tests.approvals.builders import a_desk, an_approval
from tests.approvals.builders import a_run as a_run_of
from tests.people import a_team, acting
from tests.runs.builders import a_run, test_conninfo

pytestmark = pytest.mark.django_db
OLD = timezone.now() - dt.timedelta(days=40)
NEW = timezone.now() - dt.timedelta(days=10)


def ended(workspace: Workspace, **fields: Any) -> Run:
    times = {"finished_at": OLD, "booked_at": OLD, "trimmed_at": OLD}
    return a_run(workspace, **{"state": "succeeded", "input": {"topic": "tides"}, **times, **fields})


@pytest.fixture
def workspace() -> Workspace:
    made = a_team().workspace
    Workspace.objects.filter(pk=made.pk).update(keep_content_days=31)
    return made


def without_content() -> set[int]:
    return set(Run.objects.exclude(content_removed_at=None).values_list("number", flat=True))


def a_family(workspace: Workspace, **youngest: Any) -> list[Run]:
    """Return three runs, each started by the one before; `youngest` says how the last differs."""
    top = ended(workspace)
    middle = ended(workspace, parent=top, parent_path="a", parent_count=1)
    return [top, middle, ended(workspace, parent=middle, parent_path="a", parent_count=1, **youngest)]


@pytest.mark.parametrize(
    "youngest",
    [
        {"finished_at": NEW},
        {"state": "running", "finished_at": None, "booked_at": None, "trimmed_at": None},
        {"trimmed_at": None},
    ],
)
def test_a_family_waits_for_its_youngest(workspace: Workspace, youngest: dict[str, Any]) -> None:
    family = a_family(workspace, **youngest)
    removal.sweep()
    assert without_content() == set()
    Run.objects.filter(pk=family[-1].pk).update(state="succeeded", finished_at=OLD, booked_at=OLD, trimmed_at=OLD)
    removal.sweep()
    assert without_content() == {run.number for run in family}


def test_a_child_stays_while_its_parent_goes_on(workspace: Workspace) -> None:
    top = ended(workspace, state="waiting", finished_at=None, booked_at=None, trimmed_at=None)
    ended(workspace, parent=top, parent_path="a", parent_count=1)
    removal.sweep()
    assert without_content() == set()


def test_days_are_31_at_the_least_and_none_keeps_for_ever(workspace: Workspace) -> None:
    ended(workspace, finished_at=timezone.now() - dt.timedelta(days=30))
    Workspace.objects.filter(pk=workspace.pk).update(keep_content_days=1)
    removal.sweep()
    assert without_content() == set()
    Run.objects.update(finished_at=OLD)
    Workspace.objects.filter(pk=workspace.pk).update(keep_content_days=None)
    removal.sweep()
    assert without_content() == set()


def test_logs_go_with_content_where_it_is_kept_for_fewer_days(workspace: Workspace) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(keep_days=90)
    run = ended(workspace, booked_at=None, trimmed_at=None)
    booking.book()
    retention.sweep()
    removal.sweep()
    assert without_content() == {run.number}


def test_a_batch_is_bounded_by_events(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "EVENTS_AT_ONCE", 100)
    for _ in range(5):
        ended(workspace, seq=60)
    removal.sweep()
    assert len(without_content()) == 2, "the second begins below the bound"
    removal.sweep()
    removal.sweep()
    assert len(without_content()) == 5


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_at_once_do_it_once(workspace: Workspace) -> None:
    for _ in range(20):
        run = ended(workspace)
        Call.objects.create(
            run=run, key="a@1/1", path="a", attempt=1, n=1, kind="model", name="m", state="finished", started_at=OLD
        )
    with booking.alone() as cursor:
        assert cursor is not None
        in_a_thread(removal.sweep)
        assert without_content() == set(), "another's turn is not waited for"
    in_a_thread(removal.sweep, times=4)
    assert len(without_content()) == 20
    assert not Call.objects.exists()


def in_a_thread(job: Any, times: int = 1) -> None:
    def done() -> None:
        try:
            job()
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        for one in [pool.submit(done) for _ in range(times)]:
            one.result()


@pytest.mark.django_db(transaction=True)
def test_whoever_forks_at_that_moment_is_waited_for_and_later_ones_are_refused() -> None:
    desk = a_desk()
    Workspace.objects.filter(pk=desk.team.workspace.pk).update(keep_content_days=31)
    Run.objects.update(state="succeeded", finished_at=OLD, booked_at=OLD, trimmed_at=OLD)
    with psycopg.connect(test_conninfo()) as forking, ThreadPoolExecutor(1) as pool:
        forking.execute("SELECT FROM runs_run WHERE id = %s FOR NO KEY UPDATE", [desk.run.pk])
        sweeping = pool.submit(in_a_thread, removal.sweep)
        with pytest.raises(TimeoutError):
            sweeping.result(timeout=0.5)
        forking.rollback()
        sweeping.result(timeout=20)
    with pytest.raises(Gone, match=r"removed by retention on .* Start a new run"):
        forks.fork(acting(desk.team.alice), desk.run, Fork())


def test_a_fork_keeps_its_board(workspace: Workspace) -> None:
    run = ended(workspace)
    fork = ended(workspace, forked_from=run, finished_at=NEW)
    BoardEntry.objects.create(board_id=run.board_id, run=run, path="a", key="k", version=1, op="write", value=1, at=OLD)
    child = ended(workspace, parent=run, parent_path="a", parent_count=1, board_id=run.board_id)
    BoardEntry.objects.create(
        board_id=run.board_id, run=child, path="a", key="l", version=1, op="write", value=2, at=OLD
    )
    boards.copy(run, fork, ["a"])
    removal.sweep()
    assert without_content() == {run.number, child.number}
    assert {entry.key: entry.value for entry in boards.read(fork, {})} == {"k": 1, "l": 2}
    assert boards.read(run, {}) == []


def test_a_worker_may_do_it_and_the_web_may_not_before_a_run_is_marked() -> None:
    desk = a_desk()
    Workspace.objects.filter(pk=desk.team.workspace.pk).update(keep_content_days=31)
    asked = an_approval(desk.run)
    DecisionRecord.objects.create(approval=asked, by=desk.team.bob, decision="approve", payload={"a": 1}, reason="Fine")
    Approval.objects.update(state="approved", decided_at=timezone.now())
    for rows, fields in ((Approval.objects, {"payload": {}}), (DecisionRecord.objects, {"payload": {}})):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**fields)
    Run.objects.update(state="succeeded", finished_at=OLD, booked_at=OLD, trimmed_at=OLD)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE baton_worker")
        try:
            removal.sweep()
        finally:
            cursor.execute("RESET ROLE")
    asked.refresh_from_db()
    said = DecisionRecord.objects.get()
    assert (asked.payload, asked.title, asked.why, said.payload, said.reason) == ({}, "", "", {}, "Fine")
    assert asked.payload_hash
    for rows, fields in (
        (Approval.objects, {"payload_hash": ""}),
        (Approval.objects, {"payload": {"b": 1}}),
        (DecisionRecord.objects, {"reason": "Another"}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**fields)


def test_another_workspace_keeps_its_own() -> None:
    team = a_team()
    Workspace.objects.filter(pk=team.workspace.pk).update(keep_content_days=31)
    theirs = a_run_of(team.elsewhere, team.charlie)
    Run.objects.filter(pk=theirs.pk).update(state="succeeded", finished_at=OLD, booked_at=OLD, trimmed_at=OLD)
    removal.sweep()
    assert without_content() == set()
