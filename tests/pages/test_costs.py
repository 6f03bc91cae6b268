"""The figures of the costs page are the sums of the spans, in the workspace's days."""

import datetime as dt
import re
from html import unescape

from django.utils import timezone

from runs import costs, health
from runs.timeline import waterfall
from tests.pages.builders import World, a_model_call, a_run_of, a_step, an_event
from tests.people import signed_in_as


def test_tables_and_chart_add_up_to_the_total(world: World) -> None:
    for micros in (1, 412, 18_400, 1_000_003):
        a_model_call(world.run, micros)
    a_model_call(world.run, 7, agent="editor", model="openai/gpt-5-mini")
    summary = costs.summary(world.team.workspace, timezone.now())
    total = 1 + 412 + 18_400 + 1_000_003 + 7
    assert summary.today.micros == total
    for lines in (summary.pipelines, summary.agents, summary.models):
        assert sum(line.month.micros or 0 for line in lines) == total
    assert sum(summary.days.totals) == total


def test_an_unknown_price_is_not_zero(world: World) -> None:
    a_model_call(world.run, None, model="local/mix")
    summary = costs.summary(world.team.workspace, timezone.now())
    assert summary.today.micros is None
    assert summary.models[0].month.unpriced == 1
    a_model_call(world.run, 5)
    assert costs.summary(world.team.workspace, timezone.now()).today.micros == 5


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
    assert costs.summary(workspace, now).today.micros == 20


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
    assert len(line.segments) == health.SEGMENTS
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
