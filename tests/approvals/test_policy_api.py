"""Rules, calendars and absences over the API: who may say them, what they may say, and that each change is audited."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, Membership, User
from accounts.roles import Role
from approvals.models import Absence, Calendar, Rule
from tests.approvals.builders import Desk, a_desk, an_approval, away
from tests.people import a_member, signed_in_as

pytestmark = pytest.mark.django_db
MANAGER: dict[str, Any] = {"roles": ["manager"]}


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def send(user: User, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    client: Client = signed_in_as(user)
    answer = client.generic(method, f"/api/v1{path}", json.dumps(body or {}), "application/json")
    return answer.status_code, json.loads(answer.content or b"null")


def a_body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Large payments",
        "levels": [{**MANAGER, "within": "PT4H"}, {"people": ["bob@example.com"]}],
        **changes,
    }


def days(first: int, last: int) -> dict[str, str]:
    now = timezone.now()
    return {"starts_at": (now + timedelta(first)).isoformat(), "ends_at": (now + timedelta(last)).isoformat()}


def test_a_manager_sets_changes_and_removes_a_rule_and_the_audit_log_says_so(desk: Desk) -> None:
    carol = desk.team.carol
    asked = a_body(
        amount_in="/json/amount", amount_least="1000.5", approvals=2, effect="irreversible", remind=["PT30M"]
    )
    status, made = send(carol, "POST", "/approval-rules", asked)
    assert (status, made["amount_least"], made["approvals"], made["remind"]) == (201, "1000.5", 2, ["PT1800S"])
    assert send(carol, "GET", "/approval-rules")[1]["items"] == [made]
    assert an_approval(desk.run).rules[0]["amount_least"] == "1000.500000"
    known = {name: value for name, value in made.items() if name != "id"}
    assert send(carol, "PUT", f"/approval-rules/{made['id']}", known) == (200, made)
    assert send(carol, "DELETE", f"/approval-rules/{made['id']}")[0] == 204
    acts = ["approval_rule.set", "approval_rule.set", "approval_rule.removed"]
    assert list(AuditEntry.objects.order_by("seq").values_list("action", flat=True)) == acts
    assert not Rule.objects.exists()


@pytest.mark.parametrize("name", ["alice", "bob", "erin"])
def test_others_change_no_rule(desk: Desk, name: str) -> None:
    assert send(getattr(desk.team, name), "POST", "/approval-rules", a_body())[1]["code"] == "forbidden"
    assert not Rule.objects.exists()


def test_a_stranger_finds_no_rule_and_borrows_no_pipeline_or_calendar(desk: Desk) -> None:
    _, made = send(desk.team.carol, "POST", "/approval-rules", a_body())
    calendar = {"name": "Office", "zone": "UTC", "week": {"mon": [["09:00", "17:00"]]}}
    assert send(desk.team.carol, "POST", "/calendars", calendar)[0] == 201
    charlie = desk.team.charlie
    assert send(charlie, "PUT", f"/approval-rules/{made['id']}", a_body())[0] == 404
    assert send(charlie, "DELETE", f"/approval-rules/{made['id']}")[0] == 404
    for borrowed in ({"pipeline": desk.run.pipeline.slug}, {"calendar": "Office"}):
        body = {"name": "Mine", "levels": [MANAGER], **borrowed}
        assert send(charlie, "POST", "/approval-rules", body)[0] == 404
    assert send(charlie, "GET", "/approval-rules")[1]["items"] == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"name": " "}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"levels": []}, "/levels"),
        ({"levels": [{}]}, "/levels/0"),
        ({"levels": [{"roles": ["admin"]}]}, "/levels/0/roles"),
        ({"levels": [{"roles": ["composer"]}]}, "/levels/0/roles"),
        ({"levels": [{"people": ["alice@example.com"]}]}, "/levels/0/people"),
        ({"levels": [{"people": ["charlie@example.com"]}]}, "/levels/0/people"),
        ({"levels": [{"people": ["bob@example.com"]}], "approvals": 2}, "/approvals"),
        ({"levels": [MANAGER, MANAGER]}, "/levels/0/within"),
        ({"levels": [{**MANAGER, "within": "P1Y"}]}, "/levels/0/within"),
        ({"levels": [{**MANAGER, "within": "PT1S"}]}, "/levels/0/within"),
        ({"levels": [{**MANAGER, "within": "P91D"}]}, "/levels/0/within"),
        ({"levels": [{**MANAGER, "within": "PT1H"}] * 6}, "/levels"),
        ({"approvals": 0}, "/approvals"),
        ({"approvals": 21}, "/approvals"),
        ({"effect": "none"}, "/effect"),
        ({"amount_least": "1000"}, "/amount_in"),
        ({"amount_least": "much", "amount_in": "/amount"}, "/amount_least"),
        ({"amount_least": "NaN", "amount_in": "/amount"}, "/amount_least"),
        ({"amount_least": "-1", "amount_in": "/amount"}, "/amount_least"),
        ({"amount_least": "1", "amount_in": "amount"}, "/amount_in"),
        ({"amount_least": "1", "amount_in": "/a~2"}, "/amount_in"),
        ({"remind": ["soon"]}, "/remind/0"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_at_its_place(desk: Desk, changes: dict[str, Any], where: str) -> None:
    status, found = send(desk.team.carol, "POST", "/approval-rules", a_body(**changes))
    assert (status, found["code"], found["where"]) == (422, "invalid_rule", where)
    assert not Rule.objects.exists()


def test_a_name_is_given_once_in_a_workspace(desk: Desk) -> None:
    assert send(desk.team.carol, "POST", "/approval-rules", a_body())[0] == 201
    assert send(desk.team.dana, "POST", "/approval-rules", a_body())[1]["code"] == "name_taken"


def test_a_calendar_in_use_stays_and_an_empty_one_is_refused(desk: Desk) -> None:
    carol = desk.team.carol
    office = {"name": "Office", "zone": "Europe/Berlin", "week": {"mon": [["09:00", "17:00"]]}}
    for wrong in (
        {"week": {}},
        {"zone": "Mars/Olympus"},
        {"holidays": ["soon"]},
        {"week": {"mon": [["17:00", "09:00"]]}},
    ):
        assert send(carol, "POST", "/calendars", {**office, **wrong})[1]["code"] == "invalid_calendar"
    assert send(carol, "POST", "/calendars", office)[0] == 201
    _, rule = send(carol, "POST", "/approval-rules", a_body(calendar="Office"))
    assert an_approval(desk.run).rules[0]["calendar"]["zone"] == "Europe/Berlin"
    assert send(carol, "DELETE", "/calendars/Office")[1]["code"] == "calendar_in_use"
    assert send(carol, "DELETE", f"/approval-rules/{rule['id']}")[0] == 204
    assert send(carol, "DELETE", "/calendars/Office")[0] == 204
    assert not Calendar.objects.exists()


def test_the_question_says_what_each_rule_asks(desk: Desk) -> None:
    send(desk.team.carol, "POST", "/approval-rules", a_body(approvals=2))
    _, found = send(desk.team.bob, "GET", f"/approvals/{an_approval(desk.run).pk}")
    assert found["needs"] == [
        {"rule": None, "approvals": 1, "roles": ["reviewer"], "people": []},
        {"rule": "Large payments", "approvals": 2, "roles": ["manager"], "people": []},
    ]


# --- absences


def test_somebody_says_who_answers_for_them_and_ends_it(desk: Desk) -> None:
    _, made = send(desk.team.carol, "POST", "/absences", {**days(-1, 7), "delegate": "bob@example.com"})
    assert (made["person"], made["delegate"]) == ("carol@example.com", "bob@example.com")
    assert send(desk.team.alice, "GET", "/absences")[1]["items"] == [made]
    assert send(desk.team.alice, "DELETE", f"/absences/{made['id']}")[0] == 403
    assert send(desk.team.carol, "DELETE", f"/absences/{made['id']}")[0] == 204
    assert send(desk.team.alice, "GET", "/absences")[1]["items"] == []
    assert Absence.objects.get().ends_at <= timezone.now()  # it was, so it stays on record
    assert {"absence.set", "absence.ended"} == set(AuditEntry.objects.values_list("action", flat=True))


def test_an_absence_that_has_not_begun_is_taken_back_and_an_admin_ends_anybodys(desk: Desk) -> None:
    absence = away(desk.team.carol, desk.team.bob, desk.team.workspace)
    Absence.objects.filter(pk=absence.pk).update(
        starts_at=timezone.now() + timedelta(1), ends_at=timezone.now() + timedelta(2)
    )
    assert send(desk.team.charlie, "DELETE", f"/absences/{absence.pk}")[0] == 404
    assert send(desk.team.dana, "DELETE", f"/absences/{absence.pk}")[0] == 204
    assert not Absence.objects.exists()


@pytest.mark.parametrize(
    ("delegate", "code"),
    [
        ("alice@example.com", "cannot_stand_in"),  # a composer
        ("dana@example.com", "cannot_stand_in"),  # an admin decides nothing
        ("carol@example.com", "cannot_stand_in"),  # herself
        ("charlie@example.com", "cannot_stand_in"),  # a stranger
    ],
)
def test_not_everybody_can_stand_in(desk: Desk, delegate: str, code: str) -> None:
    status, found = send(desk.team.carol, "POST", "/absences", {**days(1, 2), "delegate": delegate})
    assert (status, found["code"]) == (422, code)


def test_there_are_no_chains_no_circles_and_no_second_absence_at_once(desk: Desk) -> None:
    ben = a_member(desk.team.workspace, "ben", Role.REVIEWER)
    assert send(desk.team.bob, "POST", "/absences", {**days(1, 5), "delegate": "ben@example.com"})[0] == 201
    circle = {**days(4, 9), "delegate": "bob@example.com"}
    assert send(ben, "POST", "/absences", circle)[1]["code"] == "cannot_stand_in"
    assert send(desk.team.carol, "POST", "/absences", circle)[1]["code"] == "cannot_stand_in"
    twice = {**days(2, 3), "delegate": "carol@example.com"}
    assert send(desk.team.bob, "POST", "/absences", twice)[1]["code"] == "already_away"
    assert send(ben, "POST", "/absences", {**days(6, 9), "delegate": "bob@example.com"})[0] == 201


@pytest.mark.parametrize(("first", "last"), [(2, 1), (-3, -1), (1, 400)])
def test_an_absence_ends_after_it_begins_in_the_future_within_a_year(desk: Desk, first: int, last: int) -> None:
    body = {**days(first, last), "delegate": "bob@example.com"}
    assert send(desk.team.carol, "POST", "/absences", body)[1]["code"] == "invalid_absence"


def test_a_moment_without_a_zone_is_refused(desk: Desk) -> None:
    body = {"starts_at": "2030-01-01T00:00:00", "ends_at": "2030-01-02T00:00:00", "delegate": "bob@example.com"}
    assert send(desk.team.carol, "POST", "/absences", body)[1]["code"] == "invalid_absence"


def test_a_delegate_who_lost_their_role_answers_for_nobody(desk: Desk) -> None:
    away(desk.team.carol, desk.team.bob, desk.team.workspace)
    approval = an_approval(desk.run, roles=["manager"])
    Membership.objects.filter(user=desk.team.bob).update(roles=["composer"])
    body = {"decision": "approve", "payload_hash": approval.payload_hash}
    status, found = send(desk.team.bob, "POST", f"/approvals/{approval.pk}/decide", body)
    assert (status, found["code"]) == (403, "not_a_reviewer")
