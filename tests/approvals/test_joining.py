"""Runs that meet the same budget of a day or month: one question, and each run has its answer once."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from approvals import deadlines, handlers, joining, services
from approvals.models import Approval, Joined
from notices.models import Event as Happened
from runs import claims, effects, store
from runs.engine.decision import Event
from runs.models import Inbox, Run
from tests.approvals.builders import Desk, a_desk, a_run, approve, asked, facts_of, fall_due
from tests.approvals.test_commit import commit
from tests.conftest import database_url
from tests.people import acting

pytestmark = pytest.mark.django_db(transaction=True)

DAY = "budget:0193a8f0-0000-7000-8000-000000000007:2026-11-20"


@pytest.fixture
def desk() -> Desk:
    found = a_desk()
    held(found.run)
    return found


def held(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(
        owner="worker/1", lease_until=timezone.now() + timedelta(minutes=1), state="running"
    )
    return run


def beside(desk: Desk) -> Run:
    """Return another run of the same pipeline, started by the same person."""
    like = desk.run
    run = Run(workspace=like.workspace, pipeline=like.pipeline, version=like.version, started_by=like.started_by)
    run.number = Run.objects.count() + 1_000
    run.save()
    return held(run)


def question(request: str = "write!1", shared: str = DAY) -> Event:
    more = {"payload": {"add_usd": "1"}, "action": None, "trust": {}, "shared": shared}
    return Event("approval_requested", "write", asked(request=request, kind="budget", **more))


def ask(run: Run, *, request: str = "write!1", shared: str = DAY) -> None:
    assert commit(run, [question(request, shared)])


def told(run: Run) -> list[dict[str, Any]]:
    return [one.fact for one in Inbox.objects.filter(run=run).order_by("id")]


def read(run: Run) -> None:
    """Let the run that asked take its answer, as the commit does that adds the money."""
    Inbox.objects.filter(run=run).update(taken_at=timezone.now())


def decide(desk: Desk, approval: Approval, word: str = "approve") -> Approval:
    said = {"reason": "Enough."} if word == "reject" else {}
    return services.decide(acting(desk.team.carol), approval.pk, approve(approval, decision=word, **said))


def test_the_second_run_joins_the_question_that_is_open(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    ask(other, request="write!2")
    ask(other)  # a repeated commit
    (approval,) = Approval.objects.all()
    assert approval.run_id == desk.run.pk
    assert approval.shared.startswith(f"{DAY}:")
    places = Joined.objects.order_by("id").values_list("approval_id", "run_id", "request")
    assert list(places) == [(approval.pk, other.pk, "write!1"), (approval.pk, other.pk, "write!2")]
    assert [one.approval_id for one in Happened.objects.filter(kind="approval_requested")] == [approval.pk]


def test_what_is_not_the_same_budget_and_period_is_another_question(desk: Desk) -> None:
    for run, shared in ((desk.run, DAY), (beside(desk), DAY[:-1] + "1"), (beside(desk), ""), (beside(desk), "")):
        ask(run, shared=shared)
    assert (Approval.objects.count(), Joined.objects.count()) == (4, 0)


def test_nobody_waits_for_a_question_that_others_may_see_and_answer(desk: Desk) -> None:
    """Another pipeline may be kept from some; another's starter is barred, and may be the only manager there is."""
    elsewhere = held(a_run(desk.team.workspace, desk.team.alice))
    by_another = beside(desk)
    Run.objects.filter(pk=by_another.pk).update(started_by=desk.team.carol)
    for run in (desk.run, elsewhere, Run.objects.get(pk=by_another.pk)):
        ask(run)
    assert (Approval.objects.count(), Joined.objects.count()) == (3, 0)
    barred = Approval.objects.get(run=by_another).barred
    assert desk.team.carol.pk in barred
    assert desk.team.carol.pk not in Approval.objects.get(run=desk.run).barred


def test_runs_that_ask_about_two_budgets_in_any_order_come_in_one_order(desk: Desk) -> None:
    first, second = beside(desk), beside(desk)
    month = DAY[:-2] + "01"
    commits = [
        store.Commit(run=_row(run), rows=effects.rows_for([question(shared=shared)], facts_of(run)))
        for run, shared in ((first, DAY), (second, month))
    ]
    for order in (commits, commits[::-1]):
        asked_about = [row.row["shared"][:54] for _, row in store._in_turn(order) if isinstance(row, effects.AskOnce)]
        assert asked_about == [month, DAY]


def test_a_former_owner_has_no_place(desk: Desk) -> None:
    ask(desk.run)
    assert not commit(beside(desk), [question()], owner="zombie/1")
    assert not Joined.objects.exists()


def test_after_a_yes_the_others_look_again_once_the_money_is_there(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    approval = decide(desk, Approval.objects.get())
    joining.tell()
    assert (told(other), Joined.objects.count()) == ([], 1), "the run that asked has not read the yes"
    read(desk.run)
    joining.tell()
    joining.tell()
    (fact,) = told(other)
    assert (fact["request"], fact["decision"], fact["approval"]) == ("write!1", "again", str(approval.pk))
    assert fact.get("payload") is None, "no money is in it: that was added once"
    assert not Joined.objects.exists()


def test_a_no_is_for_all_who_wait(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    decide(desk, Approval.objects.get(), "reject")
    joining.tell()
    (fact,) = told(other)
    assert (fact["decision"], fact["by"], fact["reason"]) == ("reject", desk.team.carol.email, "Enough.")


def test_who_came_to_a_question_late_has_time_of_their_own(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    fall_due(Approval.objects.get())
    deadlines.expire_due()
    joining.tell()
    assert [fact["decision"] for fact in told(other)] == ["again"], "it asks for itself now"


def test_a_question_that_is_taken_back_is_asked_by_another(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    commit(desk.run, [Event("approval_decided", "write", {"request": "write!1", "decision": "cancelled"})])
    joining.tell()
    assert [fact["decision"] for fact in told(other)] == ["again"]
    ask(other, request="write!2")
    assert [one.run_id for one in Approval.objects.filter(state="open")] == [other.pk]


def test_a_yes_that_nobody_read_any_more_lets_the_others_ask_anew(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)
    decide(desk, Approval.objects.get())
    Run.objects.filter(pk=desk.run.pk).update(state="cancelled")
    joining.tell()
    assert [fact["decision"] for fact in told(other)] == ["again"]


def test_a_run_that_is_given_up_unread_leaves_its_question_to_the_others(desk: Desk) -> None:
    other = beside(desk)
    ask(desk.run)
    ask(other)

    epoch = Run.objects.get(pk=desk.run.pk).epoch

    async def bury() -> None:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            await claims.bury(connection, str(desk.run.pk), "worker/1", epoch)

    asyncio.run(bury())
    joining.tell()
    assert [fact["decision"] for fact in told(other)] == ["again"]


def test_who_waits_no_more_is_told_nothing(desk: Desk) -> None:
    gone, over = beside(desk), beside(desk)
    ask(desk.run)
    ask(gone)
    ask(over)
    commit(gone, [Event("approval_decided", "write", {"request": "write!1", "decision": "cancelled"})])
    assert Approval.objects.get().state == "open", "the question is another run's"
    Run.objects.filter(pk=over.pk).update(state="succeeded")
    decide(desk, Approval.objects.get(), "reject")
    joining.tell()
    assert (told(gone), told(over), Joined.objects.count()) == ([], [], 0)


@contextmanager
def no_news_for(run: Run, code: str) -> Iterator[None]:
    """Have the database refuse every fact for a run, as PostgreSQL's error of this code."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_news() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'No news.' USING ERRCODE = '{code}'; END $$"
        )
        refused = f"WHEN (NEW.run_id = '{run.pk}') EXECUTE FUNCTION no_news()"
        cursor.execute(f"CREATE TRIGGER no_news BEFORE INSERT ON runs_inbox FOR EACH ROW {refused}")
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION no_news CASCADE")


REFUSALS = pytest.mark.parametrize("code", ["23514", "54000"], ids=["a check", "a limit, told as trouble of operation"])


@REFUSALS
def test_one_who_cannot_be_told_keeps_nobody_waiting(desk: Desk, code: str, caplog: pytest.LogCaptureFixture) -> None:
    broken, other = beside(desk), beside(desk)
    for run in (desk.run, broken, other):
        ask(run)
    decide(desk, Approval.objects.get(), "reject")
    with no_news_for(broken, code):
        joining.tell()
        assert [fact["decision"] for fact in told(other)] == ["reject"]
        place = Joined.objects.get(run=broken).pk
        assert f"waits at place {place} could not be told" in caplog.text
    joining.tell()
    assert [fact["decision"] for fact in told(broken)] == ["reject"], "it is tried again"


@REFUSALS
def test_a_question_that_cannot_be_closed_keeps_no_other_open(
    desk: Desk, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = beside(desk), beside(desk)
    for run in (broken, other):
        ask(run, shared="")
    due = [Approval.objects.get(run=run) for run in (broken, other)]
    for approval in due:
        fall_due(approval)
    with no_news_for(broken, code):
        deadlines.expire_due()
        assert [one.state for one in Approval.objects.filter(run__in=(broken, other)).order_by("id")].count("open") == 1
        assert f"The question {due[0].pk} is due and could not be closed" in caplog.text
    deadlines.expire_due()
    assert not Approval.objects.filter(state="open").exists()


def test_sixteen_workers_at_once_ask_once(desk: Desk) -> None:
    runs = [desk.run, *(beside(desk) for _ in range(15))]
    decided = [store.Commit(run=_row(run), rows=effects.rows_for([question()], facts_of(run))) for run in runs]

    async def write(one: store.Commit) -> None:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            assert await store.write(connection, [one])

    async def write_all() -> None:
        await asyncio.gather(*map(write, decided))

    asyncio.run(write_all())
    approval = Approval.objects.get(state="open")
    assert set(Joined.objects.values_list("run_id", flat=True)) == {run.pk for run in runs} - {approval.run_id}
    decide(desk, approval)
    read(approval.run)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_tell_alone, range(4)))
    others = [run for run in runs if run.pk != approval.run_id]
    assert [len(told(run)) for run in others] == [1] * 15, "each is told once, however many workers look"


def test_an_answer_waits_for_who_is_joining_and_misses_nobody(desk: Desk) -> None:
    """The place beside the question is not written yet when a manager decides: the decision comes after it."""
    other = beside(desk)
    ask(desk.run)
    approval = Approval.objects.get()
    row = {**approval_row(other), "id": handlers.id_of(str(other.pk), "write!1")}
    joined = psycopg.connect(database_url())
    statement = store.ASK_ONCE.replace("{names}", ", ".join(row))
    joined.execute(statement, (store._text(row), row["run_id"], row["request"], row["id"]))
    with ThreadPoolExecutor(1) as pool:
        deciding = pool.submit(_decide_alone, desk, approval)
        time.sleep(0.3)
        assert not deciding.done()
        joined.commit()
        deciding.result(timeout=10)
    joined.close()
    read(desk.run)
    joining.tell()
    assert [fact["decision"] for fact in told(other)] == ["again"]


def approval_row(run: Run) -> dict[str, Any]:
    [row] = handlers.ask(question(), facts_of(run))
    assert isinstance(row, effects.AskOnce)
    return dict(row.row)


def _row(run: Run) -> dict[str, Any]:
    fresh = Run.objects.get(pk=run.pk)
    values: dict[str, Any] = {column.name: getattr(fresh, column.name, None) for column in store.RUN}
    return values | {"id": str(run.pk), "owner": "worker/1", "revision": fresh.revision + 1, "release": False}


def _tell_alone(_: int) -> None:
    try:
        joining.tell()
    finally:
        connection.close()


def _decide_alone(desk: Desk, approval: Approval) -> None:
    assert threading.current_thread() is not threading.main_thread()
    try:
        decide(desk, approval)
    finally:
        connection.close()
