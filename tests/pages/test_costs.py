"""The figures of the costs page are the sums of the spans, in the workspace's days."""

import datetime as dt
import re
import zoneinfo
from html import escape, unescape

import pytest
from django.utils import timezone

from accounts.models import Workspace
from pipelines.models import Budget, Pipeline
from runs import costs, dashboards, glance, health
from runs.models import Run
from runs.spending import booking, filters
from runs.timeline import waterfall
from runs.views.costs import named_periods
from tests.pages.builders import World, a_model_call, a_run_of, a_step, an_event
from tests.people import signed_in_as

pytestmark = pytest.mark.one_day


def board_of(workspace: Workspace, now: dt.datetime | None = None, **given: str) -> dashboards.Board:
    now = now or timezone.now()
    today = now.astimezone(zoneinfo.ZoneInfo(workspace.zone)).date()
    return dashboards.board(workspace, filters.read({name: [value] for name, value in given.items()}, today), now)


@pytest.mark.parametrize(
    ("day", "last_days", "shown"), [(30, 30, "This month"), (7, 7, "This month"), (29, 30, "30 days"), (8, 5, None)]
)
def test_one_name_at_most_stands_for_the_days_that_are_shown(day: int, last_days: int, shown: str | None) -> None:
    today = dt.date(2026, 11, day)
    asked = filters.read({}, today).within(today - dt.timedelta(days=last_days - 1), today)
    assert [name for name, _, is_shown in named_periods(asked, today) if is_shown] == ([shown] if shown else [])


def test_tables_and_chart_add_up_to_the_total(world: World) -> None:
    for micros in (1, 412, 18_400, 1_000_003):
        a_model_call(world.run, micros)
    a_model_call(world.run, 7, agent="editor", model="openai/gpt-5-mini")
    total = 1 + 412 + 18_400 + 1_000_003 + 7
    for by in ("pipeline", "agent", "model", "step", "person", "trigger", "outcome"):
        board = board_of(world.team.workspace, by=by)
        assert board.today.cost == board.total.cost == total
        assert sum(row.spending.cost or 0 for row in board.rows) == total
        assert sum(board.stack.totals) == total
        assert sum(one.total for one in board.stack.drawn) == total


def test_an_unknown_price_is_not_zero(world: World) -> None:
    a_model_call(world.run, None, model="local/mix")
    board = board_of(world.team.workspace, by="model")
    assert board.today.cost is None
    assert board.rows[0].spending.unpriced == 1
    a_model_call(world.run, 5)
    assert board_of(world.team.workspace).today.cost == 5


def test_what_nobody_knows_the_price_of_is_said_to_be_unknown_wherever_it_stands(world: World) -> None:
    Run.objects.filter(pk=world.run.pk).update(state="succeeded", tags=["eu"])
    call = a_model_call(world.run, None, model="local/mix")
    board = board_of(world.team.workspace, by="model")
    assert (board.results.good, board.per_good, board.per_good_change) == (1, None, None)
    (row,) = board.rows
    assert (row.per_run, row.mover.now, row.mover.change, row.mover.percent) == (None, None, None, None)
    assert (board.change, dict(board.parts), board.movers) == (None, {}, [])
    browser = signed_in_as(world.team.carol)
    page = browser.get("/costs/?by=model").content.decode()
    good = re.search(r"Cost per successful run</h2>.*?<b>(.*?)</b>", page)
    assert good
    assert "unknown price" in good[1]
    assert "no price is known of the calls" in page
    assert '<span class="warn-t">unknown</span>' in page
    behind = browser.get(f"/costs/runs/?figure=cost&from={call.end.date()}").content.decode()
    assert re.search(r"<h2[^>]*>[^$]*unknown price[^$]*</h2>", behind)
    charged = browser.get("/costs/chargeback/").content.decode()
    assert "unknown price" in charged
    assert "$0" not in charged.split("<tbody>")[1]


def test_a_pipeline_named_workspace_is_not_taken_for_the_workspace(world: World) -> None:
    Pipeline.objects.filter(pk=world.pipeline.pk).update(name="Workspace")
    for period in ("day", "month"):
        Budget.objects.create(
            workspace=world.team.workspace, pipeline=world.pipeline, period=period, max_cost_micros=10_000
        )
    a_model_call(world.run, 9_000)
    board = board_of(world.team.workspace)
    assert [cap.name for cap in board.caps] == ["Workspace", "Workspace"]
    assert (board.month_cap, board.over_cap) == (None, 0)
    assert "daily budget" not in signed_in_as(world.team.carol).get("/costs/").content.decode()
    for period in ("day", "month"):
        Budget.objects.create(workspace=world.team.workspace, period=period, max_cost_micros=20_000)
    found = board_of(world.team.workspace).month_cap
    assert found
    assert found.max_micros == 20_000
    assert "daily budget" in signed_in_as(world.team.carol).get("/costs/").content.decode()


def checked(world: World, times: int, port: str = "pass") -> None:
    """Have a check say the same in so many runs, for 100 micro-dollars each time."""
    for _ in range(times):
        run = a_run_of(world.pipeline, world.team, state="succeeded", finished_at=timezone.now())
        now = timezone.now()
        a_step(run, "tone", "check", state="succeeded", port=port, started_at=now, finished_at=now)
        a_model_call(run, 100, path="tone", node="tone", agent="judge@1")


@pytest.mark.parametrize("is_booked", [False, True])
def test_a_check_that_said_the_same_twenty_times_is_told_with_what_it_cost(world: World, is_booked: bool) -> None:
    checked(world, dashboards.ALWAYS - 1)
    assert board_of(world.team.workspace).agreeing == []
    checked(world, 1)
    a_model_call(world.run, 7, path="research", node="research")
    if is_booked:
        booking.book()
    ((place, spending, href),) = board_of(world.team.workspace).agreeing
    assert (place.pipeline, place.node, place.ended) == (world.pipeline.slug, "tone", dashboards.ALWAYS)
    assert spending.cost == 100 * dashboards.ALWAYS
    browser = signed_in_as(world.team.carol)
    page = browser.get("/costs/").content.decode()
    assert "Checks that always agree" in page
    assert f'href="{escape(href)}" data-micros="{spending.cost}"' in page
    assert f'data-total="{spending.cost}"' in browser.get(href).content.decode()
    checked(world, 1, "again")
    assert board_of(world.team.workspace).agreeing == [], "it said another thing once"


def test_the_month_stands_beside_its_budget_with_what_is_left_and_where_it_leads(world: World) -> None:
    browser = signed_in_as(world.team.carol)
    assert "left of" not in browser.get("/costs/").content.decode()
    Budget.objects.create(workspace=world.team.workspace, period="month", max_cost_micros=10_000_000)
    a_model_call(world.run, 4_000_000)
    a_model_call(world.run, 9_000_000, end=timezone.now() - dt.timedelta(days=33))
    board = board_of(world.team.workspace)
    assert board.month_cap
    assert (board.month, board.month_cap.left_micros, board.is_of_month) == (4_000_000, 6_000_000, True)
    today = timezone.now().date()
    for address in ("/costs/", f"/costs/?from={today - dt.timedelta(days=60)}&to={today}"):
        page = browser.get(address).content.decode()
        stat = page.split(f'<h2 class="cap">{today:%B}</h2>')[1].split('<div class="stat">')[0]
        assert "40.0% of the cap spent" in stat
        assert "$6.00 left of $10.00 a month" in re.sub("<[^>]+>", "", stat)
        link = re.search(r'href="([^"]+)" data-micros="4000000"', stat)
        assert link
        assert 'data-total="4000000"' in browser.get(unescape(link[1])).content.decode()
    filtered = browser.get(f"/costs/?pipeline={world.pipeline.slug}").content.decode()
    assert "left of" not in filtered, "the budget is of all that is spent"


def test_another_workspaces_spend_is_not_counted(world: World) -> None:
    span = a_model_call(world.run, 500)
    span.workspace = world.team.elsewhere
    span.save()
    assert costs.today(world.team.workspace, timezone.now())[0].calls == 0


def test_a_day_ends_at_midnight_of_the_workspaces_zone(world: World) -> None:
    workspace = world.team.workspace
    workspace.zone = "Pacific/Auckland"  # UTC+13 in November
    now = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)  # 01:00 on the 21st there
    a_model_call(world.run, 10, end=now - dt.timedelta(hours=2))
    a_model_call(world.run, 20, end=now - dt.timedelta(minutes=30))
    assert board_of(workspace, now).today.cost == 20


def test_progress_counts_steps_and_says_what_is_going_on(world: World) -> None:
    line = health.one(world.run)
    assert (line.done, line.total) == (1, 3)
    assert line.segments == ["ok", "wait", ""]
    assert line.badge.word == "Needs you"


def test_many_steps_share_twelve_segments(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="running")
    for index in range(40):
        a_step(run, f"research[{index}].dig", "agent", state="failed" if index == 20 else "succeeded")
    line = health.one(run)
    assert len(line.segments) == glance.SEGMENTS
    assert "bad" in line.segments


def test_a_waterfall_draws_each_attempt_and_cuts_waiting_out(world: World) -> None:
    start = timezone.now() - dt.timedelta(minutes=10)
    run = a_run_of(world.pipeline, world.team, state="waiting", started_at=start)
    step = a_step(run, "research", "agent", state="succeeded", attempt=2)
    asks = a_step(run, "approve", "human", state="waiting", wait_reason="approval")
    for seconds, type in ((0, "step_started"), (5, "step_retrying"), (6, "step_started"), (60, "step_succeeded")):
        an_event(run, type, "research", at=start + dt.timedelta(seconds=seconds))
    an_event(run, "step_waiting", "approve", at=start + dt.timedelta(seconds=60), reason="approval")
    step.finished_at, step.started_at = start + dt.timedelta(seconds=60), start
    step.save()
    asks.started_at = start + dt.timedelta(seconds=60)
    asks.save()
    drawn = waterfall(run)
    assert [bar.css for bar in drawn.rows[0].bars] == ["w-bad", "w-ghost", "w-agent"]
    assert [bar.css for bar in drawn.rows[1].bars] == ["w-wait"]
    assert drawn.seconds > 590
    assert waterfall(run, with_waiting=False).seconds < 70


def test_the_page_leads_to_the_same_figures_as_csv(world: World) -> None:
    browser = signed_in_as(world.team.carol)
    link = re.search(r'href="(/api/v1/costs[^"]+)"', browser.get("/costs/").content.decode())
    assert link
    sheet = browser.get(unescape(link.group(1)))
    assert sheet.status_code == 200
    assert sheet["Content-Type"].startswith("text/csv")
