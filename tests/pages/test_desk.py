"""The inbox as a page: filters in its address, light questions answered together, and how a question stands."""

import re
from typing import Any

import pytest

from accounts.roles import Role
from approvals import services
from approvals.models import Approval
from tests.approvals.builders import an_approval, approve
from tests.pages.builders import World
from tests.people import a_member, acting, signed_in_as

pytestmark = pytest.mark.django_db
NOTE = {"tool": "notes.append@1", "args": {"text": "Called."}}


def a_note(world: World, text: str = "Called.", **changes: Any) -> Approval:
    action = {"tool": "notes.append@1", "effect": "reversible"}
    payload = {"tool": "notes.append@1", "args": {"text": text}}
    return an_approval(world.run, title="Add a note", action=action, payload=payload, why="A rule.", **changes)


def item_of(approval: Approval) -> str:
    return f"{approval.pk} {approval.payload_hash}"


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_filter_in_the_address_narrows_the_list_and_says_so(world: World) -> None:
    a_note(world)
    browser = signed_in_as(world.team.bob)
    light = browser.get("/approvals/?view=team&risk=lo&part=list")
    assert "Add a note: “Called.”" in text_of(light)
    assert "Send an email" not in text_of(light)
    assert 'href="?view=team&amp;risk=hi"' in light.content.decode()
    assert "No open question is like that" in text_of(browser.get("/approvals/?q=tangerine"))


def test_light_questions_that_are_alike_stand_in_one_row(world: World) -> None:
    for text in ("a", "b", "c"):
        a_note(world, text)
    shown = signed_in_as(world.team.bob).get("/approvals/?part=list")
    assert "3 alike: Add a note" in text_of(shown)
    assert shown.content.decode().count('data-pick="') == 3
    assert 'id="bulk"' in shown.content.decode()
    assert "alike" not in text_of(signed_in_as(world.team.alice).get("/approvals/?view=all&part=list"))


def test_one_light_question_is_decided_like_any_other(world: World) -> None:
    a_note(world)
    assert "data-pick" not in signed_in_as(world.team.bob).get("/approvals/?part=list").content.decode()


def test_a_bulk_that_worked_leads_back_to_the_same_list(world: World) -> None:
    notes = [a_note(world, text) for text in "ab"]
    asked = {"decision": "approve", "item": [item_of(one) for one in notes], "view": "team", "risk": "lo"}
    response = signed_in_as(world.team.bob).post("/approvals/bulk/", asked, follow=True)
    assert response.redirect_chain == [("/approvals/?view=team&risk=lo", 302)]
    assert "Approved: 2 questions, each recorded by itself." in text_of(response)
    assert Approval.objects.filter(state="approved").count() == 2


def test_a_bulk_that_failed_in_part_says_which_and_why(world: World) -> None:
    ben = acting(a_member(world.team.workspace, "ben", Role.REVIEWER))
    taken, fine = a_note(world, "a"), a_note(world, "b")
    services.decide(ben, taken.pk, approve(taken))
    asked = {"decision": "approve", "item": [item_of(taken), item_of(fine), item_of(world.approval)]}
    response = signed_in_as(world.team.bob).post("/approvals/bulk/", asked)
    assert response.status_code == 200
    assert "1 of 3 approved" in text_of(response)
    assert "Ben already approved this" in text_of(response)
    assert "Read it and decide it by itself" in text_of(response)
    world.approval.refresh_from_db()
    assert world.approval.state == "open"


def test_a_stranger_decides_nothing_in_a_bulk(world: World) -> None:
    note = a_note(world)
    asked = {"decision": "approve", "item": item_of(note)}
    response = signed_in_as(world.team.charlie).post("/approvals/bulk/", asked)
    assert response.status_code == 409
    assert "An unknown question" in text_of(response)
    assert "Add a note" not in text_of(response)
    note.refresh_from_db()
    assert note.state == "open"


def test_how_a_question_stands_names_who_was_first_in_the_readers_zone(world: World) -> None:
    browser, address = signed_in_as(world.team.bob), f"/approvals/{world.approval.pk}/stands/"
    before = browser.get(address).json()
    assert f'data-stands="{before["stands"]}"' in browser.get(f"/approvals/{world.approval.pk}/").content.decode()
    assert before["open"]
    ben = acting(a_member(world.team.workspace, "ben", Role.REVIEWER))
    services.claim(ben, world.approval.pk)
    claimed = browser.get(address).json()
    assert claimed["words"] == "Ben is on it."
    services.decide(ben, world.approval.pk, approve(world.approval))
    after = browser.get(address).json()
    assert re.fullmatch(r"Ben already approved this at \d\d:\d\d\.", after["words"])
    assert len({one["stands"] for one in (before, claimed, after)}) == 3
    assert not after["open"]
    assert signed_in_as(world.team.charlie).get(address).status_code == 404


def test_the_row_says_how_old_a_question_is_and_how_long_is_left(world: World) -> None:
    shown = text_of(signed_in_as(world.team.bob).get("/approvals/?part=list"))
    assert re.search(r"asked \d+ s ago", shown)
    assert re.search(r"5\d m left", shown)
