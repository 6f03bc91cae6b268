"""GET /costs: sums that a manager can check against the ledger, in JSON and for a spreadsheet."""

import csv
import datetime as dt
import io
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from pipelines.models import Budget
from runs import costs
from runs.models import LedgerEntry, Run, Span
from tests.people import Team, a_team, bearer
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
NOVEMBER = {"from": "2026-11-01", "to": "2026-11-30"}


@pytest.fixture
def team() -> Team:
    return a_team()


def spent(run: Run, cost: int | None, at: dt.datetime = NOON, **fields: Any) -> None:
    number = Span.objects.count()
    common = {"span_id": f"{number:016d}", "name": "chat m", "start": at, "end": at, "model": "stub/m"}
    tokens = {"input_tokens": 10, "output_tokens": 5, "node": "write", "path": "write", "agent": "writer@1"}
    Span.objects.create(
        **{"run": run, "workspace": run.workspace, "pipeline": run.pipeline, **common, **tokens, **fields},
        cost_micros=cost,
    )


def lost(run: Run, amount: int, path: str = "write@1", at: dt.datetime = NOON) -> None:
    LedgerEntry.objects.create(
        run=run, kind="unconfirmed", path=path, call=f"{path}/9", model="stub/m", amount_micros=amount, at=at
    )
    Run.objects.filter(pk=run.pk).update(unconfirmed_micros=amount)


def ask(team: Team, by: Any = None, **query: str) -> Any:
    headers = bearer(by or team.carol, team.elsewhere if by == team.charlie else team.workspace)
    answer = Client().get(f"/api/v1/costs?{urlencode({**NOVEMBER, **query})}", headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.json() if query.get("format") != "csv" else answer


def by(answer: Any, *names: str, figure: str = "cost_usd") -> dict[Any, Any]:
    return {tuple(item[name] for name in names): item[figure] for item in answer["items"]}


def test_costs_are_grouped_by_whatever_is_asked(team: Team) -> None:
    one, other = a_run(team.workspace, tags=["eu", "big"]), a_run(team.workspace)
    spent(one, 300)
    spent(one, 200, model="stub/large", agent="editor@2", node="edit")
    spent(other, 1000, at=NOON + dt.timedelta(days=1))
    assert by(ask(team), "pipeline") == {("p2",): "0.001", ("p1",): "0.0005"}
    assert by(ask(team, group_by="agent"), "agent") == {("writer@1",): "0.0013", ("editor@2",): "0.0002"}
    assert by(ask(team, group_by="step"), "step") == {("write",): "0.0013", ("edit",): "0.0002"}
    found = ask(team, group_by="model,day")
    assert by(found, "model", "day") == {
        ("stub/m", "2026-11-20"): "0.0003",
        ("stub/large", "2026-11-20"): "0.0002",
        ("stub/m", "2026-11-21"): "0.001",
    }
    assert found["total"] == {
        "cost_usd": "0.0015", "unconfirmed_usd": "0", "input_tokens": 30, "output_tokens": 15, "calls": 3, "runs": 2,
        "unpriced_calls": 0,
    }  # fmt: skip
    assert [item["runs"] for item in ask(team, group_by="")["items"]] == [2], "one line: all of it"


def test_a_run_with_two_tags_counts_in_both_and_once_in_the_total(team: Team) -> None:
    spent(a_run(team.workspace, tags=["eu", "big"]), 300)
    spent(a_run(team.workspace), 50)
    found = ask(team, group_by="tag")
    assert by(found, "tag") == {("eu",): "0.0003", ("big",): "0.0003", (None,): "0.00005"}
    assert found["total"]["cost_usd"] == "0.00035"


def test_an_unknown_cost_stays_null_and_is_counted(team: Team) -> None:
    run, mixed = a_run(team.workspace), a_run(team.workspace)
    spent(run, None)
    spent(mixed, None)
    spent(mixed, 70)
    found = ask(team)
    assert by(found, "pipeline") == {("p1",): None, ("p2",): "0.00007"}
    assert by(found, "pipeline", figure="unpriced_calls") == {("p1",): 1, ("p2",): 1}
    assert found["total"]["cost_usd"] == "0.00007"
    assert found["total"]["unpriced_calls"] == 2


def test_a_call_that_failed_costs_nothing_and_is_not_called_unpriced(team: Team) -> None:
    run = a_run(team.workspace)
    spent(run, None, status="error")
    (item,) = ask(team)["items"]
    assert (item["cost_usd"], item["calls"], item["unpriced_calls"]) == ("0", 1, 0)


def test_what_lost_calls_may_have_cost_stands_beside_the_cost(team: Team) -> None:
    run = a_run(team.workspace, tags=["eu"])
    spent(run, 100, path="each[3].write")
    lost(run, 450, "each[3].write@2")
    for dimension, name in (("agent", "writer@1"), ("step", "write"), ("tag", "eu"), ("day", "2026-11-20")):
        assert by(ask(team, group_by=dimension), dimension, figure="unconfirmed_usd") == {(name,): "0.00045"}, dimension
    assert ask(team)["total"]["unconfirmed_usd"] == "0.00045"


def test_a_line_of_lost_calls_alone_is_there(team: Team) -> None:
    run = a_run(team.workspace)
    lost(run, 450)
    (item,) = ask(team)["items"]
    assert (item["cost_usd"], item["unconfirmed_usd"], item["runs"]) == ("0", "0.00045", 1)


def test_days_are_the_workspaces_and_the_last_one_is_included(team: Team) -> None:
    team.workspace.zone = "America/New_York"
    team.workspace.save(update_fields=["zone"])
    run = a_run(team.workspace)
    for hour, cost in ((4, 1), (6, 20), (28, 300), (30, 4000)):  # hours of the 20th in UTC; New York is 5 behind
        spent(run, cost, at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC) + dt.timedelta(hours=hour))
    day = {"from": "2026-11-20", "to": "2026-11-20", "group_by": "day"}
    assert by(ask(team, **day), "day") == {("2026-11-20",): "0.00032"}
    exact = {"from": "2026-11-20T06:00:00Z", "to": "2026-11-21T04:00:00Z", "group_by": "day"}
    assert ask(team, **exact)["total"]["cost_usd"] == "0.00002", "a moment is exact: `to` is not included"


def test_every_member_may_read_and_a_stranger_sees_nothing(team: Team) -> None:
    spent(a_run(team.workspace), 300)
    for name in ("alice", "bob", "carol", "dana", "erin"):
        assert ask(team, getattr(team, name))["total"]["cost_usd"] == "0.0003"
    assert ask(team, team.charlie)["items"] == []
    assert Client().get("/api/v1/costs").status_code == 401


@pytest.mark.parametrize(
    ("query", "code", "where"),
    [
        ({"group_by": "colour"}, "unknown_dimension", "/group_by"),
        ({"from": "yesterday"}, "bad_time", "/from"),
        ({"from": "0001-01-01"}, "bad_time", "/from"),
        ({"to": "9999-12-31"}, "bad_time", "/to"),
        ({"to": "2026-13-01"}, "bad_time", "/to"),
        ({"from": "2026-11-20T25:00"}, "bad_time", "/from"),
        ({"format": "xls"}, "invalid", "/format"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    team: Team, query: dict[str, str], code: str, where: str
) -> None:
    answer = Client().get(f"/api/v1/costs?{urlencode(query)}", headers=bearer(team.carol, team.workspace))
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["where"]) == (code, where)


def test_a_spreadsheet_gets_the_same_figures_and_no_formulas(team: Team) -> None:
    hostile = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", "eu"]
    run = a_run(team.workspace, tags=hostile)
    spent(run, 300)
    answer = ask(team, group_by="tag,model", format="csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    header, *rows, total = csv.reader(io.StringIO(answer.content.decode()))
    assert header[:3] == ["tag", "model", "cost_usd"]
    assert {row[0] for row in rows} == {f"'{tag}" for tag in hostile[:-1]} | {"eu"}
    assert {row[2] for row in rows} == {"0.0003"}
    assert total == ["total", "", "0.0003", "0", "10", "5", "1", "1", "0"]


def test_a_page_shows_what_was_spent_before_the_budgets_first_call(team: Team) -> None:
    run, other = a_run(team.workspace), a_run(team.workspace)
    now = dt.datetime.now(dt.UTC)
    spent(run, 300, at=now)
    spent(run, None, at=now, status="error")
    spent(other, 50, at=now)
    for pipeline in (run.pipeline, None):
        Budget.objects.create(workspace=team.workspace, pipeline=pipeline, period="month", max_cost_micros=1000)
    caps = {cap.name: cap.spent_micros for cap in costs.summary(team.workspace, now).caps}
    assert caps == {"Pipeline": 300, "Workspace": 350}
    assert costs.summary(team.workspace, now).month.unpriced == 0, "a call that failed is not one of unknown price"


def test_without_dates_it_is_this_month(team: Team) -> None:
    run = a_run(team.workspace)
    now = dt.datetime.now(dt.UTC)
    spent(run, 300, at=now - dt.timedelta(seconds=1))
    spent(run, 9000, at=now - dt.timedelta(days=32))
    answer = Client().get("/api/v1/costs", headers=bearer(team.carol, team.workspace)).json()
    assert answer["total"]["cost_usd"] == "0.0003"
