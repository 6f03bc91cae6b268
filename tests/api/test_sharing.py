"""One pipeline kept for some: everything of it is as absent to others as another workspace's, on every address."""

import json
from typing import Any

import pytest
from django.utils import timezone

from accounts import access
from accounts.access import Actor, Capability
from accounts.errors import Forbidden, NotFound
from accounts.roles import Role
from evals import evaluations
from notices import audience
from notices import inbox as told
from notices.models import Notice
from pipelines import drafts, publish, sharing
from pipelines.editor import history
from pipelines.models import Pipeline
from pipelines.sharing import Lists
from runs import forks, offered
from runs.models import Firing, Run, Trigger
from runs.services import Order, start_run
from runs.socket_access import Knock, answers
from runs.triggers import definitions, firing
from tests.api import page_walks, walks
from tests.api.kept import keep
from tests.api.page_walks import PAGES
from tests.api.rows import rows, undone
from tests.api.walks import CALLS
from tests.api.world import NOBODYS, World
from tests.people import a_member, acting, signed_in_as
from tests.pipelines.builders import a_document, a_pipeline

# What belongs to the pipeline of the world, by the names under which addresses know it.
OF_IT = {"pipeline", "run", "artifact", "approval", "trigger", "evaluation", "answer"}
OTHERS = ("alice", "bob", "carol", "erin", "victor")


def names_it(sample: Any) -> bool:
    return any(thing in OF_IT for thing in sample.holes.values())


def absent(world: World) -> dict[str, str]:
    ids = world.here.ids()
    return {name: NOBODYS[name] if name in OF_IT else value for name, value in ids.items()}


@pytest.mark.parametrize("name", OTHERS)
def test_every_route_answers_others_as_if_it_were_not_there(world: World, name: str) -> None:
    keep(world, see=("dana@example.com",))
    client = signed_in_as(world.person(name))
    for route, sample in CALLS.items():
        with undone():
            before = rows()
            answer = walks.call(client, route, world)
            if names_it(sample):
                assert answer.content == walks.call(client, route, world, absent(world)).content, route
                assert answer.status_code in (403, 404), route
                assert rows() == before, route
            elif route in ("GET /runs", "GET /pipelines", "GET /approvals", "GET /triggers", "GET /evaluations"):
                for thing in OF_IT:
                    assert world.here.ids()[thing] not in answer.content.decode(), (route, thing)


@pytest.mark.parametrize("name", OTHERS)
def test_every_page_answers_others_as_if_it_were_not_there(world: World, name: str) -> None:
    keep(world, see=("dana@example.com",))
    client, ids = signed_in_as(world.person(name)), world.here.ids()
    for pattern, page in PAGES.items():
        if page.public or not names_it(page):
            continue
        with undone():
            if page.reads:
                assert page_walks.open_page(client, pattern, ids, {"path": "write"}).status_code in (403, 404), pattern
            if page.posts is not None:
                assert page_walks.post_page(client, pattern, ids).status_code in (403, 404), pattern
    for path in ("/", "/runs/", "/runs/?of=all", "/pipelines/", "/approvals/", "/evaluations/", "/places/"):
        text = client.get(path).content.decode()
        for thing in ("run", "answer", "approval"):
            assert ids[thing] not in text, (path, thing)
        assert f"/pipelines/{ids['pipeline']}/" not in text, path


@pytest.mark.parametrize("name", ["dana", "bob"])
def test_whom_it_is_kept_for_sees_it_as_before(world: World, name: str) -> None:
    keep(world, see=("reviewer",))
    client = signed_in_as(world.person(name))
    for route in walks.reading_routes():
        if names_it(CALLS[route]) and name in CALLS[route].may:
            assert walks.call(client, route, world).status_code == 200, route


def test_costs_stay_in_everybodys_figures(world: World) -> None:
    before = signed_in_as(world.team.carol).get("/api/v1/costs").json()
    keep(world, see=("dana@example.com",))
    assert signed_in_as(world.team.carol).get("/api/v1/costs").json()["total"] == before["total"]


def test_seeing_is_not_running_and_running_is_not_editing(world: World) -> None:
    keep(world, run=("alice@example.com",), edit=("admin",))
    team, pipeline = world.team, world.here.pipeline
    other = acting(a_member(team.workspace, "ben", Role.COMPOSER), team.workspace)
    alice = acting(team.alice, team.workspace)
    order = Order({"topic": "tides"})
    assert start_run(alice, pipeline, order)
    for refused in (
        lambda: start_run(other, pipeline, order),
        lambda: forks.fork(other, world.here.run, forks.Fork("write")),
        lambda: evaluations.start(other, evaluations.Order(pipeline.slug, "acme-cases")),
        lambda: drafts.save(alice, pipeline, pipeline.draft.document, pipeline.draft.revision),
        lambda: publish.publish(alice, pipeline),
        lambda: publish.rollback(alice, pipeline, 1),
        lambda: sharing.put(alice, pipeline, Lists()),
    ):
        with pytest.raises(Forbidden) as found:
            refused()
        assert found.value.code == "not_shared"
    assert signed_in_as(team.alice).get(f"/pipelines/{pipeline.slug}/").status_code == 200


def test_no_list_gives_what_a_role_does_not(world: World) -> None:
    keep(world, run=("viewer",), edit=("viewer", "olga@example.com"))
    victor = acting(world.victor, world.team.workspace)
    for capability in (Capability.RUN, Capability.EDIT):
        assert not access.may(victor, capability, world.here.pipeline)


def test_an_mcp_client_is_offered_only_what_it_may_run(world: World) -> None:
    keep(world, run=("dana@example.com",))
    alice, dana = (acting(one, world.team.workspace) for one in (world.team.alice, world.team.dana))
    slug = world.here.pipeline.slug
    assert slug in {tool["name"] for tool in offered.tools(dana)[0]}
    assert slug not in {tool["name"] for tool in offered.tools(alice)[0]}
    with pytest.raises(NotFound):
        offered.call(alice, slug, {"topic": "tides"})


def test_a_trigger_starts_nothing_for_who_may_not_run_it_any_more(world: World) -> None:
    alice = acting(world.team.alice, world.team.workspace)
    definitions.update(alice, world.here.trigger, {"enabled": True})  # in her name
    keep(world, run=("dana@example.com",))
    trigger = Trigger.objects.get(slug=world.here.trigger)
    event = {"title": "tides"}
    due = Firing.objects.create(trigger=trigger, key="k", event=event, at=timezone.now())
    fired = firing.start(due.pk)
    assert fired is not None
    assert (fired.state, fired.error["code"]) == (Firing.State.REFUSED, "not_shared")


def calling(actor: Actor, slug: str, called: str) -> Pipeline:
    nodes = {
        "start": {"kind": "input"},
        "call": {"kind": "pipeline", "pipeline": f"{called}@1", "inputs": {"topic": "tides"}},
        "result": {"kind": "output", "value": "${steps.call.output}"},
    }
    edges = [{"from": "start", "to": "call"}, {"from": "call", "to": "result"}]
    return drafts.create(actor, a_document(slug, graph={"nodes": nodes, "edges": edges}))


def test_nobody_reaches_it_through_a_pipeline_of_their_own(world: World) -> None:
    alice = acting(world.team.alice, world.team.workspace)
    before = calling(alice, "way-round", world.here.pipeline.slug)
    publish.publish(alice, before)
    before.refresh_from_db()
    earlier = start_run(alice, before, Order({"topic": "tides"}))
    keep(world, run=("dana@example.com",))
    alice = acting(world.team.alice, world.team.workspace)
    for way in (
        lambda: start_run(alice, before, Order({"topic": "tides"})),
        lambda: forks.fork(alice, earlier, forks.Fork(overrides={"input": {"topic": "of mine"}})),
        lambda: publish.publish(alice, calling(alice, "another-way", world.here.pipeline.slug)),
    ):
        with pytest.raises(Forbidden) as found:
            way()
        assert found.value.code == "not_shared"


def test_the_palette_offers_it_to_nobody_else(world: World) -> None:
    alice = acting(world.team.alice, world.team.workspace)
    mine = drafts.create(alice, a_document("mine"))
    for kept, named in (((), True), (("dana@example.com",), False)):
        keep(world, see=kept)
        wish = {
            "do": "add",
            "with": json.dumps({"preset": "pipeline"}),
            "rev": mine.draft.revision,
            "op_id": f"op-{named}",
        }
        answer = signed_in_as(alice.user).post("/pipelines/mine/change/", wish, headers={"HX-Request": "true"})
        assert answer.status_code == 200
        mine.draft.refresh_from_db()
        assert (world.here.pipeline.slug in json.dumps(mine.draft.document["graph"])) is named
        mine.draft = history.undo(alice, mine, f"back-{named}")


def test_a_file_of_a_pipeline_that_calls_it_carries_it_to_those_who_see_it(world: World) -> None:
    calling(acting(world.team.alice, world.team.workspace), "way-round", world.here.pipeline.slug)
    keep(world, see=("dana@example.com",))
    for name, carried in (("dana", 2), ("alice", 1)):
        client = signed_in_as(world.person(name))
        page = client.get("/pipelines/way-round/export/")
        for bundle in (client.get("/api/v1/pipelines/way-round/export").json(), json.loads(page.content)):
            assert len(bundle["pipelines"]) == carried


def test_what_a_run_of_it_starts_is_kept_with_it(world: World) -> None:
    """The input of a child is content of the pipeline that started it."""
    owner = acting(world.olga, world.team.workspace)
    helper = a_pipeline(owner, "helper")
    publish.publish(owner, helper)
    helper.refresh_from_db()
    child = start_run(owner, helper, Order({"topic": "theirs"}))
    alone = start_run(owner, helper, Order({"topic": "own"}))
    Run.objects.filter(pk=child.pk).update(origin={"ancestors": [[world.here.pipeline.slug, "sha256:0"]]})
    keep(world, see=("dana@example.com",))
    bob, dana = (acting(one, world.team.workspace) for one in (world.team.bob, world.team.dana))
    seen = set(access.scoped(Run, bob).values_list("pk", flat=True))
    assert (child.pk in seen, alone.pk in seen) == (False, True)
    assert access.scoped(Run, dana).filter(pk=child.pk).exists()
    again = forks.fork(acting(world.olga, world.team.workspace), Run.objects.get(pk=child.pk), forks.Fork())
    assert not access.scoped(Run, bob).filter(pk=again.pk).exists()
    assert access.scoped(Run, dana).filter(pk=again.pk).exists()


def test_its_sockets_are_closed_to_others(world: World) -> None:
    keep(world, see=("dana@example.com",))
    sessions = {name: str(signed_in_as(world.person(name)).session.session_key) for name in ("bob", "dana")}
    bob, dana = answers([Knock(sessions[name], "", run=world.here.run.pk) for name in ("bob", "dana")])
    assert bob == 4403
    assert isinstance(dana, Actor)


def test_nobody_else_is_told_of_its_questions(world: World) -> None:
    keep(world, see=("dana@example.com",))
    bob = acting(world.team.bob, world.team.workspace)
    assert not audience.may_read(world.here.approval, bob)
    dana = acting(world.team.dana, world.team.workspace)
    assert audience.may_read(world.here.approval, dana)


def test_what_others_were_told_before_is_theirs_no_more(world: World) -> None:
    about, other = Notice.objects.get(pk=world.here.notice.pk), Notice.objects.get(approval=None)
    Notice.objects.all().update(user=world.team.bob)
    bob = acting(world.team.bob, world.team.workspace)
    assert set(told.mine(bob)) == {about, other}
    keep(world, see=("dana@example.com",))
    assert set(told.mine(acting(world.team.bob, world.team.workspace))) == {other}
