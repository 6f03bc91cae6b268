"""No irreversible action without its approved digest: every address that changes something, by everybody, is tried.

A run waits for the approval of a post to the sink. Each route and form of the walks' tables is sent by each person, and
besides them what somebody might try who wants the post out. After each, every effect that the sink has seen must have
an approval of exactly its arguments, by somebody who neither started the run nor edited its pipeline. The tables are
complete by themselves (`tests/api/test_walk.py`), so a new address is tried here too.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.models import User
from accounts.roles import Role
from approvals import rules
from approvals.models import Approval, DecisionRecord, Rule
from pipelines import drafts, publish
from pipelines.graph import gates
from pipelines.graph.canonical import digest
from pipelines.models import Pipeline
from runs.execution.mcp import client as mcp
from runs.models import Run
from runs.services import Order, start_run
from tests.api import page_walks, walks
from tests.api.world import World, a_world
from tests.conftest import wait_for
from tests.faults.stage import Outside, WorkerProcess
from tests.people import a_member, signed_in_as

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(600)]

# bob, who may approve, comes first: what carol and dana make of the rules asks for more than him.
PEOPLE = ("bob", "olga", "alice", "erin", "victor", "carol", "dana")
# Who tries a run that asks in another way than the first: one who may approve, one who composes, one who manages.
FEW = ("bob", "alice", "carol")
GUARDS: Mapping[str, Mapping[str, Any] | None] = {
    "approve": {"kind": "human", "mode": "approve", "guards": "send"},
    "edit": {"kind": "human", "mode": "edit", "guards": "send"},
    "by-policy": None,
}


def a_document(slug: str, url: str, guard: Mapping[str, Any] | None, text: str = "${input.topic}") -> dict[str, Any]:
    args = {"method": "POST", "url": url, "json": {"marker": text}}
    nodes = {
        "start": {"kind": "input"},
        "send": {"kind": "tool", "tool": "http.request@1", "args": args},
        "end": {"kind": "output", "value": "${steps.send.output}"},
    }
    ways = [("start", "done", "send"), ("send", "done", "end")]
    if guard:
        nodes["look"] = dict(guard)
        ways = [("start", "done", "look"), ("look", "approved", "send"), ("send", "done", "end")]
    edges = [{"from": source, "port": port, "to": target} for source, port, target in ways]
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": slug, "name": slug}
    inputs = {"type": "object", "properties": {"topic": {"type": "string"}}}
    return {**head, "inputs": inputs, "graph": {"nodes": nodes, "edges": edges}}


class Scene:
    """A workspace in which a run always waits for its approval, and what the sink has seen."""

    def __init__(self, sink: Outside, world: World, guard: str) -> None:
        self.sink, self.world = sink, world
        self.url = f"http://127.0.0.1:{sink.port}/post"
        team = self.world.team
        self.olga = Actor(self.world.olga, team.workspace, frozenset({Role.COMPOSER, Role.MANAGER, Role.ADMIN}))
        a_member(team.workspace, "spare", Role.VIEWER)
        self.document = a_document("acme-post", self.url, GUARDS[guard])
        pipeline = drafts.create(self.olga, self.document)
        publish.publish(self.olga, pipeline, "")
        self.pipeline = Pipeline.objects.get(pk=pipeline.pk)
        self.markers = 0
        self.run = self.waiting_run()

    def waiting_run(self) -> Run:
        """Return a new run of the first version that waits for its approval."""
        self.markers += 1
        pipeline = Pipeline.objects.get(pk=self.pipeline.pk)
        drafts.restore(self.olga, pipeline)
        run = start_run(self.olga, pipeline, Order({"topic": f"m{self.markers}"}, version=1))
        wait_for(lambda: self.question(run) is not None, 20, lambda: str(Run.objects.get(pk=run.pk).state))
        return run

    def question(self, run: Run) -> Approval | None:
        return Approval.objects.filter(run=run, state="open").first()

    def ready(self) -> World:
        """Return the world of the walks, with this run and its question in it; a new one where the last has ended."""
        while (question := self.question(self.run)) is None:  # a worker may withdraw it at any moment
            self.run = self.waiting_run()
        member = "spare@example.com"
        here = replace(
            self.world.here, pipeline=self.pipeline, run=self.run, trial=self.run, approval=question, member=member
        )
        return replace(self.world, here=here)

    def effects(self) -> list[dict[str, Any]]:
        return [json.loads(effect["body"]) for effect in self.sink.ask("/admin/effects")]

    def assert_approved(self, what: str) -> None:
        """Every effect that there was has an approval of its own, given by somebody who may."""
        for marker, count in Counter(body["marker"] for body in self.effects()).items():
            given = [one for one in Approval.objects.filter(state="approved") if posts(one) == marker]
            assert count <= len(given), f"{what}: {marker} was posted {count} times with {len(given)} approvals"
            for approval in given:
                assert approval.payload_hash == gates.payload_hash(approval.payload) == digest(approval.payload)
                makers = {approval.run.started_by_id, *approval.run.version.editors}
                by = list(DecisionRecord.objects.filter(approval=approval, decision="approve"))
                assert by, f"{what}: {marker} was approved by nobody"
                assert all(one.by_id not in makers for one in by), f"{what}: {marker} was approved by its maker"


def posts(approval: Approval) -> str | None:
    args = (approval.payload or {}).get("args") or {}
    return (args.get("json") or {}).get("marker")


def tries(scene: Scene, world: World) -> Iterator[tuple[str, str, str, Any]]:
    """Yield what somebody might send who wants the post out: what it is, method, path, body."""
    here = world.here
    run, question = f"/runs/{here.run.pk}", f"/approvals/{here.approval.pk}"
    pipeline = f"/pipelines/{scene.pipeline.slug}"
    payload = here.approval.payload
    other = {**payload, "args": {**payload["args"], "json": {"marker": "slipped in"}}}
    seen = here.approval.payload_hash
    sure = {"decision": "approve", "payload_hash": seen}
    for words, body in {
        "without a digest": {"decision": "approve"},
        "another digest": {"decision": "approve", "payload_hash": digest(other)},
        "another payload under the old digest": {**sure, "payload": other},
        "another payload under its own": {"decision": "approve", "payload_hash": digest(other), "payload": other},
        "another tool": {**sure, "payload": {**payload, "tool": "email.send@1"}},
        "as an answer": {"decision": "answer", "payload": payload, "payload_hash": seen},
        "as used": {"decision": "use", "payload": {"status": 200}, "reason": "It happened."},
        "as a retry": {"decision": "retry", "reason": "Again."},
        "twice": sure,
        "in several": sure,
    }.items():
        yield f"decide {words}", "POST", f"{question}/decide", body
    yield "decide twice", "POST", f"{question}/decide", sure
    bulk = {"decision": "approve", "items": [{"id": str(here.approval.pk), "payload_hash": seen}] * 2}
    yield "decide in bulk", "POST", "/approvals/bulk", bulk
    for overrides in ({"look": payload}, {"look": other}, {"send": {"status": 200}}, {"input": {"topic": "forked"}}):
        yield f"fork with {[*overrides]}", "POST", f"{run}/fork", {"overrides": overrides}
    for path in ("start", "look", "send", "end"):
        yield f"fork from {path}", "POST", f"{run}/fork", {"from_path": path}
    yield "stop the guard", "POST", f"{run}/steps/stop", {"path": "look"}
    unguarded = a_document(scene.pipeline.slug, scene.url, None, "unguarded")
    yield "take the guard out", "PUT", f"{pipeline}/draft", {"document": unguarded}
    yield "publish it", "POST", f"{pipeline}/publish", {"note": ""}
    yield "run it", "POST", f"{pipeline}/runs", {"input": {"topic": "direct"}}
    yield "run the draft", "POST", f"{pipeline}/runs", {"input": {}, "version": "draft"}
    yield "fork into it", "POST", f"{run}/fork", {"from_path": "start", "version": "draft"}
    waived = {"name": "Waived", "levels": [{"roles": ["composer", "viewer"]}], "tool": "http.request"}
    yield "a rule of one's own", "POST", "/approval-rules", waived


def forms(world: World) -> list[tuple[str, dict[str, str]]]:
    """Return the decision page's own forms, as the browser sends them."""
    seen = world.here.approval.payload_hash
    address = f"/approvals/{world.here.approval.pk}/"
    item = {"item": f"{world.here.approval.pk} {seen}", "decision": "approve"}
    return [
        (address, {"decision": "approve"}),
        (address, {"decision": "approve", "payload_hash": seen, "edited": "1", "field-method": "POST"}),
        (address, {"decision": "approve", "payload_hash": seen}),
        ("/approvals/bulk/", item),
    ]


@pytest.fixture
def sink(_sink: tuple[Outside, int]) -> Outside:
    _sink[0].ask("/admin/reset", {})
    return _sink[0]


@pytest.fixture
def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    async def offered(server: object) -> list[object]:
        return []  # the world's tool server leads nowhere

    monkeypatch.setattr(mcp, "offered", offered)
    return a_world()


@pytest.fixture
def worker(sink: Outside, world: World, tmp_path: Path) -> Iterator[WorkerProcess]:
    """Run a worker once the world stands: it would work on the runs whose steps the world writes itself."""
    process = WorkerProcess("w1", tmp_path, BATON_EGRESS_ALLOW="127.0.0.1").wait_until_ready()
    yield process
    process.stop()


@pytest.mark.parametrize("guard", GUARDS)
def test_no_address_lets_an_action_out_without_its_approval(
    sink: Outside, world: World, worker: WorkerProcess, guard: str
) -> None:
    scene = Scene(sink, world, guard)
    tried = 0
    people = PEOPLE if guard == "approve" else FEW
    for name in people:
        client = signed_in_as(scene.world.person(name))
        for what in everything(scene, client, name):
            tried += 1
            if what == "POST /approvals/{approval_id}/decide" and name == "bob":
                wait_for(lambda: len(scene.effects()) == 1, 20)
            scene.assert_approved(f"{name}: {what}")
    assert tried > 100 * len(people)
    assert len(scene.effects()) >= 2, "bob may approve, by the API and on the page, and does"
    assert_one_more(scene)


def everything(scene: Scene, client: Client, name: str) -> Iterator[str]:
    """Send all that changes something, and say after each what it was."""
    for route in walks.writing_routes():
        if "/members" in route and name == "dana":
            continue  # whom an admin makes a reviewer may approve
        answer = walks.call(client, route, scene.ready())
        assert answer.status_code < 500, (route, answer.content)
        yield route
    for pattern in page_walks.pages(posts=True, public=False):
        page_walks.post_page(client, pattern, scene.ready().here.ids())
        yield pattern
    for number in range(sum(1 for _ in tries(scene, scene.ready()))):
        what, method, path, body = list(tries(scene, scene.ready()))[number]
        headers = {"If-Match": str(scene.pipeline.draft.revision)} if method == "PUT" else {}
        answer = client.generic(method, f"/api/v1{path}", json.dumps(body), "application/json", headers=headers)
        assert answer.status_code < 500, (what, answer.content)
        scene.pipeline.draft.refresh_from_db()
        yield what
    for number in range(len(forms(scene.ready()))):
        address, posted = forms(scene.ready())[number]
        assert client.post(address, posted).status_code < 500, posted
        yield f"{address} {posted}"


def assert_one_more(scene: Scene) -> None:
    """Decide as it should be decided: there is exactly one effect, of exactly what was approved."""
    for rule in Rule.objects.filter(workspace=scene.olga.workspace):
        rules.remove(scene.olga, rule)
    run = scene.waiting_run()
    question = scene.question(run)
    assert question is not None
    marker = run.input["topic"]
    assert all(body["marker"] != marker for body in scene.effects())
    sure = {"decision": "approve", "payload_hash": question.payload_hash}
    path = f"/api/v1/approvals/{question.pk}/decide"
    bob = User.objects.get(pk=scene.world.team.bob.pk)  # who has ended sessions of his meanwhile
    answer = signed_in_as(bob).post(path, sure, "application/json")
    assert answer.status_code == 200, answer.content
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 20)
    wait_for(lambda: not Run.objects.filter(state__in=("queued", "running", "cancelling")).exists(), 30)
    assert [body for body in scene.effects() if body["marker"] == marker] == [{"marker": marker}]
    scene.assert_approved("in the end")
