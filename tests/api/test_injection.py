"""Text from models, tools and people stays text: in pages, frames, prompts, mails and the calls that are approved."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from accounts.models import User
from approvals.models import Approval, DecisionRecord
from pipelines import drafts, publish
from pipelines.models import Draft, Pipeline
from runs.models import Call, Event, Inbox, Run, Step
from runs.services import Order, start_run
from runs.views import fragments
from tests.api import page_walks, walks
from tests.api.rows import rows
from tests.api.walks import CALLS
from tests.api.world import ABSENT, World
from tests.approvals.builders import a_desk, a_run, an_approval
from tests.conftest import LiveStack, wait_for
from tests.people import a_team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document, a_writer

MARK = "zz9"
EVALUATED = "80000777"
HOSTILE = (
    f"\"'><{MARK} hx-get=/logout/ onclick=alert(1)></{MARK}><script>{MARK}()</script><img src=//{MARK}.io onerror=x>"
    f"[x](javascript:{MARK}) {{{{ 80000000|add:777 }}}} {{% now 'Y' %}} ${{80000000+777}} \u202e\u2066"
)
ADDRESSES = ("src", "href", "action", "formaction")


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def harm(self) -> Iterator[str]:
        """Yield what of the hostile text has become more than text."""
        for tag, attributes in self.tags:
            if tag == MARK or (tag == "script" and not attributes.get("nonce") and attributes.get("type") is None):
                yield f"<{tag} {attributes}>"
            for name, value in attributes.items():
                acts = name.startswith(("on", "hx-", "data-hx-")) or name in ADDRESSES
                said = value.partition("?")[0] if value and name in ADDRESSES and _is_a_query(value) else value
                if acts and said and (MARK in said or (value == "/logout/" and name.startswith("hx-"))):
                    yield f"<{tag} {name}={value}>"


def _is_a_query(address: str) -> bool:
    """Say whether what follows the question mark is only ever a value: a filter may name any tag, percent-encoded."""
    return not set(address.partition("?")[2]) & set("<>\"'` \\")


@pytest.fixture
def hostile(world: World) -> World:
    """Return the world with the hostile text wherever somebody else's words may stand."""
    run, workspace = world.here.run, world.team.workspace
    User.objects.filter(memberships__workspace=workspace).update(name=HOSTILE[:120])
    Pipeline.objects.filter(workspace=workspace).update(name=HOSTILE[:120], description=HOSTILE)
    draft = Draft.objects.get(pipeline=world.here.pipeline)
    document = {**draft.document, "name": HOSTILE[:120], "description": HOSTILE}
    write = {**document["graph"]["nodes"]["write"], "title": HOSTILE[:120], "help": HOSTILE, "prompt": HOSTILE}
    document["graph"]["nodes"]["write"] = write
    Draft.objects.filter(pk=draft.pk).update(document=document)
    words = {"text": HOSTILE, HOSTILE[:200]: [HOSTILE]}
    Run.objects.filter(pk=run.pk).update(input=words, output=words, tags=[HOSTILE[:63]], reason=HOSTILE[:64])
    Run.objects.filter(pk=run.pk).update(
        error={"class": "internal", "code": HOSTILE, "message": HOSTILE}, state="failed"
    )
    error = {"class": "tool_error", "code": HOSTILE, "message": HOSTILE}
    Step.objects.filter(run=run).update(
        title=HOSTILE[:200], input={"prompt": HOSTILE}, output=words, meta=words, error=error, state="failed"
    )
    Event.objects.filter(run=run).update(payload={"reason": HOSTILE, "by": HOSTILE, "message": HOSTILE, "error": error})
    payload = {"tool": "email.send@1", "args": {"to": HOSTILE, "subject": HOSTILE, "body": HOSTILE, HOSTILE[:60]: "x"}}
    trust = {"/args/body": HOSTILE}
    asked = an_approval(run, payload=payload, title=HOSTILE[:200], why=HOSTILE, show=words, trust=trust)
    return replace(world, here=replace(world.here, approval=asked))


def test_hostile_text_stays_text_on_every_page(hostile: World) -> None:
    for person in (hostile.team.bob, hostile.olga):
        client = signed_in_as(person)
        for pattern in page_walks.pages(reads=True, public=False):
            for query in ({"path": "write"}, {"view": "timeline"}, {"view": "steps"}, {"view": "log"}, {"view": "all"}):
                answer = page_walks.open_page(client, pattern, hostile.here.ids(), query)
                if answer.status_code == 404 and "path" not in query:  # a step's page without a step
                    continue
                if answer.status_code == 403 and person is hostile.team.bob:  # a composer's form
                    continue
                assert answer.status_code == page_walks.PAGES[pattern].shows, (pattern, query)
                text = answer.getvalue().decode()
                assert EVALUATED not in text, (pattern, query)
                if "html" in answer["Content-Type"]:
                    assert list(Page(text).harm()) == [], (pattern, query)


def test_hostile_text_stays_text_in_the_frames_of_a_run(hostile: World) -> None:
    frame = fragments.frame(acting(hostile.team.bob), str(hostile.here.run.pk), {"write"}, (1, 2))
    assert MARK in frame["content"]
    assert list(Page(frame["content"]).harm()) == []


def test_hostile_text_comes_back_as_it_was_from_the_api(hostile: World) -> None:
    client = signed_in_as(hostile.team.dana)
    found = walks.call(client, "GET /runs/{run_id}", hostile)
    assert found.json()["input"]["text"] == HOSTILE
    for route in walks.reading_routes():
        answer = walks.call(client, route, hostile)
        assert answer["Content-Type"] == "application/json; charset=utf-8", route
        assert answer["X-Content-Type-Options"] == "nosniff", route


def test_a_decision_and_a_comment_are_shown_as_text(hostile: World) -> None:
    bob, path = signed_in_as(hostile.team.bob), f"/approvals/{hostile.here.approval.pk}/"
    bob.post(f"{path}comment/", {"text": HOSTILE})
    bob.post(path, {"decision": "reject", "reason": HOSTILE})
    assert DecisionRecord.objects.get(approval=hostile.here.approval).reason == HOSTILE
    text = bob.get(path).content.decode()
    assert MARK in text
    assert list(Page(text).harm()) == []


def test_a_refusal_repeats_hostile_text_as_text(world: World) -> None:
    client = signed_in_as(world.olga)
    pages = [
        client.post("/pipelines/acme-brief/", {"field-topic": "x" * 300_000 + HOSTILE}),
        client.get("/runs/", {"workspace": HOSTILE}),
        client.get("/runs/", {"cursor": HOSTILE}),
        client.get(f"/{HOSTILE}"),
        client.post("/login/", {"email": HOSTILE, "password": "x", "next": f"//{MARK}.example"}),
    ]
    for page in pages:
        assert list(Page(page.content.decode()).harm()) == []
    assert MARK not in pages[-1].headers.get("Location", "")


_NONCE = re.compile(r"script-src 'nonce-([^']+)' 'strict-dynamic'")


def test_every_page_carries_the_policy_that_would_stop_it_anyway(hostile: World) -> None:
    client, nonces = signed_in_as(hostile.team.bob), []
    for pattern in page_walks.pages(reads=True):
        if pattern in ("healthz", "readyz", "metrics"):
            continue
        answer = page_walks.open_page(client, pattern, hostile.here.ids(), {"path": "write"})
        policy = answer["Content-Security-Policy"]
        assert "unsafe" not in policy, pattern
        for part in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert part in policy, pattern
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"
        found = _NONCE.search(policy)
        if found:
            nonces.append(found[1])
    assert len(set(nonces)) == len(nonces) > 5


# Templates


@pytest.mark.django_db(transaction=True)
def test_text_from_outside_is_never_read_as_a_template(live_stack: LiveStack) -> None:
    """Through a real worker: what the form, a model and a tool bring is quoted, not evaluated, however often."""
    team = a_team()
    alice = acting(team.alice)
    a_writer(alice, "echo", model="demo/echo")
    ask = {"kind": "agent", "agent": "echo@1"}
    nodes = {
        "start": {"kind": "input"},
        "first": {**ask, "prompt": "${input.topic}"},
        "second": {**ask, "prompt": "${steps.first.output}"},
        "note": {"kind": "tool", "tool": "notes.append@1", "args": {"text": "${steps.second.output}"}},
        "shape": {"kind": "transform", "set": {"x": "steps.second.output + input.topic"}},
        "result": {"kind": "output", "value": "${steps.shape.output.x}"},
    }
    edges = [{"from": one, "to": other} for one, other in pairwise(nodes)]
    inputs = {"type": "object", "properties": {"topic": {"type": "string"}, "secret": {"type": "string"}}}
    pipeline = drafts.create(alice, a_document("quoted", inputs=inputs, graph={"nodes": nodes, "edges": edges}))
    publish.publish(alice, pipeline)
    pipeline.refresh_from_db()
    topic = (
        "${input.secret} ${80000000+777} $${steps.start.output} ${{1}} ${x | default(input.secret)} {{ input.secret }}"
    )
    run = start_run(alice, pipeline, Order({"topic": topic, "secret": "S3CRET"}))
    wait_for(lambda: Run.objects.get(pk=run.pk).finished_at is not None, 30, live_stack.logs)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    assert topic in run.output
    asked = [str(call.request) + str(call.response) for call in Call.objects.filter(run=run)]
    steps = [str(step.input) + str(step.output) for step in Step.objects.filter(run=run).exclude(node="start")]
    for said in (str(run.output), *asked, *steps):
        assert "S3CRET" not in said
        assert EVALUATED not in said


# Approvals


def attacks(mine: Approval) -> Iterator[tuple[str, dict[str, Any], int, str]]:
    """Yield (what, body, status, code) of answers that would make something else run than was asked."""
    payload, args = mine.payload, mine.payload["args"]
    other = an_approval(a_run(mine.workspace, None), payload={**payload, "args": {**args, "to": "eve@evil.example"}})

    def edited(change: dict[str, Any]) -> dict[str, Any]:
        return {"decision": "approve", "payload_hash": mine.payload_hash, "payload": {**payload, **change}}

    yield "another tool", edited({"tool": "http.request@1"}), 422, "only_args_may_change"
    yield "another version", edited({"tool": "email.send@2"}), 422, "only_args_may_change"
    yield "no tool", {**edited({}), "payload": {"args": args}}, 422, "only_args_may_change"
    yield "a connection", edited({"connection": "stolen"}), 422, "only_args_may_change"
    yield "one argument more", edited({"args": {**args, "bcc": "eve@evil.example"}}), 422, "invalid_payload"
    yield "one argument less", edited({"args": {"to": args["to"]}}), 422, "invalid_payload"
    yield "an argument of another type", edited({"args": {**args, "to": ["a", "b"]}}), 422, "invalid_payload"
    yield "arguments that are none", edited({"args": []}), 422, "invalid_payload"
    yield "a payload that is none", {**edited({}), "payload": "yes"}, 422, "invalid_payload"
    yield "another's digest", {"decision": "approve", "payload_hash": other.payload_hash}, 409, "payload_changed"
    yield "the digest of nothing", {"decision": "approve", "payload_hash": "sha256:" + "0" * 64}, 409, "payload_changed"
    yield "no digest", {"decision": "approve"}, 422, "payload_hash_required"
    yield "a use of it", {"decision": "use", "payload": {"sent": True}}, 422, "decision_not_offered"
    yield "a skip of it", {"decision": "skip"}, 422, "decision_not_offered"
    yield "an answer to it", {"decision": "answer", "payload": "yes"}, 422, "decision_not_offered"


@pytest.mark.django_db
def test_no_answer_makes_something_else_run_than_was_asked() -> None:
    desk = a_desk()
    approval = an_approval(desk.run)
    path = f"/api/v1/approvals/{approval.pk}/decide"
    found = list(attacks(approval))
    before, bob = rows(), signed_in_as(desk.team.bob)
    for what, body, status, code in found:
        answer = bob.post(path, json.dumps(body), "application/json")
        assert (answer.status_code, answer.json()["code"]) == (status, code), what
        assert rows() == before, what
    assert not Inbox.objects.filter(key__startswith="approval:").exists()


def test_an_approval_is_answered_once_however_it_is_sent_again(world: World) -> None:
    approval, bob = world.here.approval, signed_in_as(world.team.bob)
    path = f"/api/v1/approvals/{approval.pk}/decide"
    body = json.dumps({"decision": "approve", "payload_hash": approval.payload_hash})
    assert bob.post(path, body, "application/json").status_code == 200
    after = rows()
    headers = bearer(world.team.bob, world.team.workspace)
    for sent in ({}, {"Idempotency-Key": "new"}, headers):
        answer = bob.post(path, body, "application/json", headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_decided")
    answer = bob.post(f"/approvals/{approval.pk}/", {"decision": "reject", "reason": "No."})
    assert answer.status_code == 409
    assert {**rows(), "accounts_apitoken": 0} == {**after, "accounts_apitoken": 0}
    assert Inbox.objects.filter(key__startswith="approval:").count() == 1


def test_an_approval_of_another_workspace_is_not_there(world: World) -> None:
    charlie = signed_in_as(world.team.charlie)
    body = json.dumps({"decision": "approve", "payload_hash": world.here.approval.payload_hash})
    answers = [
        charlie.post(f"/api/v1/approvals/{pk}/decide", body, "application/json")
        for pk in (world.here.approval.pk, ABSENT)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_a_run_is_read_by_its_id_in_any_spelling_or_not_at_all(world: World) -> None:
    """No spelling of an id may reach what the plain one does not: the same rows, or none."""
    bob, run = signed_in_as(world.team.bob), world.here.run
    plain = bob.get(CALLS["GET /runs/{run_id}"].path("GET /runs/{run_id}", {"run": str(run.pk)})).content
    for spelling in (run.pk.hex, str(run.pk).upper(), f"{{{run.pk}}}", f"urn:uuid:{run.pk}"):
        answer = bob.get(f"/api/v1/runs/{spelling}")
        assert answer.status_code == 404 or answer.content == plain
