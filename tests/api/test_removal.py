"""Retention of content: a canary in all that old runs hold, then the whole database, every route and every page."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.utils import timezone

from accounts.models import AuditEntry, User
from approvals.models import Approval, Comment, DecisionRecord
from evals.models import Evaluation, Result
from notices.models import Event as Told
from notices.models import Notice
from runs import removal, talks, topics
from runs.models import BoardEntry, CacheEntry, Call, Inbox, LedgerEntry, Run, SentEvent, Step, Summary, Turn
from runs.spending import booking, retention
from tests.api import page_walks, walks
from tests.api.page_walks import PAGES
from tests.api.rows import undone
from tests.api.test_content import CANARY, content_fields, planted
from tests.api.walks import CALLS
from tests.api.world import World
from tests.conftest import ROOT
from tests.people import signed_in_as

HOLDS_CONTENT = ("runs", "approvals", "notices")
LONG_AGO = dt.timedelta(days=40)
# Docs: the table of the operator guide. What people wrote by themselves, and why they decided.
STAYS = {"approvals_decisionrecord", "runs_trigger"}


@pytest.fixture
def old(world: World) -> World:
    """The world long after: all its runs have ended, each left a row of every kind, and the canary is in all of it."""
    for run in Run.objects.filter(workspace=world.team.workspace):
        _more_rows(run)
    _end(Run.objects.all(), world.team.bob)
    with without_triggers():
        _plant()
    return world


def _more_rows(run: Run) -> None:
    now, long_ago = timezone.now(), timezone.now() - LONG_AGO
    at = {"run": run, "path": "write"}
    call = {"attempt": 1, "n": 1, "kind": "model", "name": "demo/writer", "state": "finished", "started_at": now}
    said = {"request": {"prompt": "x"}, "response": {"text": "x"}, "error": {"code": "x"}, "cost_micros": 400}
    Call.objects.create(**at, **call, **said, key="write@1/1")
    LedgerEntry.objects.create(run=run, kind="reserved", path="write@1", call="write@1/1", model="m", at=now)
    Step.objects.update_or_create(
        **at,
        defaults={
            "node": "write",
            "kind": "agent",
            "state": "failed",
            "cost_micros": 400,
            "input": {"prompt": "x"},
            "output": "x",
            "meta": {"a": 1},
            "error": {"class": "tool", "code": "gone", "message": "x"},
            "memo": {"made": {"a": 1}, "reused_from": {"run": str(run.pk), "number": 1, "cost_micros": 7}},
        },
    )
    Inbox.objects.create(run=run, key="late", fact={"a": 1}, taken_at=now)
    BoardEntry.objects.create(**at, board_id=run.board_id, key="k", version=1, op="write", value="x", at=now)
    of = {"workspace": run.workspace, "key": f"sha256:{run.pk}", "created_at": long_ago}
    CacheEntry.objects.create(**at, **of, output="x", meta={"a": 1}, expires_at=now + LONG_AGO)
    Turn.objects.create(**at, **of, prompt="x", answer="x", trust="user")
    Summary.objects.create(run=run, **of, hash="sha256:0", covers=[], text="x")


def _end(runs: "models.QuerySet[Run]", bob: User) -> None:
    ended = timezone.now() - LONG_AGO
    runs.update(finished_at=ended, owner=None, error={"class": "tool", "code": "gone", "message": CANARY})
    runs.exclude(state="succeeded").update(state="failed")
    asked = Approval.objects.filter(run__in=runs)
    for one in asked:
        Comment.objects.create(approval=one, by=one.run.started_by, text="x")
        Told.objects.create(
            workspace=one.workspace, kind="comment", key=f"told:{one.pk}", approval=one, data={"a": CANARY}
        )
        DecisionRecord.objects.create(approval=one, by=bob, decision="approve", payload={"a": 1})
    asked.filter(state="open").update(state="approved", decided_at=ended, held_until=None)
    SentEvent.objects.update(at=ended)


@contextmanager
def without_triggers() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = DEFAULT")


def _plant() -> None:
    for model, field in content_fields():
        if model._meta.app_label in HOLDS_CONTENT:
            for row in model._default_manager.only(field.name):
                value = getattr(row, field.name)
                if value is not None:
                    model._default_manager.filter(pk=row.pk).update(**{field.name: planted(value)})
    Step.objects.update(title=CANARY)
    Approval.objects.update(title=CANARY, asked={"canary": CANARY}, trust={"/x": CANARY})
    Notice.objects.filter(approval__isnull=False).update(subject=CANARY, data={"said": CANARY, "place": "/"})


def keep(world: World, days: str = "31") -> None:
    call_command("keep_days", world.team.workspace.slug, days, "--content", verbosity=0)


def sweep() -> None:
    """What the workers' polls do in some minutes."""
    booking.book()
    for job in (retention, removal, talks, topics):
        job.sweep()


def tables() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
        yield from [name for (name,) in cursor.fetchall()]


def dump(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')
        return [row for (row,) in cursor.fetchall()]


def sown() -> set[str]:
    """Return the tables in which the canary stands."""
    return {table for table in tables() if any(CANARY in row for row in dump(table))}


def costs(world: World) -> dict[str, bytes]:
    """Return what every route about money answers, byte for byte."""
    carol = signed_in_as(world.team.carol)
    about = [one for one in walks.reading_routes() if re.search(r"/costs|/budgets|/ledger|/alerts", one)]
    assert len(about) > 8
    return {one: walks.call(carol, one, world).content for one in about}


def receipt(world: World) -> Any:
    """Return a run's receipt without titles, which a model may have written."""
    said = walks.call(signed_in_as(world.team.dana), "GET /runs/{run_id}/receipt", world).json()
    return {**said, "steps": [{**line, "title": ""} for line in said["steps"]]}


def test_nothing_of_what_old_runs_said_is_left_anywhere_but_where_the_guide_says(old: World) -> None:
    assert sown() >= {
        *("runs_run", "runs_step", "runs_call", "runs_artifact", "runs_inbox", "runs_boardentry", "runs_cacheentry"),
        *("runs_event", "runs_span", "runs_turn", "runs_summary", "runs_sentevent", "approvals_approval"),
        *("approvals_comment", "approvals_decisionrecord", "notices_notice", "notices_event"),
    }
    sweep()
    assert not Run.objects.exclude(content_removed_at=None).exists(), "nobody said that anything may go"
    keep(old)
    sweep()
    assert not Run.objects.filter(content_removed_at=None).exists()
    assert sown() == STAYS
    guide = (ROOT / "docs" / "guides" / "operator.md").read_text().partition("## How long content is kept")[2]
    assert all(f"`{table}`" in guide for table in STAYS)


def test_what_it_cost_and_what_was_decided_stays(old: World) -> None:
    booking.book()
    keep(old)
    retention.sweep()
    before, ledger, bill = costs(old), dump("runs_ledgerentry"), receipt(old)
    assert bill["steps"][0]["calls"] == 1
    kept = {"evals_rating", "accounts_auditentry", *(one for one in tables() if "day" in one or "spend" in one)}
    rows = {table: dump(table) for table in kept}
    decided = list(DecisionRecord.objects.order_by("pk").values_list("by", "decision", "reason", "payload_hash", "at"))
    asked = ("state", "action", "payload_hash", "decided_at", "roles", "request", "path")
    questions = list(Approval.objects.order_by("pk").values_list(*asked))
    removal.sweep()
    assert Run.objects.get(pk=old.here.run.pk).content_removed_at
    assert costs(old) == before
    assert dump("runs_ledgerentry") == ledger
    assert receipt(old) == bill
    assert {table: dump(table) for table in kept} == rows
    found = list(DecisionRecord.objects.order_by("pk").values_list("by", "decision", "reason", "payload_hash", "at"))
    assert found == decided
    assert list(Approval.objects.order_by("pk").values_list(*asked)) == questions
    step = Step.objects.get(run=old.here.run, path="write")
    assert (step.cost_micros, step.state, step.input, step.output, step.meta) == (400, "failed", None, None, None)
    assert step.error == {"class": "tool", "code": "gone", "message": removal.SAID}
    assert step.memo.keys() == {"reused_from"}


def test_a_newer_run_is_as_it_was(old: World) -> None:
    newer = old.here.trial
    Run.objects.filter(pk=newer.pk).update(finished_at=timezone.now() - dt.timedelta(days=30))
    booking.book()
    before = {table: [row for row in dump(table) if str(newer.pk) in row] for table in tables()}
    before.pop("accounts_auditentry")
    keep(old)
    for _ in range(2):
        sweep()
    after = {table: [row for row in dump(table) if str(newer.pk) in row] for table in before}
    before["runs_turn"] = before["runs_summary"] = []  # a session forgets by itself
    assert after == before
    assert len(before["runs_call"]) == 1


def test_every_route_and_page_of_such_a_run_answers(old: World) -> None:
    keep(old)
    sweep()
    ids = old.here.ids()
    for name in ("dana", "bob"):
        client = signed_in_as(old.person(name))
        for route in CALLS:
            with undone():
                assert walks.call(client, route, old).status_code < 500 or "/mcp" in route, route
        for pattern, page in PAGES.items():
            with undone():
                if page.reads:
                    answer = page_walks.open_page(client, pattern, ids, {"path": "write"})
                    assert answer.status_code < 500 or "readyz" in pattern, pattern
                if page.posts is not None:
                    assert page_walks.post_page(client, pattern, ids).status_code < 500, pattern


def test_the_pages_say_that_it_was_removed_and_the_rest_is_refused_by_name(old: World) -> None:
    keep(old)
    sweep()
    run, alice = old.here.run.pk, signed_in_as(old.team.alice)
    answered = old.here.answer
    said = "given and said was removed by retention"
    pages = [f"/runs/{run}/?view={tab}" for tab in ("canvas", "timeline", "steps", "log")]
    for page in (*pages, f"/runs/{run}/step/?path=write", f"/runs/{answered}/rate/", f"/runs/{answered}/case/"):
        assert said in alice.get(page).content.decode(), page
    assert said in signed_in_as(old.team.bob).get(f"/approvals/{old.here.rejected.pk}/").content.decode()
    assert f"/runs/{run}/fork/" not in alice.get(pages[0]).content.decode()
    assert alice.get(f"/api/v1/runs/{run}").json()["content_removed_at"]
    api = f"/api/v1/runs/{run}"
    body: dict[str, Any] = {"content_type": "application/json"}
    refused = [
        alice.post(f"{api}/fork", {"from_path": "write"}, **body),
        alice.get(f"{api}/artifacts/{old.here.artifact}"),
        alice.post(f"/api/v1/runs/{answered}/ratings", {"passed": True}, **body),
    ]
    for one in refused:
        assert (one.status_code, one.json()["code"]) == (410, "content_removed"), one.content
        assert "Start a new run" in one.json()["message"]
    Run.objects.filter(pk=run).update(state="succeeded")
    assert alice.get(f"/runs/{run}/fork/").status_code == 410
    form = {"dataset": "acme-cases", "name": "old"}
    assert alice.post(f"/runs/{run}/case/", form).status_code == 410
    assert alice.post(f"/approvals/{old.here.rejected.pk}/case/", form).status_code == 410


def test_an_evaluation_under_way_keeps_what_it_is_held_against(old: World) -> None:
    baseline = Evaluation.objects.get(pk=old.here.evaluation)
    Result.objects.filter(evaluation=baseline).update(run=old.here.answer, state="scored", score=1)
    Evaluation.objects.filter(pk=baseline.pk).update(state="finished")
    later = Evaluation.objects.get(pk=baseline.pk)
    later.pk, later.baseline, later.state = None, baseline, "running"
    later.save(force_insert=True)
    keep(old)
    sweep()
    left = Run.objects.filter(content_removed_at=None)
    assert [str(run.pk) for run in left] == [old.here.answer]
    Evaluation.objects.filter(pk=later.pk).update(state="finished")
    removal.sweep()
    assert not left.all().exists()


def test_an_open_question_keeps_its_run_and_all_above_and_below_it(old: World) -> None:
    child, parent = Run.objects.get(pk=old.here.run.pk), old.here.trial
    Run.objects.filter(pk=child.pk).update(parent=parent, parent_path="write", parent_count=1)
    asked = Approval.objects.filter(run=child).order_by("pk")[:1].get()
    with without_triggers():
        Approval.objects.filter(pk=asked.pk).update(state="open", decided_at=None)
    keep(old)
    sweep()
    assert set(Run.objects.filter(content_removed_at=None)) == {child, parent}
    Approval.objects.filter(pk=asked.pk).update(state="approved", decided_at=timezone.now())
    removal.sweep()
    assert not Run.objects.filter(content_removed_at=None).exists()


def test_a_change_of_the_setting_is_in_the_audit_log(old: World) -> None:
    keep(old, "90")
    keep(old, "90")
    keep(old, "ever")
    entries = AuditEntry.objects.filter(action="retention_changed").order_by("seq")
    assert [entry.data for entry in entries] == [
        {"what": "keep_content_days", "days": 90, "before": None},
        {"what": "keep_content_days", "days": None, "before": 90},
    ]
