"""The contract with other programs: shapes after a real run, statuses, keys that act once, lists that page."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.roles import Role, Scope
from approvals.models import Approval
from pipelines import drafts, publish
from runs.services import Order, start_run
from tests.api import shapes, walks
from tests.api.rows import rows, undone
from tests.api.shapes import assert_shape, assert_times_and_money
from tests.api.walks import CALLS
from tests.api.world import PRICES, World, one_of_everything
from tests.conftest import LiveStack, wait_for
from tests.people import Team, a_member, a_team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document, a_writer


class Program:
    """A program with a token, over the real web server."""

    def __init__(self, stack: LiveStack, headers: dict[str, str]) -> None:
        self.root, self.headers = f"{stack.url}/api/v1", headers

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Return status, headers and JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.root}{path}", data, {**self.headers, **headers}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, answer.headers, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            return refused.code, refused.headers, json.loads(refused.read())

    def get(self, path: str) -> Any:
        status, _, found = self.call("GET", path)
        assert status == 200, (path, found)
        assert_times_and_money(found)
        return found

    def post(self, path: str, body: Any, status: int, **headers: str) -> Any:
        found_status, _, found = self.call("POST", path, body, **headers)
        assert found_status == status, (path, found)
        assert_times_and_money(found)
        return found

    def pages(self, path: str, limit: int) -> Iterator[Any]:
        cursor = ""
        mark = "&" if "?" in path else "?"
        while True:
            found = self.get(f"{path}{mark}limit={limit}&cursor={cursor}")
            assert found.keys() >= {"items", "next"}
            assert len(found["items"]) <= limit
            yield from found["items"]
            cursor = found["next"]
            if cursor is None:
                return


def outreach() -> dict[str, Any]:
    """Return start >> write >> send (which needs an approval) >> result."""
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "agent", "agent": "writer@1", "prompt": "Write to ${input.to}."},
        "send": {
            "kind": "tool",
            "tool": "email.send@1",
            "args": {"to": "${input.to}", "subject": "Hello", "body": "${steps.write.output}"},
        },
        "result": {"kind": "output", "value": "${steps.send.output.message_id}"},
    }
    edges = [{"from": one, "to": other} for one, other in pairwise(nodes)]
    inputs = {"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}}
    return a_document("outreach", inputs=inputs, graph={"nodes": nodes, "edges": edges})


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    return a_team()


@pytest.mark.django_db(transaction=True)
def test_a_run_is_shown_in_the_shapes_that_programs_rely_on(live_stack: LiveStack, team: Team) -> None:
    dana = Program(live_stack, bearer(team.dana, team.workspace))
    bob = Program(live_stack, bearer(team.bob, team.workspace))
    a_writer(acting(team.dana))
    assert_shape(shapes.PIPELINE, dana.post("/pipelines", {"document": outreach()}, 201))
    assert_shape(shapes.VERSION, dana.post("/pipelines/outreach/publish", {"note": "first"}, 201))
    started = dana.post("/pipelines/outreach/runs", {"input": {"to": "ana@example.com"}, "tags": ["demo"]}, 202)
    assert_shape(shapes.RUN, started)
    assert (started["state"], started["version"], started["tags"]) == ("queued", 1, ["demo"])
    path = f"/runs/{started['id']}"
    wait_for(lambda: bool(bob.get("/approvals?state=open&mine=true")["items"]), 30, live_stack.logs)
    [asked] = bob.get("/approvals?state=open&mine=true")["items"]
    assert_shape(shapes.APPROVAL, asked)
    assert asked["payload"]["args"].keys() == {"to", "subject", "body"}
    answer = {"decision": "approve", "payload_hash": asked["payload_hash"], "reason": "fine"}
    decided = bob.post(f"/approvals/{asked['id']}/decide", answer, 200)
    assert_shape(shapes.APPROVAL, decided)
    assert (decided["state"], decided["decisions"][0]["by"]) == ("approved", "bob@example.com")
    wait_for(lambda: dana.get(path)["state"] == "succeeded", 30, live_stack.logs)

    run = dana.get(path)
    assert_shape(shapes.RUN, run)
    assert run["output"].endswith("@baton>")
    steps = list(dana.pages(f"{path}/steps", 200))
    for step in steps:
        assert_shape(shapes.STEP, step)
    assert [step["path"] for step in steps] == ["start", "write", "send", "result"]
    assert {step["state"] for step in steps} == {"succeeded"}
    events = list(dana.pages(f"{path}/events", 200))
    for event in events:
        assert_shape(shapes.EVENT, event)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {"approval_requested", "approval_decided", "call_started", "call_finished"} <= {e["type"] for e in events}
    spans = list(dana.pages(f"{path}/spans", 200))
    for span in spans:
        assert_shape(shapes.SPAN, span)
    ledger = list(dana.pages(f"{path}/ledger", 200))
    for entry in ledger:
        assert_shape(shapes.LEDGER, entry)
    spent = sum(Decimal(entry["amount_usd"]) for entry in ledger if entry["kind"] == "settled")
    assert spent == sum(Decimal(span["cost_usd"]) for span in spans if span["model"]) == Decimal(run["cost_usd"]) > 0
    assert_costs(dana, run)
    assert_refusals(dana, bob, asked)


def assert_costs(dana: Program, run: dict[str, Any]) -> None:
    for by in ("pipeline", "agent", "step", "model", "tag", "day", "pipeline,day"):
        found = dana.get(f"/costs?group_by={by}")
        assert_shape({**dict.fromkeys(by.split(","), shapes.ANY), **shapes.SPENDING}, found["items"][0])
        assert_shape(shapes.SPENDING, found["total"])
        assert found["total"]["cost_usd"] == run["cost_usd"], by
        assert found["total"]["runs"] == 1


def assert_refusals(dana: Program, bob: Program, asked: dict[str, Any]) -> None:
    path = f"/approvals/{asked['id']}/decide"
    again = {"decision": "approve", "payload_hash": asked["payload_hash"]}
    assert bob.post(path, again, 409)["code"] == "already_decided"
    assert dana.post(path, again, 403)["code"] in ("own_request", "not_a_reviewer")
    assert bob.call("GET", "/runs/none")[2] == {
        "code": "not_found",
        "message": "There is nothing here under that name.",
        "where": None,
    }


@pytest.mark.django_db(transaction=True)
def test_a_failed_step_says_of_which_class_it_failed(live_stack: LiveStack, team: Team) -> None:
    alice = acting(team.alice)
    a_writer(alice)
    document = outreach()
    document["graph"]["nodes"]["send"] = {
        "kind": "tool",
        "tool": "http.request@1",
        "args": {"method": "GET", "url": "http://169.254.169.254/latest/meta-data"},
    }
    document["graph"]["nodes"]["result"]["value"] = "${steps.send.output.status}"
    pipeline = drafts.create(alice, document)
    publish.publish(alice, pipeline)
    pipeline.refresh_from_db()
    run = start_run(alice, pipeline, Order({"to": "ana@example.com"}))
    program = Program(live_stack, bearer(team.bob, team.workspace, Scope.READ))
    wait_for(lambda: program.get(f"/runs/{run.pk}")["state"] == "failed", 30, live_stack.logs)
    shown = program.get(f"/runs/{run.pk}")
    assert_shape(shapes.RUN, shown)
    assert_shape(shapes.ERROR, shown["error"])
    [failed] = [step for step in program.pages(f"/runs/{run.pk}/steps", 200) if step["state"] == "failed"]
    assert_shape(shapes.STEP, failed)
    assert_shape(shapes.ERROR, failed["error"])
    assert failed["path"] == "send"


# Lists and single rows

ROWS = {
    "GET /members": shapes.MEMBER,
    "GET /tokens": {"id": shapes.TEXT, "name": shapes.TEXT, "scopes": shapes.listing(shapes.TEXT)},
    "GET /secrets": {"name": shapes.TEXT},
    "GET /audit": {"seq": shapes.COUNT, "at": shapes.TIME, "actor": shapes.TEXT, "action": shapes.TEXT},
    "GET /pipelines": shapes.PIPELINE,
    "GET /pipelines/{slug}/problems": shapes.PROBLEM,
    "GET /pipelines/{slug}/versions": shapes.VERSION,
    "GET /agents": shapes.AGENT,
    "GET /agents/{slug}/versions": shapes.AGENT,
    "GET /tools": {"id": shapes.TEXT, "effect": shapes.among("none", "reversible", "irreversible")},
    "GET /connections": shapes.CONNECTION,
    "GET /knowledge": {"slug": shapes.TEXT, "name": shapes.TEXT, "documents": shapes.COUNT, "passages": shapes.COUNT},
    "GET /knowledge/{slug}/documents": {"id": shapes.TEXT, "name": shapes.TEXT, "sha256": shapes.TEXT},
    "GET /budgets": shapes.BUDGET,
    "GET /budgets/changes": shapes.BUDGET_CHANGE,
    "GET /approval-rules": shapes.APPROVAL_RULE,
    "GET /calendars": {"name": shapes.TEXT, "zone": shapes.TEXT, "week": shapes.OBJECT, "holidays": shapes.LIST},
    "GET /alert-rules": {"id": shapes.TEXT, "name": shapes.TEXT, "kind": shapes.TEXT, "limit": shapes.TEXT},
    "GET /alert-rules/found": {"rule": shapes.TEXT, "period_start": shapes.TEXT, "said": shapes.TEXT},
    "GET /absences": {"id": shapes.TEXT, "person": shapes.TEXT, "delegate": shapes.TEXT, "starts_at": shapes.TIME},
    "GET /runs": shapes.RUN,
    "GET /runs/{run_id}/steps": shapes.STEP,
    "GET /runs/{run_id}/events": shapes.EVENT,
    "GET /runs/{run_id}/spans": shapes.SPAN,
    "GET /runs/{run_id}/ledger": shapes.LEDGER,
    "GET /runs/{run_id}/lineage": {"path": shapes.TEXT, "node": shapes.TEXT},
    "GET /runs/{run_id}/board": {"key": shapes.TEXT, "value": shapes.ANY, "version": shapes.COUNT},
    "GET /events": shapes.SENT_EVENT,
    "GET /triggers": shapes.TRIGGER,
    "GET /approvals": shapes.APPROVAL,
    "GET /decisions": shapes.LOGGED,
    "GET /costs": shapes.SPENDING,
    "GET /costs/forecast": {"until": shapes.TEXT, "method": shapes.TEXT, "forecast_usd": shapes.MONEY.or_null()},
    "GET /costs/movers": {
        "cost_usd": shapes.MONEY.or_null(),
        "before_usd": shapes.MONEY.or_null(),
        "change_usd": shapes.TEXT.or_null(),
    },
    "GET /costs/rise": {"factor": shapes.TEXT, "change_usd": shapes.TEXT.or_null()},
    "GET /costs/reasons": {"factor": shapes.TEXT, "now_usd": shapes.MONEY, "change_usd": shapes.TEXT},
    "GET /costs/waste": {"kind": shapes.TEXT, "cost_usd": shapes.MONEY},
    "GET /costs/savings": {"saved_usd": shapes.MONEY},
    "GET /costs/results": {"runs": shapes.COUNT, "succeeded": shapes.COUNT, "cost_usd": shapes.MONEY.or_null()},
    "GET /costs/latency": {"pipeline": shapes.TEXT, "kind": shapes.TEXT, "ended": shapes.COUNT},
    "GET /costs/slowest": {"run": shapes.TEXT, "number": shapes.COUNT, "seconds": shapes.of(float)},
    "GET /costs/anomalies": {"kind": shapes.among("run", "hour"), "cost_usd": shapes.MONEY, "usual_usd": shapes.MONEY},
    "GET /costs/chargeback": {"pipeline": shapes.TEXT, "charged_usd": shapes.MONEY.or_null()},
    "GET /costs/runs": {"run": shapes.TEXT, "number": shapes.COUNT, "cost_usd": shapes.MONEY.or_null()},
    "GET /costs/budgets": shapes.BUDGET | shapes.BUDGET_STANDING,
    "GET /prices": {"model": shapes.TEXT, "source": shapes.among("own", "packaged", "simulated", "unknown")},
    "GET /prices/changes": {"model": shapes.TEXT, "own": shapes.FLAG, "reason": shapes.TEXT, "at": shapes.TIME},
    "GET /prices/recalculation": {"model": shapes.TEXT, "calls": shapes.COUNT, "at_today_usd": shapes.MONEY.or_null()},
    "GET /datasets": shapes.DATASET,
    "GET /datasets/{name}/versions": shapes.DATASET_VERSION,
    "GET /evaluations": shapes.EVALUATION,
    "GET /evaluations/{evaluation_id}/results": {"case": shapes.TEXT, "repeat": shapes.COUNT, "metrics": shapes.LIST},
    "GET /evaluations/{evaluation_id}/pairs": {"case": shapes.TEXT, "outcome": shapes.TEXT.or_null()},
    "GET /evaluations/{evaluation_id}/agreement": {"metric": shapes.TEXT, "answers": shapes.COUNT},
    "GET /runs/{run_id}/ratings": shapes.RATING,
    "GET /notices": {"id": shapes.TEXT, "kind": shapes.TEXT, "subject": shapes.TEXT, "url": shapes.URL},
    "GET /channels": {"name": shapes.TEXT, "kind": shapes.among("slack", "webhook"), "secret": shapes.TEXT},
    "GET /deliveries": {"id": shapes.TEXT, "to": shapes.TEXT, "state": shapes.among("dead"), "error": shapes.TEXT},
}
SINGLE = {
    "GET /content": {"hidden_from": shapes.listing(shapes.TEXT)},
    "GET /pipelines/{slug}": shapes.PIPELINE,
    "GET /pipelines/{slug}/sharing": dict.fromkeys(("see", "run", "edit"), shapes.listing(shapes.TEXT)),
    "GET /pipelines/{slug}/draft": shapes.DRAFT,
    "GET /pipelines/{slug}/versions/{number}": {**shapes.VERSION, "document": shapes.OBJECT, "lock": shapes.OBJECT},
    "GET /pipelines/{slug}/export": {"format": shapes.TEXT, "root": shapes.HASH, "pipelines": shapes.OBJECT},
    "GET /pipelines/{slug}/diff": {"from": shapes.TEXT, "to": shapes.TEXT, "changes": shapes.LIST},
    "GET /agents/{slug}": shapes.AGENT,
    "GET /connections/{name}": {**shapes.CONNECTION, "prices": dict.fromkeys(PRICES, shapes.PRICE)},
    "GET /knowledge/{slug}": {"slug": shapes.TEXT, "name": shapes.TEXT, "documents": shapes.COUNT},
    "GET /knowledge/{slug}/documents/{document_id}": {"id": shapes.TEXT, "text": shapes.TEXT},
    "GET /knowledge/{slug}/search": {"passages": shapes.LIST},
    "GET /runs/{run_id}": shapes.RUN,
    "GET /approvals/{approval_id}/precedent": shapes.PRECEDENT,
    "GET /runs/{run_id}/artifacts/{digest}": {"text": shapes.TEXT},
    "GET /runs/{run_id}/receipt": {"run": shapes.TEXT, "cost_usd": shapes.MONEY, "steps": shapes.LIST},
    "GET /triggers/{slug}": shapes.TRIGGER,
    "GET /approvals/{approval_id}": shapes.APPROVAL,
    "GET /datasets/{name}": shapes.DATASET,
    "GET /datasets/{name}/versions/{number}": {**shapes.DATASET_VERSION, "cases": shapes.LIST},
    "GET /datasets/{name}/versions/{number}/export": {
        "format": shapes.TEXT,
        "data": shapes.ANY,
        "problems": shapes.LIST,
    },
    "GET /pipelines/{slug}/publish-gate": shapes.PUBLISH_GATE,
    "GET /evaluations/{evaluation_id}": {**shapes.EVALUATION, "progress": shapes.OBJECT},
    "GET /what-if": {"to": shapes.TEXT, "pipeline": shapes.TEXT.or_null(), "range": shapes.ANY},
    "GET /preferences": {"kinds": shapes.OBJECT, "zone": shapes.TEXT},
    "GET /approvals/health": {"open": shapes.COUNT, "overdue": shapes.COUNT, "people": shapes.LIST},
}
WITHOUT_PAGES = {
    "GET /tools",
    *(route for route in ROWS if route.startswith("GET /costs")),
    "GET /prices",
    "GET /prices/recalculation",
    "GET /pipelines/{slug}/problems",
    "GET /runs/{run_id}/lineage",
    "GET /runs/{run_id}/board",
    "GET /evaluations/{evaluation_id}/agreement",
}


def test_every_reading_route_has_its_shape_here() -> None:
    assert set(walks.reading_routes()) == set(ROWS) | set(SINGLE)


def test_every_list_has_its_shape(world: World) -> None:
    client = signed_in_as(world.team.dana)
    for route, shape in ROWS.items():
        found = walks.call(client, route, world).json()
        assert found.keys() >= {"items", "next"}, route
        assert_times_and_money(found)
        for item in found["items"]:
            assert_shape(shape, item)
    for route, shape in SINGLE.items():
        found = walks.call(client, route, world).json()
        assert_times_and_money(found)
        assert_shape(shape, found)


def test_walking_through_the_pages_of_a_list_meets_everything_once(world: World) -> None:
    more = Actor(world.olga, world.team.workspace, frozenset({Role.ADMIN, Role.COMPOSER, Role.MANAGER}))
    for _ in range(2):
        start_run(more, world.here.pipeline, Order({}))
    for number in range(3):
        a_member(world.team.workspace, f"member-{number}", Role.VIEWER)
    client = signed_in_as(world.team.dana)
    for route in set(ROWS) - WITHOUT_PAGES:
        path = CALLS[route].path(route, world.here.ids())
        whole = client.get(path, {"limit": 200}).json()
        assert whole["next"] is None
        for limit in (1, 2, len(whole["items"]) or 1):
            walked, cursor, pages = [], "", 0
            while cursor is not None:
                page = client.get(path, {"limit": limit, "cursor": cursor}).json()
                walked, cursor, pages = walked + page["items"], page["next"], pages + 1
                assert pages < 100, route
            assert walked == whole["items"], (route, limit)


def test_a_cursor_of_another_list_is_refused(world: World) -> None:
    client = signed_in_as(world.team.dana)
    cursor = client.get("/api/v1/members", {"limit": 1}).json()["next"]
    assert cursor
    for route in set(ROWS) - WITHOUT_PAGES:
        for wrong in ("x", cursor[:-2], cursor + "x", ":::"):
            answer = client.get(CALLS[route].path(route, world.here.ids()), {"cursor": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), route


# Statuses and keys

STATUS = {
    201: """/members /tokens /secrets /pipelines /imports /agents /agents/{slug}/versions /connections /budgets /tools
        /knowledge /knowledge/{slug}/documents /approval-rules /calendars /absences /alert-rules /prices
        /pipelines/{slug}/publish /pipelines/{slug}/rollback /approvals/{approval_id}/comment /channels /triggers
        /approvals/{approval_id}/ask /datasets /datasets/{name}/versions /dataset-files /runs/{run_id}/case
        /runs/{run_id}/ratings /approvals/{approval_id}/case""",
    202: """/pipelines/{slug}/runs /agents/{slug}/test /runs/{run_id}/fork /runs/{run_id}/cancel /runs/{run_id}/pause
        /runs/{run_id}/resume /runs/{run_id}/steps/stop /events /channels/{name}/test /evaluations
        /deliveries/{delivery_id}/retry""",
    200: """/approvals/bulk /pipelines/{slug}/restore /pipelines/{slug}/draft/ops /approvals/{approval_id}/decide
        /approvals/{approval_id}/claim /approvals/{approval_id}/release /approvals/{approval_id}/take-back
        /approvals/{approval_id}/assign /budgets/{budget_id}/allow
        /notices/read /notices/{notice_id}/read /evaluations/{evaluation_id}/cancel""",
}
POSTS = [route for route in CALLS if route.startswith("POST ")]
NEEDS_CLAIM = "POST /approvals/{approval_id}/release"
NEEDS_APPROVAL = "POST /approvals/{approval_id}/take-back"


def status_of(route: str) -> int:
    return next(status for status, paths in STATUS.items() if route.partition(" ")[2] in paths.split())


def caller_of(world: World, route: str) -> Client:
    """Return the browser of somebody who may do this; a release needs a claim, and taking back an approval of two."""
    client = signed_in_as(world.team.bob if "/approvals/" in route and "case" not in route else world.team.dana)
    if route == NEEDS_CLAIM:
        walks.call(client, "POST /approvals/{approval_id}/claim", world)
    if route == NEEDS_APPROVAL:
        Approval.objects.filter(pk=world.here.approval.pk).update(min_approvals=2)
        walks.call(client, "POST /approvals/{approval_id}/decide", world)
    return client


SHOWN_ONCE = "POST /tokens"


@pytest.mark.parametrize("route", POSTS)
def test_a_post_answers_with_its_status_and_acts_once_per_key(world: World, route: str) -> None:
    client = caller_of(world, route)
    first = walks.call(client, route, world, **{"Idempotency-Key": "one"})
    assert first.status_code == status_of(route), first.content
    after = rows()
    again = walks.call(client, route, world, **{"Idempotency-Key": "one"})
    if route == SHOWN_ONCE:
        assert (again.status_code, again.json()["code"]) == (409, "shown_once")
    else:
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again["Idempotency-Replayed"] == "true"
    assert rows() == after
    path = CALLS[route].path(route, world.here.ids())
    headers = {**CALLS[route].headers, "Idempotency-Key": "one"}
    other = client.post(path, json.dumps({"other": 1}), "application/json", headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert rows() == after
    assert_times_and_money(first.json())


@pytest.mark.parametrize("route", POSTS)
def test_a_refused_post_keeps_no_key(world: World, route: str) -> None:
    client = signed_in_as(world.team.erin)
    before = rows()
    for _ in range(2):
        answer = walks.call(client, route, world, **{"Idempotency-Key": "one"})
        if "erin" in CALLS[route].may:
            return
        assert answer.status_code in (403, CALLS[route].otherwise)
        assert "Idempotency-Replayed" not in answer
    assert rows() == before


def test_a_key_means_nothing_to_another_person_or_workspace(world: World) -> None:
    team = world.team
    one_of_everything(team.elsewhere, team.charlie)
    route, headers = "POST /pipelines/{slug}/runs", {"Idempotency-Key": "one"}
    alice = walks.call(signed_in_as(team.alice), route, world, **headers).json()
    dana = walks.call(signed_in_as(team.dana), route, world, **headers).json()
    charlie = walks.call(signed_in_as(team.charlie), route, world, **headers).json()
    assert len({alice["id"], dana["id"], charlie["id"]}) == 3


def test_only_a_post_takes_a_key(world: World) -> None:
    client = signed_in_as(world.team.dana)
    for route in ("PUT /members/{email}", "GET /members"):
        for _ in range(2):
            with undone():
                answer = walks.call(client, route, world, **{"Idempotency-Key": "one"})
                assert "Idempotency-Replayed" not in answer
