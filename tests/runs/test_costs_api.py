"""GET /costs: sums that a manager can check against the ledger, in JSON and for a spreadsheet."""

import csv
import datetime as dt
import io
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from pipelines.graph.money import micros
from pipelines.models import Budget
from runs import costs
from runs.models import LedgerEntry, Run, Span
from tests.people import Team, a_team, bearer
from tests.runs.builders import a_run

pytestmark = [pytest.mark.django_db, pytest.mark.one_day]
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


def test_a_successful_run_costs_what_was_spent_on_all_of_them(team: Team) -> None:
    for state, cost in (("succeeded", 2_000), ("succeeded", 1_000), ("failed", 3_000)):
        run = a_run(team.workspace)
        Run.objects.filter(pk=run.pk).update(state=state, created_at=NOON, cost_micros=cost)
        spent(run, cost)
    (results,) = table(team, "results")
    assert (results["cost_usd"], results["per_successful_run_usd"]) == ("0.006", "0.003")


def test_no_table_says_that_an_unknown_price_is_nothing(team: Team) -> None:
    run, before = a_run(team.workspace, tags=["eu"]), a_run(team.workspace)
    Run.objects.filter(pk=run.pk).update(state="succeeded", created_at=NOON)
    spent(run, None)
    spent(before, 70, at=NOON - dt.timedelta(days=30))
    for read, unknown in ((table, None), (sheet, "")):
        moved = {row["pipeline"]: row for row in read(team, "movers")}
        assert (moved["p1"]["cost_usd"], moved["p1"]["change_usd"]) == (unknown, unknown)
        assert (moved["p2"]["cost_usd"], moved["p2"]["change_usd"]) == ("0", "-0.00007")
        assert {row["change_usd"] for row in read(team, "rise")} == {unknown}
        assert [(row["tag"], row["charged_usd"]) for row in read(team, "chargeback")] == [("eu", unknown)]
        assert [row["cost_usd"] for row in read(team, "runs")] == [unknown]
        (results,) = read(team, "results")
        assert (results["cost_usd"], results["per_successful_run_usd"]) == (unknown, unknown)


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
    header, *rows, total = csv.reader(io.StringIO(answer.getvalue().decode()))
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
    caps = {cap.name: cap.spent_micros for cap in costs.caps(team.workspace, costs.Period.around(team.workspace, now))}
    assert caps == {"Pipeline": 300, "Workspace": 350}
    assert costs.since(team.workspace, now - dt.timedelta(days=1)).unpriced == 0, (
        "a call that failed is not one of unknown price"
    )


def test_without_dates_it_is_this_month(team: Team) -> None:
    run = a_run(team.workspace)
    now = dt.datetime.now(dt.UTC)
    spent(run, 300, at=now - dt.timedelta(seconds=1))
    spent(run, 9000, at=now - dt.timedelta(days=32))
    answer = Client().get("/api/v1/costs", headers=bearer(team.carol, team.workspace)).json()
    assert answer["total"]["cost_usd"] == "0.0003"


def a_mixed_month(team: Team) -> list[Run]:
    """Return runs that retried, repaired, failed, were lost, kept results and were shared between two tags."""
    runs = [a_run(team.workspace, tags=tags) for tags in (["eu", "big"], ["eu"], [])]
    for number, run in enumerate(runs):
        spent(run, 1_001 * (number + 1))
        spent(run, 37, again="retry", model="stub/large")
        spent(run, 11, again="repair")
        spent(run, None, status="error")
        lost(run, 450)
    Run.objects.filter(pk=runs[1].pk).update(state="failed")
    return runs


TOTAL = 1_001 + 2_002 + 3_003 + 3 * (37 + 11)


def table(team: Team, name: str, **query: str) -> Any:
    address = f"/api/v1/costs/{name}?{urlencode({**NOVEMBER, **query})}"
    answer = Client().get(address, headers=bearer(team.carol, team.workspace))
    assert answer.status_code == 200, answer.content
    return answer.json()["items"]


def sheet(team: Team, name: str, **query: str) -> list[dict[str, str]]:
    address = f"/api/v1/costs/{name}?{urlencode({**NOVEMBER, **query, 'format': 'csv'})}"
    answer = Client().get(address, headers=bearer(team.carol, team.workspace))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def summed(rows: Any, column: str) -> int:
    return sum(micros(row[column]) for row in rows)


def test_every_table_sums_to_what_was_spent_in_json_and_in_a_sheet(team: Team) -> None:
    a_mixed_month(team)
    for read in (table, sheet):
        assert summed(read(team, "chargeback"), "charged_usd") == TOTAL
        assert summed(read(team, "movers", by="model"), "cost_usd") == TOTAL
        assert summed(read(team, "runs"), "cost_usd") == TOTAL
        assert summed(read(team, "runs", figure="unconfirmed"), "unconfirmed_usd") == 3 * 450
        assert summed(read(team, "runs", figure="retried"), "retried_usd") == 3 * 37
        assert summed(read(team, "waste"), "cost_usd") == 3 * (37 + 11) + 2_002
        assert summed(read(team, "rise"), "change_usd") == summed(read(team, "reasons"), "change_usd") == TOTAL
        (results,) = read(team, "results")
        assert micros(results["cost_usd"]) == TOTAL
    assert summed(table(team, "runs", tag="big"), "cost_usd") == 1_001 + 37 + 11
    charged: dict[str | None, int] = {}
    for row in table(team, "chargeback"):
        charged[row["tag"]] = charged.get(row["tag"], 0) + micros(row["charged_usd"])
    assert charged == {"big": 525, "eu": 524 + 2_002 + 48, None: 3_003 + 48}
    assert ask(team, tag="big")["total"]["cost_usd"] == "0.001049"


def test_a_sheet_has_negative_amounts_as_numbers_and_no_formulas(team: Team) -> None:
    spent(a_run(team.workspace, tags=["=1+1"]), 500, at=NOON - dt.timedelta(days=30))
    (row,) = sheet(team, "movers", by="tag")
    assert (row["tag"], row["change_usd"]) == ("'=1+1", "-0.0005")


def test_a_table_of_many_runs_is_read_in_one_go(team: Team, django_assert_max_num_queries: Any) -> None:
    first = a_run(team.workspace)
    numbers = range(1_000, 1_250)
    of = {"workspace": team.workspace, "pipeline": first.pipeline, "version": first.version}
    for run in Run.objects.bulk_create([Run(number=number, **of) for number in numbers]):
        spent(run, 10)
    with django_assert_max_num_queries(15):
        rows = table(team, "runs")
    assert (len(rows), summed(rows, "cost_usd")) == (250, 2_500)


def test_no_cell_of_any_sheet_is_a_formula_however_it_is_dressed(team: Team) -> None:
    """Some programs look past leading spaces; some take a line's end for the start of a cell."""
    hostile = [" =1+1", "\n=1+1"]
    spent(a_run(team.workspace, tags=hostile), 300)
    answer = ask(team, group_by="tag", format="csv")
    rows = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert {row[0] for row in rows[1:-1]} == {f"'{tag}" for tag in hostile}
    assert rows[-1][0] == "total"


@pytest.mark.parametrize("name", ["movers", "runs", "latency"])
def test_a_table_refuses_what_it_does_not_know(team: Team, name: str) -> None:
    for query, code in (({"colour": "red"}, "unknown_filter"), ({"from": "x"}, "bad_time")):
        address = f"/api/v1/costs/{name}?{urlencode(query)}"
        answer = Client().get(address, headers=bearer(team.carol, team.workspace))
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    answer = Client().get("/api/v1/costs/runs?figure=colour", headers=bearer(team.carol, team.workspace))
    assert answer.json()["code"] == "unknown_figure"


def test_an_address_may_name_its_workspace(team: Team) -> None:
    spent(a_run(team.workspace), 300)
    address = f"/api/v1/costs/chargeback?{urlencode({**NOVEMBER, 'workspace': team.workspace.slug})}"
    assert (
        summed(Client().get(address, headers=bearer(team.carol, team.workspace)).json()["items"], "charged_usd") == 300
    )
