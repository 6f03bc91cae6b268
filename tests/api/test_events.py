"""A program and a run meet at a topic, over the real web server and a real worker."""

from typing import Any

import pytest

from accounts.roles import Scope
from tests.api import shapes
from tests.api.shapes import assert_shape
from tests.api.test_contract import Program
from tests.conftest import LiveStack, wait_for
from tests.people import a_team, bearer

pytestmark = pytest.mark.django_db(transaction=True)

NODES: dict[str, Any] = {
    "start": {"kind": "input"},
    "open": {"kind": "board", "op": "write", "key": "status", "value": "open"},
    "paid": {
        "kind": "wait",
        "event": [
            {"name": "paid", "topic": "orders/${input.order}", "match": "event.payload.sum >= 10"},
            {"name": "cancelled", "topic": "orders/${input.order}"},
        ],
        "timeout": "P1D",
    },
    "close": {
        "kind": "board",
        "op": "write",
        "key": "status",
        "value": "paid",
        "if_version": "${steps.open.meta.version}",
    },
    "done": {"kind": "output", "value": "${steps.paid.output.payload.sum}"},
    "gone": {"kind": "output", "value": "cancelled"},
}
EDGES = [
    {"from": "start", "to": "open"},
    {"from": "open", "to": "paid"},
    {"from": "paid", "port": "event_paid", "to": "close"},
    {"from": "close", "to": "done"},
    {"from": "paid", "port": "event_cancelled", "to": "gone"},
    {"from": "paid", "port": "timeout", "to": "gone"},
]
DOCUMENT = {
    "format": "baton.pipeline",
    "format_version": "1.0",
    "id": "order",
    "name": "Order",
    "inputs": {"type": "object", "required": ["order"], "properties": {"order": {"type": "integer"}}},
    "graph": {"nodes": NODES, "edges": EDGES},
}


def test_a_program_sends_events_and_the_runs_that_wait_for_them_go_on(live_stack: LiveStack) -> None:
    team = a_team()
    dana = Program(live_stack, bearer(team.dana, team.workspace))
    starter = Program(live_stack, bearer(team.alice, team.workspace, Scope.RUN))
    stranger = Program(live_stack, bearer(team.charlie, team.elsewhere))
    dana.post("/pipelines", {"document": DOCUMENT}, 201)
    dana.post("/pipelines/order/publish", {}, 201)
    paths = [
        f"/runs/{starter.post('/pipelines/order/runs', {'input': {'order': number}}, 202)['id']}" for number in (17, 18)
    ]
    wait_for(lambda: all(dana.get(path)["state"] == "waiting" for path in paths), 30, live_stack.logs)
    [waiting] = [step for step in dana.get(f"{paths[0]}/steps")["items"] if step["path"] == "paid"]
    assert (waiting["wait_reason"], waiting["input"]["events"][0]) == ("event", {"name": "paid", "topic": "orders/17"})
    assert stranger.post("/events", {"topic": "orders/17", "payload": {"sum": 99}}, 202)["waits"] == 0
    early = {"topic": "orders/17", "name": "paid", "payload": {"sum": 1}, "key": "evt_1"}
    assert starter.post("/events", early, 202)["waits"] == 1
    paid = {"topic": "orders/17", "name": "paid", "payload": {"sum": 20}, "key": "evt_2"}
    sent = starter.post("/events", paid, 202)
    assert_shape(shapes.SENT_EVENT, sent)
    assert starter.post("/events", paid, 202)["id"] == sent["id"]
    assert starter.post("/events", {**paid, "payload": {"sum": 30}}, 409)["code"] == "idempotency_conflict"
    starter.post("/events", {"topic": "orders/18", "name": "cancelled"}, 202)
    wait_for(lambda: all(dana.get(path)["state"] == "succeeded" for path in paths), 30, live_stack.logs)
    first, second = (dana.get(path) for path in paths)
    assert (first["output"], second["output"]) == ({"done": 20}, {"gone": "cancelled"})
    [entry] = dana.get(f"{paths[0]}/board")["items"]
    assert (entry["key"], entry["value"], entry["version"], entry["path"]) == ("status", "paid", 2, "close")
    assert {event["id"] for event in dana.get("/events?topic=orders/17")["items"]} >= {sent["id"]}
    assert stranger.get("/events?topic=orders/18")["items"] == []
