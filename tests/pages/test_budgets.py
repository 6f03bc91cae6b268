"""The pages of budgets: where each stands, who may change it, and why somebody did."""

import datetime as dt

import pytest
from django.utils import timezone

from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.models import Budget, BudgetChange
from runs.budgets import Standing, period_start, standings
from runs.models import BudgetCounter, Run, Span
from runs.views.budgets import burn_down
from tests.pages.builders import World
from tests.people import acting, signed_in_as

pytestmark = pytest.mark.django_db


def a_budget(world: World, cap: str = "50", **fields: str | bool) -> Budget:
    return budgets.put(acting(world.team.carol), BudgetFields("day", cap, **fields))  # type: ignore[arg-type]


def used(budget: Budget, spent: int, reserved: int = 0) -> BudgetCounter:
    return BudgetCounter.objects.create(
        budget=budget, period_start=period_start(budget), spent_micros=spent, reserved_micros=reserved
    )


def test_everybody_reads_where_budgets_stand_and_only_managers_are_offered_to_change_them(world: World) -> None:
    budget = a_budget(world, tag="research")
    used(budget, 30_000_000, 5_000_000)
    for person, may in ((world.team.alice, False), (world.team.bob, False), (world.team.carol, True)):
        page = signed_in_as(person).get("/costs/budgets/").content.decode()
        for said in ("Tag research", "$15.00", "60.0% of the cap spent, 10.0% reserved", "tag research/day"):
            assert said in page, said
        assert ("New budget" in page) is may
        form = signed_in_as(person).get(f"/costs/budgets/{budget.pk}/").content.decode()
        assert ("Remove the budget" in form) is may
    assert signed_in_as(world.team.charlie).get(f"/costs/budgets/{budget.pk}/").status_code == 404


def test_a_manager_raises_a_budget_with_a_reason_and_not_without(world: World) -> None:
    budget, carol = a_budget(world), signed_in_as(world.team.carol)
    place, typed = f"/costs/budgets/{budget.pk}/", {"max_cost_usd": "$75", "hard": "on", "on_exceed": "ask_human"}
    refused = carol.post(place, typed)
    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert 'value="$75"' in refused.content.decode()
    assert carol.post(place, {**typed, "reason": "The fair <b>opens</b>"}).status_code == 302
    budget.refresh_from_db()
    assert (budget.max_cost_micros, budget.on_exceed) == (75_000_000, "ask_human")
    page = signed_in_as(world.team.alice).get("/costs/budgets/").content.decode()
    assert "The fair &lt;b&gt;opens&lt;/b&gt;" in page


def test_a_budget_is_made_for_a_tag_a_pipeline_or_all(world: World) -> None:
    carol = signed_in_as(world.team.carol)
    common = {"period": "month", "max_cost_usd": "5", "hard": "on", "on_exceed": "stop"}
    scopes = (
        {"scope": "workspace"},
        {"scope": "pipeline", "pipeline": world.pipeline.slug},
        {"scope": "tag", "tag": "x"},
    )
    for scope in scopes:
        assert carol.post("/costs/budgets/+new/", {**common, **scope}).status_code == 302
    found = {budgets.target(one) for one in Budget.objects.select_related("pipeline")}
    assert found == {"workspace/month", f"pipeline {world.pipeline.slug}/month", "tag x/month"}
    for wrong in ({"scope": "pipeline"}, {"scope": "tag"}, {"scope": "workspace", "max_cost_usd": "-1"}):
        assert carol.post("/costs/budgets/+new/", {**common, **wrong}).status_code == 422


def test_more_is_allowed_for_this_period_alone(world: World) -> None:
    budget, carol = a_budget(world), signed_in_as(world.team.carol)
    place = f"/costs/budgets/{budget.pk}/allow/"
    assert carol.post(place, {"add_usd": "2", "reason": "Almost there"}).status_code == 409, "nothing is used yet"
    counter = used(budget, 49_000_000)
    for wrong, status in (({"add_usd": "2"}, 422), ({"add_usd": "-2", "reason": "x"}, 422)):
        assert carol.post(place, wrong).status_code == status
    assert signed_in_as(world.team.bob).post(place, {"add_usd": "2", "reason": "I like it"}).status_code == 403
    assert carol.post(place, {"add_usd": "2", "reason": "Almost there"}).status_code == 302
    counter.refresh_from_db()
    budget.refresh_from_db()
    assert (counter.extra_micros, budget.max_cost_micros) == (2_000_000, 50_000_000)
    done = BudgetChange.objects.latest("id")
    assert (done.act, done.cap_micros, done.reason, done.by) == ("allowed", 2_000_000, "Almost there", world.team.carol)
    page = carol.get("/costs/budgets/").content.decode()
    assert "allowed this day" in page
    assert "$52.00" in page


def test_a_budget_that_no_call_met_yet_stands_at_what_the_books_say(world: World) -> None:
    now, run = timezone.now(), world.run
    Run.objects.filter(pk=run.pk).update(tags=["research"])
    for n, (micros, tagged) in enumerate([(4_000_000, True), (3_000_000, False)]):
        mine = run if tagged else Run.objects.exclude(tags=["research"]).first() or run
        Span.objects.create(
            run=mine, workspace=run.workspace, pipeline=run.pipeline, span_id=f"s{n}", name="chat m", model="m",
            start=now, end=now, cost_micros=micros,
        )  # fmt: skip
    a_budget(world, tag="research")
    (one,) = standings(acting(world.team.alice), now)
    others = Span.objects.exclude(run__tags=["research"]).exists()
    assert one.spent == sum(
        s.cost_micros or 0 for s in Span.objects.filter(run__tags=["research"], model__isnull=False)
    )
    assert one.spent >= 4_000_000
    assert others or one.spent == 7_000_000


@pytest.mark.parametrize(
    ("by_day", "cap", "day"),
    [
        ([10, 10], 100, 10),
        ([10, 10], 300, 30),
        ([10, 10], 301, None),
        ([0, 0], 100, None),
        ([60, 60], 100, None),
        ([50, 50], 100, None),
        ([50, 49], 100, 3),
    ],
)
def test_the_day_on_which_a_month_is_used_up_follows_from_the_mean_of_its_days(
    by_day: list[int], cap: int, day: int | None
) -> None:
    one = Standing(Budget(max_cost_micros=cap), "x", dt.date(2026, 11, 1), 0, sum(by_day), 0, by_day, 30)
    assert one.used_up_on == (dt.date(2026, 11, day) if day else None)


def test_the_line_of_a_month_falls_from_the_cap_and_never_below_nothing() -> None:
    one = Standing(Budget(max_cost_micros=100), "x", dt.date(2026, 11, 1), 0, 150, 0, [50, 100], 30)
    line = burn_down(one)
    assert line is not None
    assert line.points == "0.0,0.0 4.4,17.0 8.8,34.0"


def test_a_budget_that_is_overdrawn_says_by_how_much(world: World) -> None:
    used(a_budget(world), 53_500_000)
    page = signed_in_as(world.team.carol).get("/costs/budgets/").content.decode()
    assert "$3.50</span> over" in page
    assert "$0.00</span> left" not in page
