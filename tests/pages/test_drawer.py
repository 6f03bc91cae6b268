"""A step's drawer: its attempts and how they differ, its items and rounds, and where its output comes from."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from runs.attempts import attempts_of, compared_of
from runs.models import Call, Run
from tests.pages.builders import HOSTILE, World, a_run_of, a_step, an_event
from tests.people import Team, signed_in_as


def a_call(run: Run, attempt: int, answer: str, prompt: str = "Write about bees.", **fields: Any) -> Call:
    row = {"state": "finished", "cost_micros": 2_000, "input_tokens": 120, "finished_at": timezone.now(), **fields}
    return Call.objects.create(
        run=run,
        path="research",
        key=f"research@{attempt}/{attempt}",
        attempt=attempt,
        n=attempt,
        kind="model",
        name="demo/writer",
        request_hash="sha256:0",
        idempotency_key=f"{run.pk}/research/{attempt}",
        request={"messages": [{"role": "user", "text": prompt}]},
        response={"text": answer},
        started_at=timezone.now(),
        **row,
    )


def drawer(team: Team, run: Run, path: str, **query: object) -> str:
    response = signed_in_as(team.bob).get(f"/runs/{run.pk}/step/", {"path": path, **query})
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def tried(world: World) -> World:
    a_call(world.run, 1, "Bees sting often.")
    a_call(world.run, 2, "Bees sting rarely.", "Write about bees. Be right.")
    a_call(world.run, 3, f"Bees sting rarely. {HOSTILE}", "Write about bees. Be right.")
    an_event(world.run, "step_retrying", "research", attempt=1, why="repair", delay=0.0)
    an_event(world.run, "step_retrying", "research", attempt=2, why="fallback", delay=0.0)
    return world


def test_attempts_are_named_by_why_they_were_made_with_their_tokens_and_cost(tried: World) -> None:
    found = attempts_of(tried.run, "research")
    assert [one.title for one in found] == ["Attempt 1", "Repair, attempt 2", "Fallback, attempt 3"]
    assert [(one.input_tokens, one.cost_micros) for one in found] == [(120, 2_000)] * 3
    content = drawer(tried.team, tried.run, "research")
    assert "120 tokens in" in content


def test_any_two_attempts_are_compared_word_by_word_with_their_prompts(tried: World) -> None:
    content = drawer(tried.team, tried.run, "research", first=1, second=2)
    assert "What differs between attempts 1 and 2" in content
    assert "<del>often.</del><ins>rarely.</ins>" in content
    assert "Be right.</ins>" in content
    assert "Both were asked the same." in drawer(tried.team, tried.run, "research", first=2, second=3)


def test_without_a_choice_the_last_two_are_compared_and_answers_stay_text(tried: World) -> None:
    content = drawer(tried.team, tried.run, "research")
    assert "What differs between attempts 2 and 3" in content
    assert "<script>alert" not in content
    found = attempts_of(tried.run, "research")
    assert compared_of(found[:1], (1, 1)) is None


def test_one_attempt_has_nothing_to_be_compared_with(world: World) -> None:
    a_call(world.run, 1, "Once.")
    assert "What differs" not in drawer(world.team, world.run, "research")


def test_a_for_each_lists_its_items_with_state_cost_and_link(world: World) -> None:
    pipeline = gallery.instantiate(Actor(world.team.alice, world.team.workspace, frozenset(Role)), "topic-research")
    run = a_run_of(pipeline, world.team, state="running")
    a_step(run, "research", "each", state="running", input={"over": list(range(12))})
    for number in range(11):
        a_step(run, f"research[{number}].dig", "agent", state="succeeded", cost_micros=1_000, port="done")
    a_step(run, "research[10].finding", "transform", state="failed")
    content = drawer(world.team, run, "research")
    items = content.split('id="parts"')[1].split("</section>")[0]
    assert items.count("<li>") == 11
    assert items.index("Item 2<") < items.index("Item 11<"), "in their order, not in that of their letters"
    assert "research%5B10%5D.finding" in items, "what failed is where to look"
    assert "Failed" in items
    assert "$0.001" in items


def test_a_repeat_lists_its_rounds(world: World) -> None:
    pipeline = gallery.instantiate(Actor(world.team.alice, world.team.workspace, frozenset(Role)), "review-loop")
    run = a_run_of(pipeline, world.team, state="running")
    a_step(run, "write", "repeat", state="running", input={"max_rounds": 3})
    a_step(run, "write#1.draft", "agent", state="succeeded", port="done")
    a_step(run, "write#2.draft", "agent", state="running")
    items = drawer(world.team, run, "write").split('id="parts"')[1].split("</section>")[0]
    assert "Round 1" in items
    assert "Round 2" in items


def test_the_lineage_leads_to_steps_models_and_the_places_on_the_canvas(world: World) -> None:
    a_call(world.run, 1, "Bees.")
    plain = drawer(world.team, world.run, "research")
    assert 'id="lineage"' not in plain
    assert "Where it comes from" in plain
    content = drawer(world.team, world.run, "research", **{"from": 1})
    lineage = content.split('id="lineage"')[1].split("</section>")[0]
    assert 'data-origin="research"' in lineage
    assert "demo/writer" in lineage


def test_rerun_says_what_it_saves(world: World) -> None:
    a_step(world.run, "start", "input", state="succeeded", port="done")
    content = signed_in_as(world.team.alice).get(f"/runs/{world.run.pk}/step/?path=approve").content.decode()
    assert "Rerun from here, saves" in content
    assert "$0.0184" in content.split("Rerun from here, saves")[1][:80]


def test_charlie_reads_neither_attempts_nor_lineage(tried: World) -> None:
    stranger = signed_in_as(tried.team.charlie)
    assert stranger.get(f"/runs/{tried.run.pk}/step/?path=research&first=1&second=2&from=1").status_code == 404
