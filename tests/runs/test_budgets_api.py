"""Where budgets stand, and more for a period alone, over the API: as on the page, with a reason, in the audit log."""

from importlib import import_module
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.errors import Invalid, NotFound
from accounts.models import AuditEntry
from accounts.roles import Scope
from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.models import Budget, BudgetChange
from runs.budgets import allow_more, period_start
from runs.models import BudgetCounter
from tests.pages.builders import a_model_call
from tests.people import Team, a_team, acting, bearer
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db
MORE = {"add_usd": "2", "reason": "The  fair is this week"}


@pytest.fixture
def team() -> Team:
    return a_team()


def a_budget(team: Team, period: str = "day", cap: str = "50", **fields: Any) -> Budget:
    return budgets.put(acting(team.carol), BudgetFields(period, cap, **fields))


def used(budget: Budget, spent: int, held: int = 0) -> BudgetCounter:
    return BudgetCounter.objects.create(
        budget=budget, period_start=period_start(budget), spent_micros=spent, reserved_micros=held
    )


def standings(team: Team, person: Any = None) -> list[dict[str, Any]]:
    headers = bearer(person or team.alice, team.elsewhere if person == team.charlie else team.workspace)
    answer = Client().get("/api/v1/costs/budgets", headers=headers)
    assert answer.status_code == 200, answer.content
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def allow(team: Team, budget: Budget, body: dict[str, Any], person: Any = None, *scopes: Scope) -> Any:
    person = person or team.carol
    headers = bearer(person, team.elsewhere if person == team.charlie else team.workspace, *scopes)
    address = f"/api/v1/budgets/{budget.pk}/allow"
    return Client().post(address, body, content_type="application/json", headers=headers)


def test_every_member_reads_what_is_spent_held_and_left_and_a_stranger_nothing(team: Team) -> None:
    used(a_budget(team, tag="research", on_exceed="ask_human"), 30_000_000, 5_000_000)
    for person in (team.alice, team.bob, team.carol, team.erin):
        (one,) = standings(team, person)
        assert {name: one[name] for name in ("spent_usd", "held_usd", "left_usd", "allowed_usd", "max_cost_usd")} == {
            "spent_usd": "30",
            "held_usd": "5",
            "left_usd": "15",
            "allowed_usd": "0",
            "max_cost_usd": "50",
        }
        assert (one["name"], one["scope"], one["tag"], one["period"]) == ("Tag research", "tag", "research", "day")
        assert (one["hard"], one["on_exceed"], one["used_up_on"]) == (True, "ask_human", None)
    assert standings(team, team.charlie) == []
    assert Client().get("/api/v1/costs/budgets").status_code == 401


def test_a_budget_that_no_call_met_yet_stands_at_what_the_books_say(team: Team) -> None:
    a_budget(team, "month")
    a_model_call(a_run(team.workspace), 4_000_000)
    assert [(one["spent_usd"], one["left_usd"]) for one in standings(team)] == [("4", "46")]


def test_a_manager_allows_more_for_this_period_alone_with_a_reason_that_is_kept(team: Team) -> None:
    budget = a_budget(team)
    counter = used(budget, 49_000_000)
    answer = allow(team, budget, MORE)
    assert answer.status_code == 200, answer.content
    assert answer.json() == standings(team)[0]
    assert (answer.json()["allowed_usd"], answer.json()["left_usd"]) == ("2", "3")
    counter.refresh_from_db()
    budget.refresh_from_db()
    assert (counter.extra_micros, budget.max_cost_micros) == (2_000_000, 50_000_000)
    done, entry = BudgetChange.objects.latest("id"), AuditEntry.objects.get(action="budget.allowed")
    assert (done.act, done.cap_micros, done.reason, done.by) == (
        "allowed",
        2_000_000,
        "The fair is this week",
        team.carol,
    )
    assert entry.target == "workspace/day"
    assert entry.data == {
        "add_usd": "2", "period_start": timezone.now().date().isoformat(), "reason": "The fair is this week"
    }  # fmt: skip


def test_who_may_not_manage_allows_nothing(team: Team) -> None:
    budget = a_budget(team)
    counter = used(budget, 1)
    for person, status in ((team.alice, 403), (team.bob, 403), (team.erin, 403), (team.charlie, 404)):
        assert allow(team, budget, MORE, person).status_code == status
    assert allow(team, budget, MORE, team.carol, Scope.READ).status_code == 403
    assert Client().post(f"/api/v1/budgets/{budget.pk}/allow", MORE, content_type="application/json").status_code == 401
    counter.refresh_from_db()
    assert counter.extra_micros == 0
    assert not BudgetChange.objects.filter(act="allowed").exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"add_usd": "2", "reason": "  "}, 422, "reason_needed"),
        ({"add_usd": "-2", "reason": "x"}, 422, "invalid"),
        ({"add_usd": "much", "reason": "x"}, 422, "invalid"),
        ({"add_usd": "2"}, 422, "invalid"),
        ({"add_usd": "9" * 20, "reason": "x"}, 422, "invalid"),
    ],
)
def test_what_cannot_be_allowed_is_refused_by_name(team: Team, body: dict[str, str], status: int, code: str) -> None:
    budget = a_budget(team)
    counter = used(budget, 1)
    answer = allow(team, budget, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    counter.refresh_from_db()
    assert counter.extra_micros == 0


def test_a_period_that_nothing_was_spent_in_has_nothing_to_add_to(team: Team) -> None:
    answer = allow(team, a_budget(team), MORE)
    assert (answer.status_code, answer.json()["code"]) == (409, "budget_unused")
    absent = Client().post(
        "/api/v1/budgets/nonsense/allow",
        MORE,
        content_type="application/json",
        headers=bearer(team.carol, team.workspace),
    )
    assert absent.status_code == 404


def test_a_budget_that_is_removed_while_more_is_allowed_is_not_there(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = a_budget(team)
    used(budget, 1)

    def allowed_then_removed(*given: Any) -> None:
        allow_more(*given)
        budgets.remove(acting(team.carol), Budget.objects.get(pk=budget.pk), "Not needed")

    monkeypatch.setattr(import_module("runs.api.budgets"), "allow_more", allowed_then_removed)
    answer = allow(team, budget, MORE)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_cap_that_became_hard_meanwhile_is_not_removed_without_a_reason(team: Team) -> None:
    read_before = a_budget(team, hard=False)
    a_budget(team, cap="20", hard=True)
    with pytest.raises(Invalid) as refusal:
        budgets.remove(acting(team.carol), read_before)
    assert refusal.value.code == "reason_needed"
    assert Budget.objects.get().hard


def test_the_history_of_a_removed_cap_says_what_it_was_when_it_went(team: Team) -> None:
    read_before = a_budget(team)
    a_budget(team, cap="20")
    budgets.remove(acting(team.carol), read_before, "The fair is over")
    assert BudgetChange.objects.order_by("-id")[0].was_micros == 20_000_000


def test_a_cap_is_removed_once(team: Team) -> None:
    read_before = a_budget(team)
    budgets.remove(acting(team.carol), Budget.objects.get(), "The fair is over")
    with pytest.raises(NotFound):
        budgets.remove(acting(team.carol), read_before, "The fair is over")
    assert BudgetChange.objects.filter(act="removed").count() == 1
