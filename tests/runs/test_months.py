"""Events and spans lie in months by the time of their run's id; what a month may not do is lose or double a row."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from accounts.ids import new_id
from runs import months
from runs.models import Event, Run, Span
from tests.people import a_workspace
from tests.runs.builders import AT, a_run, test_conninfo
from tests.web_role import as_the_web

pytestmark = [pytest.mark.django_db, pytest.mark.one_day]
MOVE = import_module("runs.migrations.0024_months_of_events_and_spans")


FAR = datetime(2099, 1, 1, tzinfo=UTC)


def an_id(moment: datetime) -> UUID:
    """Return a run's id as it would have been made at this moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | new_id().int & ((1 << 80) - 1))


def written(run: Run | UUID, *, seq: int = 1, at: datetime = AT) -> None:
    pk = run if isinstance(run, UUID) else run.pk
    Event.objects.create(run_id=pk, seq=seq, type="run_started", at=at)
    told = {"workspace_id": new_id(), "pipeline_id": new_id(), "name": "chat", "span_id": f"{seq:016x}"}
    Span.objects.create(run_id=pk, start=at, end=at, **told)


def asked(sql: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]


def parts(whole: str = "runs_span") -> list[str]:
    return asked(
        "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = to_regclass(%s)"
        " ORDER BY relname",
        whole,
    )


def where_it_lies(run: UUID) -> list[str]:
    return [
        *asked("SELECT tableoid::regclass::text FROM runs_event WHERE run_id = %s", run),
        *asked("SELECT tableoid::regclass::text FROM runs_span WHERE run_id = %s", run),
    ]


def in_month(moment: datetime) -> list[str]:
    return [f"runs_event_y{moment:%Y}m{moment:%m}", f"runs_span_y{moment:%Y}m{moment:%m}"]


def test_this_month_and_the_two_to_come_are_open_and_stay_so() -> None:
    now = timezone.now().astimezone(UTC)
    months.sweep()
    opened = parts()
    assert opened[-3:] == [f"runs_span_y{year}m{month:02}" for year, month in _following(now, 3)]
    months.sweep()
    assert parts() == opened
    assert [name.replace("event", "span") for name in parts("runs_event")] == opened


def _following(now: datetime, count: int) -> list[tuple[int, int]]:
    first = now.year * 12 + now.month - 1
    return [(number // 12, number % 12 + 1) for number in range(first, first + count)]


def test_what_a_run_writes_lies_in_the_month_of_its_id_whenever_it_is_written() -> None:
    months.sweep()
    now = timezone.now().astimezone(UTC)
    year, month = _following(now, 2)[1]
    coming = datetime(year, month, 1, tzinfo=UTC)
    for moment in (now, coming, coming - timedelta(milliseconds=1)):
        run = an_id(moment)
        written(run, at=moment + timedelta(days=70))
        assert where_it_lies(run) == in_month(moment)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=70)])
def test_a_repeated_row_is_one_row_though_its_time_is_another_months(later: timedelta) -> None:
    run = an_id(AT)
    written(run)
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(run_id=run, seq=1, type="run_started", at=AT + later)
    with pytest.raises(IntegrityError), transaction.atomic():
        written(run, at=AT + later)


def test_what_was_written_before_its_month_was_open_comes_into_it() -> None:
    moment = datetime(2031, 2, 28, 23, 59, tzinfo=UTC)
    early, next_month = an_id(moment), an_id(moment + timedelta(minutes=1))
    for run in (early, next_month):
        written(run)
        assert where_it_lies(run) == ["runs_event_other", "runs_span_other"]
    rows = set(Span.objects.values_list("pk", "run_id")), set(Event.objects.values_list("pk", "run_id"))
    for whole in months.PARTED:
        asked("SELECT runs_open_month(%s, %s)", whole, moment)
    assert where_it_lies(early) == in_month(moment)
    assert where_it_lies(next_month) == ["runs_event_other", "runs_span_other"]
    assert (set(Span.objects.values_list("pk", "run_id")), set(Event.objects.values_list("pk", "run_id"))) == rows


def test_a_month_that_retention_has_emptied_is_dropped_a_month_after_its_end() -> None:
    now = timezone.now().astimezone(UTC)
    last = now.replace(day=1) - timedelta(days=1)
    moments = [last, last - timedelta(days=62), last - timedelta(days=124)]
    for moment in moments:
        for whole in months.PARTED:
            asked("SELECT runs_open_month(%s, %s)", whole, moment)
    written(run := an_id(moments[2]))
    for _ in moments:
        months.sweep()
    assert (in_month(moments[0])[1] in parts(), in_month(moments[1])[1] in parts()) == (True, False)
    assert where_it_lies(run) == in_month(moments[2])
    Event.objects.filter(run_id=run).delete()
    Span.objects.filter(run_id=run).delete()
    months.sweep()
    assert not {*in_month(moments[1]), *in_month(moments[2])} & {*parts("runs_event"), *parts()}
    assert set(in_month(now)) <= {*parts("runs_event"), *parts()}


def test_only_the_months_of_these_two_tables_are_made_or_dropped() -> None:
    with pytest.raises(ProgrammingError, match="does not lie in months"), transaction.atomic():
        asked("SELECT runs_open_month('runs_run', now())")
    assert asked("SELECT runs_drop_empty_month('runs_run', now() + interval '9 years')") == [None]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM runs_span_other",
        "SELECT count(*) FROM runs_event_other",
        "SELECT runs_open_month('runs_span', now())",
        "SELECT runs_drop_empty_month('runs_span', now())",
    ],
)
def test_the_web_reaches_no_month_past_the_policies_and_makes_none(statement: str) -> None:
    with as_the_web(), pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        asked(statement)


def test_the_role_of_the_workers_may_sweep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE baton_worker")
        months.sweep()
        cursor.execute("RESET ROLE")
    assert len(parts()) >= 4


def test_a_worker_cannot_slip_a_table_of_its_own_under_what_acts_with_the_owners_rights() -> None:
    """In the session's temporary schema, which is looked into first unless a search path names it last."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE baton_worker")
        cursor.execute("CREATE TEMPORARY TABLE runs_event_other (LIKE runs_event) ON COMMIT DROP")
        cursor.execute("INSERT INTO runs_event_other SELECT 1, 1, 'forged', NULL, now(), '{}', %s", [an_id(FAR)])
        cursor.execute("SELECT runs_open_month('runs_event', %s)", [FAR])
        cursor.execute("RESET ROLE")
        assert asked("SELECT count(*) FROM pg_temp.runs_event_other") == [1], "it was moved with the owner's rights"
        assert asked("SELECT count(*) FROM runs_event WHERE type = 'forged'") == [0]


def test_moving_into_months_and_back_keeps_every_row_and_goes_on_counting() -> None:
    run = a_run(a_workspace("acme"))
    for pk in (run.pk, an_id(AT - timedelta(days=400)), an_id(AT + timedelta(days=400))):
        written(pk)
    rows = [list(model.objects.order_by("pk").values_list()) for model in (Event, Span)]
    forwards = [operation.sql for operation in MOVE.Migration.operations]
    backwards = [operation.reverse_sql for operation in reversed(MOVE.Migration.operations)]
    with connection.cursor() as cursor:
        for statement in backwards:
            cursor.execute(statement)
        assert [list(model.objects.order_by("pk").values_list()) for model in (Event, Span)] == rows
        written(run, seq=2)
        written(gone := an_id(AT), seq=9)
        highest = Span.objects.get(run_id=gone).pk
        Span.objects.filter(run_id=gone).delete()
        Event.objects.filter(run_id=gone).delete()
        for statement in forwards:
            cursor.execute(statement)
    written(run, seq=3)
    assert Span.objects.latest("pk").pk > highest, "retention may have removed what had the highest number"
    events, spans = (list(model.objects.filter(run=run).order_by("pk")) for model in (Event, Span))
    assert [event.seq for event in events] == [1, 2, 3]
    assert len({span.pk for span in spans}) == 3
    assert len(parts()) == 2
    assert where_it_lies(an_id(AT)) == []
    assert asked("SELECT count(*) FROM runs_span_other") == [1]  # the one whose month is to come


@pytest.mark.django_db(transaction=True)
def test_two_workers_open_a_month_once_and_neither_waits_for_the_other() -> None:
    moment = datetime(2033, 5, 5, tzinfo=UTC)
    with psycopg.connect(test_conninfo()) as other:
        other.execute("SELECT runs_open_month('runs_span', %s)", [moment])
        asked("SELECT runs_open_month('runs_span', %s)", moment)  # comes back at once: another is at it
        months.sweep()
    assert in_month(moment)[1] in parts()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE runs_span_y2033m05")


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_for_long_has_a_month_left_for_the_next_turn() -> None:
    moment = timezone.now() - timedelta(days=200)
    asked("SELECT runs_open_month('runs_span', %s)", moment)
    with psycopg.connect(test_conninfo()) as other:
        other.execute("SELECT count(*) FROM runs_span")
        months.sweep()
        assert in_month(moment)[1] in parts()
    months.sweep()
    assert in_month(moment)[1] not in parts()
