"""Going back in a run: after each of its events the canvas is what the rows had said then, and at the end it is now."""

import datetime as dt
import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from pipelines.graph.canonical import digest
from pipelines.models import Pipeline, PipelineVersion
from runs import canvas, replay
from runs.models import Event, Run, Step
from runs.tallies import Rows, Then
from tests.histories.replay import read, recorded
from tests.pages.builders import World, a_run_of, a_step, an_event
from tests.people import Team, a_team, signed_in_as

FIELDS = ("node", "kind", "title", "state", "wait_reason", "attempt", "flags", "error", "position")


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


def written(run: Run, history: dict[str, Any]) -> Iterator[None]:
    """Write the rows and the log of a recorded run, decision by decision."""
    for turn in history["turns"]:
        for event in turn["decision"]["events"]:
            an_event(run, event["type"], event["path"], dt.datetime.fromisoformat(turn["now"]), **event["payload"])
        for path, record in turn["decision"]["changed"].items():
            over = record["input"] if record["kind"] == "each" else None
            times = {name: record[name] for name in ("started_at", "finished_at")}
            row = {**{name: record[name] for name in FIELDS}, **times, "port": ",".join(record["ports"]) or None}
            Step.objects.update_or_create(run=run, path=path, defaults={**row, "input": over})
        yield


def published(team: Team, history: dict[str, Any]) -> Pipeline:
    """Return a pipeline whose published version is what the recorded run pinned."""
    pipeline = Pipeline.objects.create(workspace=team.workspace, slug=history["template"], name=history["template"])
    known = {"document": history["document"], "lock": history["lock"], "hash": digest(history["document"])}
    pipeline.published = PipelineVersion.objects.create(pipeline=pipeline, number=1, **known)
    pipeline.save(update_fields=["published"])
    return pipeline


def look(cards: list[canvas.Card]) -> dict[str, Any]:
    """Return what each card says. A step that waits to be reached is queued, whether its row is there or not."""
    return {
        card.placed.place: (card.badge, card.css, card.count, card.missing, card.seconds, card.turns)
        for card in cards
        if card.step is None or card.step.state != "pending"
    }


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_after_every_decision_the_canvas_from_the_log_is_the_canvas_from_the_rows(team: Team, file: Path) -> None:
    history = read(file)
    run = a_run_of(published(team, history), team, state="running")
    drawn = canvas.picture_of(run)
    for _ in written(run, history):
        past = replay.fold_of(run, run.seq)
        given = {path: step.items for path, step in past.steps.items() if step.items is not None}
        from_log = canvas.cards_of(Then(replay.steps_of(run, past), given), drawn)
        from_rows = canvas.cards_of(Rows(run), drawn)
        waiting = {card.placed.place for card in from_rows if card.step is not None and card.step.state == "pending"}
        told = {place: said for place, said in look(from_log).items() if place not in waiting}
        assert told == look(from_rows)
        assert canvas.edge_states(drawn, from_log) == canvas.edge_states(drawn, from_rows)


@pytest.fixture
def run(team: Team) -> Run:
    """A run of the review loop in its second round, with its log."""
    pipeline = gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "review-loop")
    run = a_run_of(pipeline, team, state="running", input={"topic": "Bees", "notes": "They fly."})
    a_step(run, "start", "input", state="succeeded", port="done")
    a_step(run, "write", "repeat", state="running", input={"max_rounds": 3}, title="Write and review")
    a_step(run, "write#1.draft", "agent", state="succeeded", port="done", cost_micros=1_000, attempt=1)
    a_step(run, "write#2.draft", "agent", state="running", attempt=1)
    an_event(run, "run_started")
    an_event(run, "step_succeeded", "start", attempt=0, ports=["done"], flags=[])
    an_event(run, "step_started", "write", attempt=1, rounds=3)
    an_event(run, "round_started", "write", round=1, of=3)
    an_event(run, "step_started", "write#1.draft", attempt=1)
    an_event(run, "call_started", "write#1.draft", call="c", kind="model", name="demo/writer", reserved_usd="0.01")
    an_event(run, "call_finished", "write#1.draft", call="c", name="demo/writer", cost_usd="0.001", error=None)
    an_event(run, "step_succeeded", "write#1.draft", attempt=1, ports=["done"], flags=[])
    an_event(run, "round_started", "write", round=2, of=3)
    an_event(run, "step_started", "write#2.draft", attempt=1)
    return run


def shown(team: Team, run: Run, **query: int) -> str:
    response = signed_in_as(team.bob).get(f"/runs/{run.pk}/at/", query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_moment_shows_rounds_states_and_money_of_then(team: Team, run: Run) -> None:
    early = shown(team, run, seq=6)
    assert "round 1 of 3" in early
    assert "$0.01 reserved" in early
    assert "Event 6 of 10" in early
    assert "“Draft, round 1” calls demo/writer, with $0.01 reserved." in early
    later = shown(team, run, seq=8)
    assert "<b>$0.001</b> spent" in later
    assert "reserved" not in later.split('id="moment"', 1)[0].split("</b> spent")[1].split("cap")[0]


def test_only_what_looks_different_is_sent(team: Team, run: Run) -> None:
    everything, difference = shown(team, run, seq=8), shown(team, run, seq=8, **{"from": 5})
    assert 'id="card-start"' in everything
    assert 'id="card-start"' not in difference
    assert 'id="card-write.draft"' in difference


def test_a_live_answer_names_only_the_edges_near_what_changed(team: Team, run: Run) -> None:
    routes = canvas.picture_of(run).routes
    inside = {route.key for route in routes if "write.draft" in (route.source, route.target)}
    outside = {route.key for route in routes if "start" in (route.source, route.target)}
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/changes", {"after": 9}).content.decode()
    named = {html.unescape(key) for key in re.findall('data-for="([^"]+)"', content)}
    assert inside <= named
    assert outside
    assert not outside & named


def test_edges_into_a_join_are_told_when_any_of_its_sources_changes(team: Team) -> None:
    pipeline = gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "first-answer")
    drawn = canvas.picture_of(a_run_of(pipeline, team, state="running"))
    join = next(place for place, count in Counter(route.target for route in drawn.routes).items() if count > 1)
    into = {route.key for route in drawn.routes if route.target == join}
    for source in {route.source for route in drawn.routes if route.target == join}:
        assert into <= {route.key for route in canvas.routes_near(drawn, {source})}


def test_the_end_is_the_run_as_it_is_now(team: Team, run: Run) -> None:
    now = shown(team, run)
    assert "round 2 of 3" in now
    assert "Event 10 of 10" in now
    assert now == shown(team, run, seq=10)
    assert now == shown(team, run, seq=99)
    moment = replay.moment(run, canvas.picture_of(run), 10)
    assert moment.is_now
    assert moment.run is run


def test_a_page_opens_at_a_moment_without_script(team: Team, run: Run) -> None:
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/?at=5").content.decode()
    assert "round 1 of 3" in content
    assert 'href="?at=4"' in content
    assert 'href="?at=6"' in content
    assert "data-past" in content
    assert "data-since" not in content, "no clock runs in the past"
    assert f'data-seq="{run.seq}"' in content, "what comes next is followed from now"


def test_looking_back_changes_nothing(team: Team, run: Run) -> None:
    before = Run.objects.filter(pk=run.pk).values().get()
    shown(team, run, seq=3)
    assert Run.objects.filter(pk=run.pk).values().get() == before


def test_a_fork_begins_with_what_it_took_over(team: Team, run: Run) -> None:
    fork = a_run_of(run.pipeline, team, state="running", forked_from=run)
    a_step(fork, "start", "input", state="succeeded", port="done", flags=["reused"])
    a_step(fork, "write", "repeat", state="running")
    an_event(fork, "run_created", forked_number=run.number)
    an_event(fork, "step_started", "write", attempt=1, rounds=3)
    cards = {card.placed.place: card for card in replay.moment(fork, canvas.picture_of(fork), 1).cards}
    assert cards["start"].badge.word == "Reused"
    assert cards["write"].step is None


def test_charlie_cannot_look_back_into_others_runs(team: Team, run: Run) -> None:
    assert signed_in_as(team.charlie).get(f"/runs/{run.pk}/at/?seq=3").status_code == 404


def test_a_combine_names_who_is_missing(world: World) -> None:
    pipeline = gallery.instantiate(Actor(world.team.alice, world.team.workspace, frozenset(Role)), "company-analysis")
    run = a_run_of(pipeline, world.team, state="running", input={"company": "Halden"})
    drawn = canvas.picture_of(run)
    place = next(placed.place for placed in drawn.nodes if placed.node.kind == "combine")
    first, *others = [route.source for route in drawn.routes if route.target == place]
    a_step(run, first, "agent", state="succeeded", port="done")
    for name in others:
        a_step(run, name, "agent", state="running")
    card = next(card for card in canvas.cards(run, drawn) if card.placed.place == place)
    assert card.count == f"1 of {1 + len(others)} arrived"
    assert card.missing == f"Missing: {', '.join(drawn.by_place[name].title for name in others)}"
    content = signed_in_as(world.team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert content.count(f'title="{card.missing}"') == 2, "on the card and in the outline"


def test_a_for_each_counts_what_failed(world: World) -> None:
    pipeline = gallery.instantiate(Actor(world.team.alice, world.team.workspace, frozenset(Role)), "topic-research")
    run = a_run_of(pipeline, world.team, state="running")
    drawn = canvas.picture_of(run)
    each = next(placed for placed in drawn.nodes if placed.node.kind == "each")
    inner = next(iter(each.node.graph.nodes)) if each.node.graph else ""
    a_step(run, each.place, "each", state="running", input={"over": [1, 2, 3]})
    a_step(run, f"{each.place}[0].{inner}", "agent", state="succeeded", port="done")
    a_step(run, f"{each.place}[1].{inner}", "agent", state="failed")
    a_step(run, f"{each.place}[2].{inner}", "agent", state="failed", flags=["contained"])
    card = next(card for card in canvas.cards(run, drawn) if card.placed.place == each.place)
    assert card.failed == 1, "what is left out of an item does not fail it"
    assert "1 failed" in card.count


def test_the_log_of_a_run_is_not_read_beyond_the_moment(team: Team, run: Run) -> None:
    Event.objects.filter(run=run, seq=9).update(payload={}, type="step_failed", path="start")
    cards = {card.placed.place: card for card in replay.moment(run, canvas.picture_of(run), 8).cards}
    assert cards["start"].badge.word == "Done"


def test_the_cards_of_a_few_places_are_those_that_all_of_them_would_have(team: Team, run: Run) -> None:
    pipeline = gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "first-answer")
    join = a_run_of(pipeline, team, state="running")
    joined = canvas.picture_of(join)
    for place in {route.source for route in joined.routes[:4]}:
        a_step(join, place, joined.by_place[place].node.kind, state="succeeded", port="done")
    for one in (run, join):
        drawn = canvas.picture_of(one)
        every = canvas.cards(one, drawn)
        states = canvas.edge_states(drawn, every)
        for places in [*({place} for place in drawn.by_place), set(drawn.by_place), set()]:
            routes = canvas.routes_near(drawn, places)
            known = canvas.cards(one, drawn, canvas.known_for(drawn, places, routes))
            assert [card for card in known if card.placed.place in places] == [
                card for card in every if card.placed.place in places
            ]
            assert canvas.states_of(routes, known) == {route.key: states[route.key] for route in routes}
