"""What triggers may say, who may say it, and what is written about it."""

import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts import secrets
from accounts.access import Actor
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import AuditEntry
from accounts.roles import Role, Scope
from runs.models import Trigger
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.people import a_member, a_workspace, acting, bearer
from tests.triggers.builders import a_composer, a_hook, a_listener, a_schedule, fresh

pytestmark = pytest.mark.django_db
URL = "/api/v1/triggers"


@pytest.fixture
def alice(db: Any) -> Actor:
    return a_composer()


SCHEDULE = {"slug": "daily", "kind": "schedule", "pipeline": "brief", "cron": "0 9 * * *"}
HOOK = {"slug": "orders", "kind": "webhook", "pipeline": "brief", "secret": "hook-key"}
EVENT = {"slug": "paid", "kind": "event", "pipeline": "brief", "topic": "orders"}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    (SCHEDULE | {"slug": "Daily"}, "bad_trigger", "/slug"),
    (SCHEDULE | {"slug": "d" * 64}, "bad_trigger", "/slug"),
    (SCHEDULE | {"kind": "often"}, "bad_trigger", "/kind"),
    (SCHEDULE | {"secret": "hook-key"}, "bad_trigger", "/secret"),
    (SCHEDULE | {"topic": "orders"}, "bad_trigger", "/topic"),
    (HOOK | {"cron": "0 9 * * *"}, "bad_trigger", "/cron"),
    (EVENT | {"zone": "UTC"}, "bad_trigger", "/zone"),
    (SCHEDULE | {"pipeline": "absent"}, "unknown_pipeline", "/pipeline"),
    (SCHEDULE | {"version": 9}, "unknown_version", "/version"),
    (SCHEDULE | {"version": -1}, "unknown_version", "/version"),
    (SCHEDULE | {"cron": None}, "bad_cron", "/cron"),
    (SCHEDULE | {"cron": "soon"}, "bad_cron", "/cron"),
    (SCHEDULE | {"cron": "0 0 30 2 *"}, "bad_cron", "/cron"),
    (SCHEDULE | {"zone": "Mars/Olympus"}, "bad_zone", "/zone"),
    (SCHEDULE | {"zone": "../../etc/passwd"}, "bad_zone", "/zone"),
    (SCHEDULE | {"input": {"topic": 7}}, "invalid_input", "/input/topic"),
    (SCHEDULE | {"input": {"topic": "${event.body}"}}, "bad_template", "/input"),
    (SCHEDULE | {"input": {"topic": "${event"}}, "bad_template", "/input"),
    (HOOK | {"input": {"topic": "${input.topic}"}}, "bad_template", "/input/topic"),
    (HOOK | {"input": "${secrets.key}"}, "bad_template", "/input"),
    (HOOK | {"input": {"topic": "x" * 70_000}}, "bad_template", "/input"),
    (HOOK | {"input": {"topic": "${event.a}" * 101}}, "bad_template", "/input"),
    (HOOK | {"secret": None}, "unknown_secret", "/secret"),
    (HOOK | {"secret": "absent"}, "unknown_secret", "/secret"),
    (HOOK | {"secret": "short-key"}, "weak_secret", "/secret"),
    (EVENT | {"topic": None}, "bad_topic", "/topic"),
    (EVENT | {"topic": "t" * 201}, "bad_topic", "/topic"),
    (EVENT | {"runs_as": "bob@example.com"}, "invalid", "/runs_as"),
]


@pytest.mark.parametrize(("body", "code", "where"), WRONG)
def test_what_cannot_be_is_refused_at_its_place(
    alice: Actor, client: Client, body: dict[str, Any], code: str, where: str
) -> None:
    secrets.put(alice.workspace, "short-key", "x" * 15)
    answer = client.post(URL, body, "application/json", headers=bearer(alice.user, alice.workspace))
    assert (answer.status_code, answer.json()["code"], answer.json()["where"]) == (422, code, where)
    assert not Trigger.objects.exists()


def test_a_trigger_is_made_read_changed_and_removed_over_the_api(alice: Actor, client: Client) -> None:
    headers = bearer(alice.user, alice.workspace)
    made = client.post(URL, HOOK | {"input": {"topic": "${event.title}"}}, "application/json", headers=headers)
    assert made.status_code == 201, made.content
    shape = made.json()
    assert shape | {"created_at": ""} == {
        **HOOK,
        "version": None,
        "input": {"topic": "${event.title}"},
        "cron": None,
        "zone": None,
        "topic": None,
        "enabled": True,
        "url": "http://127.0.0.1:8000/hooks/orders?workspace=acme",
        "runs_as": "alice@example.com",
        "next_at": None,
        "last_fired_at": None,
        "last_run": None,
        "last_error": None,
        "created_at": "",
    }
    assert client.get(f"{URL}/orders", headers=headers).json() == shape
    changes = {"enabled": False, "version": 1}
    changed = client.patch(f"{URL}/orders", changes, "application/json", headers=headers)
    assert changed.json() == shape | changes
    assert client.get(f"{URL}?pipeline=brief", headers=headers).json()["items"] == [changed.json()]
    assert client.get(f"{URL}?pipeline=other", headers=headers).json()["items"] == []
    for wrong in ({"slug": "other"}, {"kind": "event"}, {"pipeline": ""}, {"version": "draft"}):
        assert client.patch(f"{URL}/orders", wrong, "application/json", headers=headers).status_code == 422
    assert (
        client.patch(f"{URL}/orders", {"version": None}, "application/json", headers=headers).json()["version"] is None
    )
    again = client.post(URL, HOOK, "application/json", headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "trigger_exists")
    assert client.delete(f"{URL}/orders", headers=headers).status_code == 204
    assert client.get(f"{URL}/orders", headers=headers).status_code == 404
    acts = AuditEntry.objects.filter(action__startswith="trigger_").order_by("seq")
    assert [entry.action for entry in acts] == ["trigger_added", *["trigger_changed"] * 2, "trigger_removed"]
    assert "${event" not in json.dumps([entry.data for entry in acts]), "an input may hold what is not for an audit"


def test_a_schedule_without_a_zone_has_that_of_its_workspace(alice: Actor) -> None:
    alice.workspace.zone = "Asia/Tokyo"
    alice.workspace.save()
    made = definitions.create(alice, TriggerFields(**SCHEDULE))
    assert made.zone == "Asia/Tokyo"
    assert [f"{moment:%H:%M}" for moment in definitions.next_times(made)] == ["09:00"] * 5


def test_only_composers_make_triggers_and_strangers_reach_none(alice: Actor) -> None:
    a_schedule(alice)
    team = alice.workspace
    for role in (Role.VIEWER, Role.REVIEWER, Role.MANAGER, Role.AUDITOR):
        person = acting(a_member(team, role.value, role), team)
        with pytest.raises(Forbidden):
            definitions.create(person, TriggerFields(**EVENT))
        with pytest.raises(Forbidden):
            definitions.update(person, "daily", {"enabled": False})
        with pytest.raises(Forbidden):
            definitions.remove(person, "daily")
    zoe = a_composer("zoe", a_workspace("globex"))
    with pytest.raises(NotFound):
        definitions.update(zoe, "daily", {"enabled": False})
    with pytest.raises(Invalid):  # her workspace has no secret of that name but her own, and no pipeline of ours
        definitions.create(zoe, TriggerFields("other", "webhook", "absent", secret="hook-key"))


def test_a_token_that_may_not_start_runs_makes_nothing_that_would(alice: Actor, client: Client) -> None:
    for scope in (Scope.EDIT, Scope.RUN):
        headers = bearer(alice.user, alice.workspace, scope, Scope.READ)
        assert client.post(URL, EVENT, "application/json", headers=headers).status_code == 403
    both = bearer(alice.user, alice.workspace, Scope.EDIT, Scope.RUN)
    assert client.post(URL, EVENT, "application/json", headers=both).status_code == 201


def test_two_triggers_of_one_name_are_refused_by_the_database_too(alice: Actor) -> None:
    trigger = a_listener(alice)
    with pytest.raises(Conflict):
        a_hook(alice, "paid")
    trigger.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        Trigger.objects.bulk_create([Trigger(**_columns(trigger))])


def test_the_database_refuses_a_trigger_that_lacks_what_its_kind_needs(alice: Actor) -> None:
    trigger = a_listener(alice)
    for wrong in ({"topic": ""}, {"secret": "hook-key"}, {"kind": "webhook"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Trigger.objects.filter(pk=trigger.pk).update(**wrong)
    assert fresh(trigger).topic == "orders"


def _columns(trigger: Trigger) -> dict[str, Any]:
    names = ("workspace", "slug", "kind", "pipeline", "input", "topic", "runs_as")
    return {name: getattr(trigger, name) for name in names}


def test_all_who_ever_saved_a_trigger_are_kept_and_turning_it_off_makes_nobody_its_author(alice: Actor) -> None:
    trigger = a_hook(alice)
    bob, carol, dana = (
        acting(a_member(alice.workspace, name, Role.COMPOSER), alice.workspace) for name in ("bob", "carol", "dana")
    )
    definitions.update(bob, "orders", {"input": {"topic": "Pay ${event.title}"}})
    definitions.update(carol, "orders", {"version": 1})
    definitions.update(dana, "orders", {"enabled": False})
    assert set(fresh(trigger).editors) == {alice.user.pk, bob.user.pk, carol.user.pk}
    assert fresh(trigger).runs_as == carol.user


def test_a_change_writes_nothing_that_the_trigger_came_to_meanwhile(alice: Actor) -> None:
    trigger = a_hook(alice)
    stale = fresh(trigger)
    Trigger.objects.filter(pk=trigger.pk).update(last_error={"code": "starter_gone", "message": "gone"})
    definitions._keep(alice, stale, definitions.fields_of(stale), "trigger_changed")
    assert fresh(trigger).last_error is not None
