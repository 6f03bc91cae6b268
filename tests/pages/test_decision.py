"""What the decision page says of one call: whose words it holds, both differences, and what it has cost."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from accounts.roles import Role
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines.graph.canonical import digest
from tests.approvals.builders import EMAIL, an_approval, approve, wait
from tests.pages.builders import HOSTILE, World, a_run_of, a_step
from tests.people import a_member, acting, signed_in_as

pytestmark = pytest.mark.django_db
SAID_ABOVE = ("Exactly what will happen", "Exactly what was approved", "What was asked for")
REQUEST: dict[str, Any] = {
    "tool": "http.request@1",
    "args": {
        "method": "POST",
        "url": "https://northwind.example/orders",
        "headers": {"X-Kind": "order"},
        "json": {"lines": [{"text": "Two bearings"}], "note": "Soon"},
    },
}


def shown(world: World, approval: Approval, name: str = "bob") -> str:
    response = signed_in_as(getattr(world.team, name)).get(f"/approvals/{approval.pk}/")
    assert response.status_code == 200
    return str(response.content.decode())


def said_of(page: str, label: str) -> str:
    """Return the words beside one value of the call."""
    [found] = re.findall(rf"<dt>{label}</dt><dd>(.*?)</dd>", page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found)).strip()


def a_call(world: World, payload: dict[str, Any], **changes: Any) -> Approval:
    action = {"tool": payload["tool"], "effect": "irreversible"}
    return an_approval(world.run, payload=payload, payload_hash=digest(payload), action=action, **changes)


def with_args(**args: str) -> dict[str, Any]:
    return {**EMAIL, "args": {**EMAIL["args"], **args}}


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        ("model", "written by a model, untrusted"),
        ("tool", "from outside, untrusted"),
        ("user", "from the starter of the run"),
        ("author", ""),
    ],
)
def test_each_value_says_whose_words_it_holds(world: World, trust: str, words: str) -> None:
    page = shown(world, a_call(world, EMAIL, trust={"/args/body": trust, "/args/to": "author"}))
    assert said_of(page, "Text") == f"Good morning, Ana. {words}".strip()
    assert said_of(page, "To") == "ana@northwind.example", "the author of the pipeline wrote that"
    assert page.count("untrusted") == (1 if "untrusted" in words else 0)


def test_untrusted_words_within_a_value_mark_the_value(world: World) -> None:
    trust = {"/args/json/lines/0/text": "tool", "/args/json/note": "model", "/args/headers/X-Kind": "author"}
    page = shown(world, a_call(world, REQUEST, trust={**trust, "/args/jsonish": "user"}))
    assert said_of(page, "Json").endswith("from outside, untrusted written by a model, untrusted")
    assert "untrusted" not in said_of(page, "Headers")
    assert "from the starter" not in page


def test_what_is_shown_beside_a_question_says_whose_words_it_holds(world: World) -> None:
    show = {"draft": "Good morning", "a/b": {"said": ["<b>Buy</b>"]}, "ask": "Fine?"}
    trust = {"/show/draft": "model", "/show/a~1b/said/0": "tool", "/show/ask": "author"}
    page = shown(world, an_approval(world.run, kind="answer", payload=None, payload_hash=None, show=show, trust=trust))
    sections = re.findall(r"<h3>([^<]+)</h3>(.*?)<pre", page, re.DOTALL)
    told = {name: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", tags)).strip() for name, tags in sections}
    assert told["Draft"] == "written by a model, untrusted"
    assert told["A/b"] == "from outside, untrusted"
    assert told["Ask"] == ""


def test_untrusted_words_stand_there_as_text(world: World) -> None:
    page = shown(world, a_call(world, with_args(body=HOSTILE)))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "written by a model, untrusted" in said_of(page, "Text")


def test_what_a_person_changed_stands_before_and_after(world: World) -> None:
    asked = an_approval(world.run, min_approvals=2)
    edited = with_args(subject="Good day")
    services.decide(acting(world.team.bob), asked.pk, approve(asked, payload=edited))
    [section] = re.findall(r"What a person changed</h3>(.*?)</section>", shown(world, asked), re.DOTALL)
    assert "<del>Hello</del>" in section
    assert "<ins>Good day</ins>" in section
    assert "Text" not in section, "what stayed is no change"
    assert "What a person changed" not in shown(world, world.approval)


def test_a_call_is_held_against_the_last_approved_one_like_it(world: World) -> None:
    first = an_approval(world.run)
    assert "Since the last one like it" not in shown(world, first), "there is none"
    services.decide(acting(world.team.bob), first.pk, approve(first))
    same, other = a_call(world, EMAIL), a_call(world, with_args(body="Good evening, Ana."))
    assert "Nothing differs: the same call again." in text_of_page(shown(world, same))
    page = shown(world, other)
    [section] = re.findall(r"Since the last one like it(.*?)</section>", page, re.DOTALL)
    assert f'href="/approvals/{first.pk}/"' in section
    assert f"run #{world.run.number}, approved" in section
    assert "<del>morning</del>" in section
    assert "<ins>evening</ins>" in section


def text_of_page(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_it_says_what_the_run_has_cost_step_by_step(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="waiting", cost_micros=20_900)
    a_step(run, "research", "agent", state="succeeded", cost_micros=18_400)
    a_step(run, "write", "agent", state="succeeded", cost_micros=2_500)
    a_step(run, "look", "agent", state="succeeded", cost_micros=0, unpriced_calls=1)
    a_step(run, "note", "transform", state="succeeded", cost_micros=0)
    page = shown(world, an_approval(run))
    [section] = re.findall(r"How it got here(.*?)</section>", page, re.DOTALL)
    told = text_of_page(section)
    assert "$0.0209 so far" in told
    assert re.findall(r"\$[\d.]+|unknown price", told)[1:] == ["$0.0184", "$0.0025", "unknown price"]


def test_a_question_about_money_says_what_was_spent_and_what_is_asked(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="waiting", cost_micros=480_000)
    calm = {"action": None, "payload": {"add_usd": "2.00"}, "payload_hash": "", "trust": {}, "roles": ["manager"]}
    asked = an_approval(run, kind="budget", title="More money?", **calm)
    page = shown(world, asked, "carol")
    assert "It has spent $0.48." in text_of_page(page)
    assert 'name="add_usd" inputmode="decimal" value="2.00"' in page


@pytest.mark.parametrize(
    ("state", "words", "runs"),
    [
        ("open", "Exactly what will happen", True),
        ("approved", "Exactly what was approved", True),
        ("rejected", "What was asked for", False),
        ("expired", "What was asked for", False),
        ("cancelled", "What was asked for", False),
    ],
)
def test_only_what_may_still_happen_is_said_to_happen(world: World, state: str, words: str, runs: bool) -> None:
    asked = a_call(world, EMAIL)
    if state in ("approved", "rejected"):
        choice = Decision("approve" if state == "approved" else "reject", asked.payload_hash, reason="Not today.")
        services.decide(acting(world.team.bob), asked.pk, choice)
    else:
        Approval.objects.filter(pk=asked.pk).update(state=state, decided_at=None if state == "open" else Now())
    page = shown(world, asked)
    assert [one for one in SAID_ABOVE if one in page] == [words]
    assert ("What you see is what runs" in page) is runs


def test_what_was_asked_and_answered_stands_in_its_order_and_what_is_open_beside_the_title(world: World) -> None:
    asked, bob, alice = an_approval(world.run), acting(world.team.bob), acting(world.team.alice)
    services.ask(bob, asked.pk, "Is Ana still there?", world.team.alice.email)
    assert "information asked" in shown(world, asked)
    services.comment(alice, asked.pk, "Since May.")
    services.comment(bob, asked.pk, "Then send it.")
    page = shown(world, asked)
    said = [page.index(words) for words in ("Is Ana still there?", "Since May.", "Then send it.")]
    assert said == sorted(said)
    assert "information asked" not in page


def test_who_is_on_it_stands_above_what_it_is_about(world: World) -> None:
    asked = an_approval(world.run)
    services.claim(acting(a_member(world.team.workspace, "ben", Role.REVIEWER)), asked.pk)
    page = shown(world, asked)
    assert page.index("Ben is on it") < page.index("Exactly what will happen")


def test_a_question_that_nobody_answered_says_so_and_what_came_of_it(world: World) -> None:
    late = an_approval(world.run, expires=1)
    wait(late, timedelta(seconds=5))
    page = shown(world, late)
    assert re.search(r"Nobody answered in time\.</b> Rejected at", page)
    assert "Why a person was asked" in page
    withdrawn = an_approval(world.run)
    Approval.objects.filter(pk=withdrawn.pk).update(state="cancelled", decided_at=Now())
    assert "The run withdrew this question" in shown(world, withdrawn)


def test_nothing_suggests_to_send_again_what_may_have_happened(world: World) -> None:
    page = shown(world, an_approval(world.run, kind="outcome_unknown"))
    [again] = re.findall(r"<button class=\"([^\"]*)\"([^>]*)>It did not happen: send it again", page)
    assert again == ("btn big", ""), "neither the filled button nor a key"
