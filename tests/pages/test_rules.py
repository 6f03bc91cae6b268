"""The pages of approval rules, calendars and absences, and what a question says of them."""

from typing import Any

import pytest

from approvals import services
from approvals.models import Absence, Calendar, Rule
from tests.approvals.builders import a_rule, an_approval, approve, away
from tests.pages.builders import World
from tests.people import acting, signed_in_as

pytestmark = pytest.mark.django_db
TYPED = {
    "name": "Large payments",
    "approvals": "2",
    "effect": "irreversible",
    "amount_least": "1000",
    "amount_in": "/amount",
    "manager-0": "on",
    "hours-0": "1.5",
    "people-1": "bob@example.com, carol@example.com",
    "half": "on",
    "before": "1, 0.5",
}


def test_a_manager_types_a_rule_and_finds_it_again_as_typed(world: World) -> None:
    carol = signed_in_as(world.team.carol)
    assert carol.post("/approvals/rules/+new/", TYPED).status_code == 302
    rule = Rule.objects.get()
    levels = [("within", 5_400), ("within", None)]
    assert [(name, level[name]) for (name, _), level in zip(levels, rule.levels, strict=True)] == levels
    assert (rule.least, rule.remind_half, rule.remind_before) == (2, True, [3_600, 1_800])
    page = carol.get(f"/approvals/rules/{rule.pk}/").content.decode()
    for said in ('value="Large payments"', 'value="1.5"', 'value="1, 0.5"', "bob@example.com, carol@example.com"):
        assert said in page
    said = carol.get("/approvals/rules/").content.decode()
    assert "2 approvals by managers, within 90 minutes" in said
    assert "then also bob@example.com and carol@example.com" in said


@pytest.mark.parametrize("wrong", [{"hours-0": "soon"}, {"approvals": "many"}, {"amount_in": ""}, {"name": ""}])
def test_a_rule_that_cannot_be_saved_is_shown_as_typed(world: World, wrong: dict[str, str]) -> None:
    answer = signed_in_as(world.team.carol).post("/approvals/rules/+new/", {**TYPED, **wrong})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert 'value="1000"' in answer.content.decode()
    assert not Rule.objects.exists()


def test_a_stranger_reaches_no_rule_calendar_or_absence(world: World) -> None:
    charlie, team = signed_in_as(world.team.charlie), world.team
    rule, absence = a_rule(team.workspace), away(team.carol, team.bob, team.workspace)
    Calendar.objects.create(workspace=team.workspace, name="Office", zone="UTC", week={"mon": [["09:00", "17:00"]]})
    for path in (f"rules/{rule.pk}/", "calendars/Office/"):
        assert charlie.get(f"/approvals/{path}").status_code == 404
    for path in (f"rules/{rule.pk}/remove/", "calendars/Office/remove/", f"away/{absence.pk}/end/"):
        assert charlie.post(f"/approvals/{path}").status_code == 404
    assert (Rule.objects.count(), Calendar.objects.count(), Absence.objects.count()) == (1, 1, 1)
    assert rule.name not in charlie.get("/approvals/rules/").content.decode()
    assert "Carol" not in charlie.get("/approvals/away/").content.decode()


def test_a_calendar_is_typed_in_hours_and_kept_while_a_rule_counts_by_it(world: World) -> None:
    carol = signed_in_as(world.team.carol)
    typed = {"name": "Office", "zone": "Europe/Berlin", "mon": "09:00-12:00, 13:00–17:00", "holidays": "2026-12-25"}
    assert carol.post("/approvals/calendars/+new/", typed).status_code == 302
    made = Calendar.objects.get()
    assert (made.week, made.holidays) == ({"mon": [["09:00", "12:00"], ["13:00", "17:00"]]}, ["2026-12-25"])
    assert carol.post("/approvals/calendars/+new/", {**typed, "name": "No", "mon": ""}).status_code == 422
    a_rule(world.team.workspace, calendar=made)
    answer = carol.post("/approvals/calendars/Office/remove/")
    assert answer.status_code == 409
    assert "counts by it" in answer.content.decode()


def test_an_absence_is_days_of_the_persons_own_zone(world: World) -> None:
    carol = world.team.carol
    carol.zone = "Asia/Tokyo"
    carol.save()
    typed = {"first": "2030-07-01", "last": "2030-07-01", "delegate": "bob@example.com"}
    assert signed_in_as(carol).post("/approvals/away/", typed).status_code == 302
    made = Absence.objects.get()
    assert (made.starts_at.isoformat(), made.ends_at.isoformat()) == (
        "2030-06-30T15:00:00+00:00",
        "2030-07-01T15:00:00+00:00",
    )


def test_a_question_says_whose_approvals_it_takes_and_who_stood_in(world: World) -> None:
    team = world.team
    a_rule(team.workspace, {"roles": ["manager"]}, name="Four eyes more", least=2)
    away(team.carol, team.bob, team.workspace)
    approval = an_approval(world.run)
    bob = signed_in_as(team.bob)
    page = _page(bob, approval)
    assert "Four eyes more" in page
    assert "0 of 2" in page
    services.decide(acting(team.bob), approval.pk, approve(approval))
    page = _page(bob, approval)
    assert "1 of 2" in page
    assert "in place of Carol" in page
    assert "more people are needed" in page


def test_a_manager_whom_a_rule_asks_is_offered_the_buttons(world: World) -> None:
    a_rule(world.team.workspace)
    assert 'value="approve"' in _page(signed_in_as(world.team.carol), an_approval(world.run))


def _page(browser: Any, approval: Any) -> str:
    text: str = browser.get(f"/approvals/{approval.pk}/").content.decode()
    return text
