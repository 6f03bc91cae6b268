"""Alert rules look into the books by the database's clock, speak once in a period, and reach people and channels."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from accounts import secrets
from accounts.clock import database_now
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from notices import alerts, channels, measures
from notices.alerts import AlertFields
from notices.channels import ChannelFields
from notices.models import AlertFiring, AlertRule, Delivery, Notice
from notices.models import Event as Happened
from pipelines.models import Pipeline
from runs.models import Run, Span
from runs.spending import booking
from tests.notices.builders import alert, named, spread
from tests.people import Team, a_team, acting, signed_in_as
from tests.runs.builders import a_run

pytestmark = [pytest.mark.django_db, pytest.mark.one_day]


@pytest.fixture
def team() -> Team:
    return a_team()


def a_rule(team: Team, kind: str = "threshold", metric: str = "spend", limit: str = "5", **fields: Any) -> AlertRule:
    return alerts.put(acting(team.carol), AlertFields(fields.pop("name", "Too dear"), kind, metric, limit, **fields))


def spent(run: Run, micros: int | None, days_ago: int = 0) -> None:
    at = database_now() - dt.timedelta(days=days_ago)
    Span.objects.create(
        run=run, workspace=run.workspace, pipeline=run.pipeline, span_id=f"s{Span.objects.count()}", name="chat m",
        model="stub/m", start=at, end=at, cost_micros=micros, status="ok",
    )  # fmt: skip


def ended(run: Run, state: str, count: int, seconds: int = 1, days_ago: int = 0) -> None:
    at = database_now() - dt.timedelta(days=days_ago)
    for _ in range(count):
        Run.objects.create(
            workspace=run.workspace, pipeline=run.pipeline, version=run.version, number=1000 + Run.objects.count(),
            state=state, created_at=at, finished_at=at, machine_ms=seconds * 1000,
        )  # fmt: skip
    Run.objects.filter(state=state, machine_ms=seconds * 1000, finished_at=at).update(created_at=at)


def a_minute_passes() -> None:
    AlertRule.objects.update(checked_at=database_now() - dt.timedelta(seconds=61))


def said() -> list[str]:
    return list(AlertFiring.objects.order_by("id").values_list("said", flat=True))


def test_a_limit_on_spend_speaks_once_in_its_day_to_managers(team: Team) -> None:
    run = a_run(team.workspace)
    a_rule(team)
    spent(run, 5_000_000)
    alerts.look()
    assert said() == [], "not above it yet"
    spent(run, 250_000)
    alerts.look()
    assert said() == [], "its minute is not over"
    for _ in range(3):
        a_minute_passes()
        alerts.look()
    assert said() == ["$5.25 spent; the limit is $5."]
    spread()
    assert named("alert") == ["carol"]
    notice = Notice.objects.get(kind="alert")
    assert notice.subject == "Too dear: $5.25 spent"
    assert notice.data["place"] == "/costs/alerts/"
    assert Delivery.objects.filter(notice=notice).count() == 1, "at once by email, unless she wishes otherwise"


def test_a_new_day_or_a_changed_rule_may_speak_again(team: Team) -> None:
    run, rule = a_run(team.workspace), a_rule(team)
    spent(run, 9_000_000)
    alerts.look()
    AlertFiring.objects.update(period_start=dt.date(2020, 1, 1))
    a_minute_passes()
    alerts.look()
    assert len(said()) == 2
    rule.refresh_from_db()
    alerts.put(acting(team.carol), AlertFields("Too dear", "threshold", "spend", "8"), rule)
    alerts.look()
    assert said()[2:] == ["$9 spent; the limit is $8."]
    assert Happened.objects.filter(kind="alert").count() == 2, "of the first day there was none to tell anew"


def test_a_month_counts_from_its_first_and_a_pipeline_alone(team: Team) -> None:
    run, other = a_run(team.workspace), a_run(team.workspace)
    first = database_now().day
    a_rule(team, period="month", pipeline=run.pipeline.slug, limit="5")
    spent(other, 50_000_000)
    spent(run, 3_000_000)
    spent(run, 3_000_000, days_ago=first)
    alerts.look()
    assert said() == [], "the last month's is not this one's"
    spent(run, 3_000_000, days_ago=first - 1)
    a_minute_passes()
    alerts.look()
    assert said() == ["$6 spent; the limit is $5."]


def test_unknown_prices_are_no_spend(team: Team) -> None:
    run = a_run(team.workspace)
    spent(run, None)
    a_rule(team, limit="0.000001")
    alerts.look()
    assert said() == []
    assert measures.by_day("spend", measures.Scope(team.workspace), dt.date(2026, 1, 1)) == {}


def test_a_run_fails_on_the_day_on_which_it_ended_however_long_ago_it_began(team: Team) -> None:
    run = a_run(team.workspace)
    a_rule(team, metric="failures", limit="30", name="Fails")
    ended(run, "succeeded", 3)
    ended(run, "failed", 3)
    begun = database_now() - dt.timedelta(days=9)
    Run.objects.filter(state="failed").update(created_at=begun)
    alerts.look()
    assert said() == ["50% of 6 runs failed; the limit is 30%."]
    Run.objects.filter(state__in=("failed", "succeeded")).update(booked_at=database_now())
    day = database_now().date()
    assert measures.by_day("failures", measures.Scope(team.workspace), day) == {day: measures.Reading(5_000, 6)}


def test_two_who_change_a_rule_at_once_make_two_revisions_and_nobody_brings_a_removed_one_back(team: Team) -> None:
    rule = a_rule(team)
    stale = AlertRule.objects.get(pk=rule.pk)
    alerts.put(acting(team.carol), AlertFields("Too dear", "threshold", "spend", "6"), rule)
    changed = alerts.put(acting(team.carol), AlertFields("Too dear", "threshold", "spend", "7"), stale)
    assert (changed.revision, changed.limit) == (3, 7_000_000)
    alerts.remove(acting(team.carol), changed)
    with pytest.raises(NotFound):
        alerts.put(acting(team.carol), AlertFields("Too dear", "threshold", "spend", "8"), stale)
    with pytest.raises(NotFound):
        alerts.remove(acting(team.carol), stale)
    assert not AlertRule.objects.exists()


def test_failures_and_times_are_those_of_todays_own_runs(team: Team) -> None:
    run = a_run(team.workspace)
    a_rule(team, metric="failures", limit="30", name="Fails")
    a_rule(team, metric="latency", limit="60", name="Slow")
    ended(run, "failed", 2)
    ended(run, "succeeded", 2, seconds=90)
    alerts.look()
    assert said() == [], "four runs say nothing"
    ended(run, "succeeded", 3, seconds=91)
    a_minute_passes()
    alerts.look()
    assert sorted(said()) == ["95% of 5 runs took up to 91 s of machine time; the limit is 60 s."]
    ended(run, "failed", 1, seconds=2)
    a_minute_passes()
    alerts.look()
    assert "37.5% of 8 runs failed; the limit is 30%." in said()


@pytest.mark.parametrize("booked", [False, True])
def test_an_anomaly_compares_today_with_the_rules_own_history(team: Team, booked: bool) -> None:
    run = a_run(team.workspace, state="succeeded", finished_at=timezone.now())
    a_rule(team, "anomaly", limit="3")
    for day in range(1, 8):
        spent(run, 1_000_000, days_ago=day)
    if booked:
        booking.book()
    today = a_run(team.workspace)
    spent(today, 3_000_000)
    alerts.look()
    assert said() == []
    spent(today, 500_000)
    a_minute_passes()
    alerts.look()
    assert said() == ["$3.5 spent, usually $1: the median of 7 of the last 28 days."]


def test_a_pipeline_that_runs_every_day_is_missed_when_it_does_not(team: Team) -> None:
    run = a_run(team.workspace)
    Run.objects.filter(pk=run.pk).delete()
    noon = database_now().replace(hour=12, minute=0, second=0, microsecond=0)
    rule = a_rule(team, "silence", "", "", pipeline=run.pipeline.slug)
    rule = AlertRule.objects.select_related("workspace", "pipeline").get(pk=rule.pk)
    for day in range(1, 8):
        ended(run, "succeeded", 1, days_ago=day)
    Run.objects.update(created_at=noon)
    for day, one in enumerate(Run.objects.order_by("number"), start=1):
        Run.objects.filter(pk=one.pk).update(created_at=noon - dt.timedelta(days=day))
    assert alerts.judge(rule, noon + dt.timedelta(minutes=30)) is None, "an hour's grace"
    verdict = alerts.judge(rule, noon + dt.timedelta(minutes=61))
    assert verdict is not None
    assert verdict.said == "It had begun by this time on each of the last 7 days, and not today."
    late = Run.objects.order_by("number")[0]
    Run.objects.filter(pk=late.pk).update(created_at=noon - dt.timedelta(days=1) + dt.timedelta(hours=3))
    assert alerts.judge(rule, noon + dt.timedelta(minutes=61)) is None, "yesterday it began later than now"
    Run.objects.filter(pk=late.pk).update(created_at=noon + dt.timedelta(minutes=50))
    assert alerts.judge(rule, noon + dt.timedelta(minutes=61)) is None, "it runs"
    assert alerts.judge(rule, noon.replace(hour=0, minute=30)) is None
    Run.objects.filter(pk=late.pk).update(created_at=noon - dt.timedelta(days=1))
    assert alerts.judge(rule, noon + dt.timedelta(minutes=61)) is not None
    rule.pipeline.archived_at = noon  # type: ignore[union-attr]
    assert alerts.judge(rule, noon + dt.timedelta(minutes=61)) is None, "it was put away"


def test_the_alert_of_a_tags_budget_names_the_tag_and_leads_to_the_budgets(team: Team) -> None:
    run = a_run(team.workspace)
    told: dict[str, Any] = {
        "period": "month",
        "period_start": "2026-11-01",
        "at": 0.8,
        "spent_usd": "8",
        "cap_usd": "10",
    }
    alert(run, scope="tag", tag="research", **told)
    alert(run, scope="tag", tag="sales", **told)
    spread()
    assert named("budget_alert") == ["carol", "carol", "dana", "dana"]
    notices = Notice.objects.filter(kind="budget_alert", user=team.carol).order_by("subject")
    assert [one.subject for one in notices] == [
        "80% of the budget is used: tag research, November 2026",
        "80% of the budget is used: tag sales, November 2026",
    ]
    assert {one.data["place"] for one in notices} == {"/costs/budgets/"}


def test_whom_a_rule_names_is_told_and_the_channels_it_names_and_nobody_else(team: Team) -> None:
    run = a_run(team.workspace)
    secrets.put(team.workspace, "key", "a signing key")
    for name in ("ops", "quiet"):
        channels.create(acting(team.dana), ChannelFields(name, "webhook", "key", "http://127.0.0.1:9/hook"))
    a_rule(team, roles=("auditor",), people=(team.alice.email,), channels=("ops",))
    spent(run, 9_000_000)
    alerts.look()
    spread()
    assert named("alert") == ["alice", "erin"]
    assert [one.channel.name for one in Delivery.objects.exclude(channel=None)] == ["ops"]  # type: ignore[union-attr]


def test_a_rule_that_cannot_be_judged_keeps_no_other_from_its_look(team: Team, monkeypatch: Any) -> None:
    run = a_run(team.workspace)
    broken, _ = a_rule(team, name="Broken"), a_rule(team, name="Whole")
    AlertRule.objects.filter(pk=broken.pk).update(metric="nonsense")
    spent(run, 9_000_000)
    alerts.look()
    assert [one.rule.name for one in AlertFiring.objects.select_related("rule")] == ["Whole"]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"kind": "hunch"}, "/kind"),
        ({"metric": "mood"}, "/metric"),
        ({"limit": "much"}, "/limit"),
        ({"limit": "0"}, "/limit"),
        ({"limit": "-1"}, "/limit"),
        ({"metric": "failures", "limit": "100"}, "/limit"),
        ({"kind": "anomaly", "limit": "1"}, "/limit"),
        ({"kind": "anomaly", "limit": "101"}, "/limit"),
        ({"kind": "silence"}, "/pipeline"),
        ({"metric": "latency", "period": "month"}, "/period"),
        ({"period": "year"}, "/period"),
        ({"roles": ("boss",)}, "/roles"),
        ({"roles": ()}, "/roles"),
        ({"people": ("charlie@example.com",)}, "/people"),
        ({"channels": ("ghost",)}, "/channels"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 61}, "/name"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(team: Team, fields: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as refused:
        alerts.put(
            acting(team.carol),
            AlertFields(**{"name": "x", "kind": "threshold", "metric": "spend", "limit": "5", **fields}),
        )
    assert (refused.value.code, refused.value.where) == ("invalid_alert", where)
    assert not AlertRule.objects.exists()


def test_only_managers_set_rules_and_only_of_their_own_pipelines(team: Team) -> None:
    theirs = Pipeline.objects.create(workspace=team.elsewhere, slug="theirs", name="Theirs")
    for person in (team.alice, team.bob, team.erin):
        with pytest.raises(Forbidden):
            alerts.put(acting(person), AlertFields("x", "threshold", "spend", "5"))
    with pytest.raises(NotFound):
        a_rule(team, pipeline=theirs.slug)
    a_rule(team)
    with pytest.raises(Conflict):
        a_rule(team)


def test_a_rule_is_typed_read_and_found_again_as_typed(team: Team) -> None:
    carol = signed_in_as(team.carol)
    typed = {"name": "Slow", "kind": "threshold", "metric": "latency", "limit": "2.5", "role-manager": "on"}
    assert carol.post("/costs/alerts/+new/", {**typed, "people": "alice@example.com"}).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.limit, rule.roles, rule.people) == (2_500, ["manager"], ["alice@example.com"])
    page = carol.get(f"/costs/alerts/{rule.pk}/").content.decode()
    for shown in ('value="2.5"', 'value="Slow"', 'value="alice@example.com"'):
        assert shown in page
    said = signed_in_as(team.bob).get("/costs/alerts/").content.decode()
    assert "The time that 95% of runs stay under in a day above 2.5 s" in said
    assert "Tells managers, alice@example.com" in said
    assert "New alert" not in said
    refused = carol.post("/costs/alerts/+new/", {**typed, "name": "Slower", "limit": "fast"})
    assert refused.status_code == 422
    assert 'value="fast"' in refused.content.decode()
