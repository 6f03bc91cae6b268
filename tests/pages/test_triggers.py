"""The pages of triggers: what is typed becomes a trigger, and is shown again as it was typed."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts import secrets
from accounts.models import Secret
from accounts.roles import Role
from pipelines import drafts
from runs.models import Run, Trigger
from runs.triggers import definitions, form
from tests.pages.builders import HOSTILE, World, some_triggers
from tests.people import a_member, acting, signed_in_as
from tests.pipelines.builders import a_document
from tests.triggers.builders import call, make_due, poll

pytestmark = pytest.mark.django_db
NEW, LIST = "/settings/triggers/+new/", "/settings/triggers/"
GIVEN = {"company": "Halden Metals", "contact": "Ingrid", "email": "ingrid@example.com", "product": "Ball bearings"}
WHEN = {"kind": "schedule", "slug": "monday-news", "zone": "Europe/Berlin", "every": "day", "time": "09:00"}
TYPED = WHEN | {f"input-{name}": text for name, text in GIVEN.items()}


def typed(world: World, **more: str) -> dict[str, str]:
    return {**TYPED, "pipeline": world.pipeline.slug, **more}


@pytest.mark.parametrize(
    ("chosen", "cron", "said"),
    [
        ({"every": "hour", "minute": "5"}, "5 * * * *", "every hour at minute 5"),
        ({"every": "day", "time": "09:00"}, "0 9 * * *", "every day at 09:00"),
        ({"every": "weekdays", "time": "7:30"}, "30 7 * * 1-5", "Monday to Friday at 07:30"),
        ({"every": "week", "weekday": "0", "time": "23:59"}, "59 23 * * 0", "every Sunday at 23:59"),
        ({"every": "month", "monthday": "15", "time": "00:00"}, "0 0 15 * *", "on day 15 of every month at 00:00"),
        ({"every": "cron", "cron": "*/10 8-17 * * mon"}, "*/10 8-17 * * mon", "by the schedule */10 8-17 * * mon"),
    ],
)
def test_a_schedule_is_chosen_in_words_and_found_again_as_chosen(
    world: World, chosen: dict[str, str], cron: str, said: str
) -> None:
    alice = signed_in_as(world.team.alice)
    answer = alice.post(NEW, typed(world, **chosen))
    assert (answer.status_code, answer["Location"]) == (302, "/settings/triggers/monday-news/")
    made = Trigger.objects.get()
    assert (made.cron, made.zone, made.input) == (cron, "Europe/Berlin", GIVEN)
    line = alice.get(LIST).content.decode()
    assert f"{said}, Europe/Berlin" in line
    assert re.search(r"next \w+day \d+ \w+, \d\d:\d\d<", line)
    page = alice.get("/settings/triggers/monday-news/").content.decode()
    assert f'<option value="{chosen["every"]}" selected>' in page
    assert len(re.findall(r"<li>\w+day \d+ \w+, \d\d:\d\d</li>", page)) == 5
    assert alice.post("/settings/triggers/monday-news/", typed(world, **chosen)).status_code == 302
    assert Trigger.objects.get().cron == cron


@pytest.mark.parametrize(
    "wrong",
    [
        *({"every": "day", "time": "25:00"}, {"every": "cron", "cron": "soon"}, {"every": "never"}, {"zone": "Mars"}),
        *({"slug": "Monday News"}, {"slug": ""}, {"every": "month", "monthday": "40"}, {"version": "9"}),
        *({"version": "x"}, {"input_json": "{"}, {"input-company": "${input.company}"}),
        {"every": "cron", "cron": "0 0 30 2 *"},
    ],
)
def test_what_cannot_be_saved_is_shown_as_typed(world: World, wrong: dict[str, str]) -> None:
    given = typed(world) | wrong
    answer = signed_in_as(world.team.alice).post(NEW, given)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'role="alert"' in page
    assert ("Halden Metals" in page) == ("input-company" not in wrong)
    assert not Trigger.objects.exists()


def test_the_next_times_follow_what_is_chosen(world: World) -> None:
    bob = signed_in_as(world.team.bob)
    page = bob.get("/settings/triggers/+times/", {"every": "week", "weekday": "1", "time": "09:00", "zone": "UTC"})
    assert len(re.findall(r"<li>Monday \d+ \w+, 09:00</li>", page.content.decode())) == 5
    page = bob.get("/settings/triggers/+times/", {"every": "day", "time": "09:00", "zone": "Mars"})
    assert "no time zone" in page.content.decode()
    assert bob.get("/settings/triggers/+times/").status_code == 200


def test_an_admin_makes_a_hook_with_a_key_that_is_shown_once(world: World) -> None:
    dana = signed_in_as(world.team.dana)
    given = typed(world, kind="webhook", slug="orders", secret="+new", **{"input-company": "${event.company}"})
    page = dana.post(NEW, given).content.decode()
    (key,) = re.findall(r'<p class="mono">([\w-]{43})</p>', page)
    assert secrets.reveal(world.team.workspace.pk, "hook-orders") == key
    assert key not in dana.get("/settings/triggers/orders/").content.decode()
    assert call("orders", {"company": "Acme"}, key=key).status_code == 202
    assert Run.objects.get(via="trigger:orders").input["company"] == "Acme"


def test_a_composer_makes_no_secret(world: World) -> None:
    alice = signed_in_as(world.team.alice)
    answer = alice.post(NEW, typed(world, kind="webhook", slug="orders", secret="+new"))
    assert answer.status_code == 403
    assert not Secret.objects.filter(name="hook-orders").exists()
    assert "Make a new one" not in alice.get(NEW, {"kind": "webhook", "pipeline": world.pipeline.slug}).content.decode()


def test_a_refused_hook_leaves_no_secret_behind(world: World) -> None:
    given = typed(world, kind="webhook", slug="orders", secret="+new", version="99")
    assert signed_in_as(world.team.dana).post(NEW, given).status_code == 422
    assert not Secret.objects.filter(name="hook-orders").exists()


def test_the_page_says_what_came_of_it_and_why_nothing_was_started(world: World) -> None:
    some_triggers(world)
    bob = signed_in_as(world.team.bob)
    schedule = bob.get("/settings/triggers/monday-news/").content.decode()
    assert "that needs the role composer or admin" in schedule
    assert "Save" not in _main(schedule), "who may not change it sees no form"
    assert len(re.findall(r"<li>Monday \d+ \w+, 09:00</li>", schedule)) == 5
    hook = bob.get("/settings/triggers/orders/").content.decode()
    assert f"#{world.run.number}" in hook
    assert "POST http://127.0.0.1:8000/hooks/orders?workspace=acme" in hook
    about = bob.get(f"/pipelines/{world.pipeline.slug}/run/").content.decode()
    assert "/settings/triggers/monday-news/" in about
    assert "/settings/triggers/orders/" in about


def test_a_trigger_is_turned_off_and_on_and_removed(world: World) -> None:
    some_triggers(world)
    dana = a_member(world.team.workspace, "dina", Role.COMPOSER)
    client = signed_in_as(dana)
    client.post("/settings/triggers/monday-news/switch/", {"on": ""})
    off = Trigger.objects.get(slug="monday-news")
    assert (off.enabled, off.next_at, off.runs_as) == (False, None, world.team.alice)
    client.post("/settings/triggers/monday-news/switch/", {"on": "yes"})
    on = Trigger.objects.get(slug="monday-news")
    make_due(on)
    poll()
    assert Run.objects.get(via="trigger:monday-news").started_by == dana
    client.post("/settings/triggers/monday-news/remove/")
    assert not Trigger.objects.filter(slug="monday-news").exists()
    assert Run.objects.filter(via="trigger:monday-news").exists()


def test_a_trigger_can_be_turned_off_whatever_became_of_what_it_needs(world: World) -> None:
    some_triggers(world)
    alice = signed_in_as(world.team.alice)
    Secret.objects.filter(name="hook-key").delete()
    world.pipeline.archived_at = world.pipeline.created_at
    world.pipeline.save()
    assert "The secret hook-key was removed" in alice.get("/settings/triggers/orders/").content.decode()
    for slug in ("orders", "monday-news"):
        assert alice.post(f"/settings/triggers/{slug}/switch/", {"on": ""}).status_code == 302
        on = alice.post(f"/settings/triggers/{slug}/switch/", {"on": "yes"})
        assert (on.status_code, Trigger.objects.get(slug=slug).enabled) == (422, False)
        assert "There is no pipeline" in on.content.decode()


def test_saving_does_not_turn_on_what_is_off(world: World) -> None:
    some_triggers(world)
    alice = signed_in_as(world.team.alice)
    alice.post("/settings/triggers/monday-news/switch/", {"on": ""})
    alice.post("/settings/triggers/monday-news/", typed(world, every="day", time="10:00"))
    assert (Trigger.objects.get(slug="monday-news").enabled, Trigger.objects.get(slug="monday-news").cron) == (
        False,
        "0 10 * * *",
    )


def test_an_input_that_the_form_has_no_fields_for_is_kept_as_json(world: World) -> None:
    some_triggers(world)
    Trigger.objects.filter(slug="orders").update(input="${event}")
    alice = signed_in_as(world.team.alice)
    page = alice.get("/settings/triggers/orders/").content.decode()
    assert "&quot;${event}&quot;</textarea>" in page
    given = {"pipeline": world.pipeline.slug, "secret": "hook-key", "input_json": '"${event}"'}
    assert alice.post("/settings/triggers/orders/", given).status_code == 302
    assert Trigger.objects.get(slug="orders").input == "${event}"


def test_what_others_wrote_is_shown_as_text(world: World, client: Client) -> None:
    some_triggers(world)
    error: Any = {"code": "invalid_input", "message": HOSTILE}
    Trigger.objects.update(last_error=error)
    page = signed_in_as(world.team.bob).get(LIST).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def _main(page: str) -> str:
    return page.partition("<main")[2].partition("</main>")[0]


def test_a_form_as_it_is_first_shown_can_be_saved(world: World) -> None:
    """Whatever the pipeline asks for: names that stand behind no dot, numbers, lists, marks of templates."""
    properties = {
        "max-words": {"type": "integer", "default": 300},
        "deep": {"type": "boolean", "default": True},
        "topics": {"type": "array", "items": {"type": "string"}, "default": ["a", "b"]},
        "level": {"enum": [1, 2, 3], "default": 2},
        "sum": {"type": "string", "default": "Costs ${x}"},
    }
    raw = a_document("asks", inputs={"type": "object", "properties": properties})
    alice = acting(world.team.alice)
    pipeline = drafts.create(alice, raw)
    secrets.put(alice.workspace, "hook-key", "a signing key of some length")
    for kind in ("schedule", "webhook", "event"):
        first = form.first(kind, pipeline, "UTC") | {"slug": f"first-{kind}", "topic": "orders", "secret": "hook-key"}
        made = definitions.create(alice, form.fields(pipeline, first))
        again = form.fields(pipeline, form.typed_of(made))
        assert again == definitions.fields_of(made), "and so it is found again"
    scheduled = Trigger.objects.get(slug="first-schedule")
    assert scheduled.input == {"max-words": 300, "deep": True, "topics": ["a", "b"], "level": 2, "sum": "Costs $${x}"}
    hook = Trigger.objects.get(slug="first-webhook")
    assert hook.input["max-words"] == '${event["max-words"]}'


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 900 + "]" * 900, "9" * 5000])
def test_what_is_too_deep_or_too_long_is_refused_in_words(world: World, text: str) -> None:
    answer = signed_in_as(world.team.alice).post(NEW, typed(world, input_json=text))
    assert (answer.status_code, Trigger.objects.count()) == (422, 0)


def test_a_minute_of_thousands_of_digits_is_refused_in_words(world: World) -> None:
    answer = signed_in_as(world.team.alice).post(NEW, typed(world, every="hour", minute="0" * 5000))
    assert (answer.status_code, Trigger.objects.count()) == (422, 0)
