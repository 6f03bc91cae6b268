"""Every route of the API, with ids to put into its address: the table that the walks follow. Pages: `page_walks`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from orchestrator_site.api import api
from tests.api.world import PRICES, Things, World, a_document_of
from tests.people import just_come_in

ROOT = "/api/v1"
EVERYBODY = frozenset({"alice", "bob", "carol", "dana", "erin", "victor"})
COMPOSING = frozenset({"alice", "dana"})
RATING = frozenset({"alice", "bob", "dana"})
ADMIN = frozenset({"dana"})
MANAGING = frozenset({"carol", "dana"})
EXPORTING = frozenset({"carol", "dana", "erin"})
AUDITING = frozenset({"dana", "erin"})
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
Body = Callable[[Things], Any]


@dataclass(frozen=True)
class Call:
    """How a route is called so that it works: which thing fills each hole of its path, what is sent, who may.

    The others are answered with `otherwise`.
    """

    holes: Mapping[str, str] = field(default_factory=dict)
    may: frozenset[str] = EVERYBODY
    body: Body | None = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    otherwise: int = 403
    fresh: bool = False  # a person has shown lately who they are

    def path(self, route: str, ids: Mapping[str, str]) -> str:
        address = route.partition(" ")[2]
        for hole, thing in self.holes.items():
            address = address.replace(f"{{{hole}}}", ids.get(thing, thing))
        return ROOT + address + (f"?{self.query}" if self.query else "")

    @property
    def names_something(self) -> bool:
        return bool(self.holes)


def say(**fields: Any) -> Body:
    return lambda things: fields


PIPELINE = {"slug": "pipeline"}
RUN = {"run_id": "run"}
APPROVAL = {"approval_id": "approval"}
COLLECTION = {"slug": "collection"}
NOTICE = {"notice_id": "notice"}
CHANNEL = {"name": "channel"}
TRIGGER = {"slug": "trigger"}
DATASET = {"name": "dataset"}
EVALUATION = {"evaluation_id": "evaluation"}
GOLDENS = [{"input": "tides", "expected_output": "Tides."}]
ONE_CASE = [{"name": "acme-first", "inputs": {"topic": "tides"}, "expected_output": "Tides."}]
AGENT_FIELDS = {"model": "demo/echo"}
CONNECTION = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}

# Nobody who walks is the stand-in.
AWAY = {
    "starts_at": "2030-07-01T00:00:00Z",
    "ends_at": "2030-07-15T00:00:00Z",
    "delegate": "standin-acme@example.com",
}

MORNINGS = {"zone": "UTC", "week": {"mon": [["09:00", "12:00"]]}}

ALERT = {"kind": "threshold", "metric": "spend", "limit": "5"}

CALLS: dict[str, Call] = {
    "GET /members": Call(),
    "POST /members": Call(may=ADMIN, body=say(email="new@example.com", roles=["viewer"])),
    "PUT /members/{email}": Call({"email": "member"}, ADMIN, say(roles=["viewer"])),
    "PATCH /members/{email}": Call({"email": "member"}, ADMIN, say(active=False)),
    "GET /content": Call(),
    "PUT /content": Call(may=ADMIN, body=say(hidden_from=["viewer"])),
    "DELETE /members/{email}": Call({"email": "member"}, ADMIN),
    "GET /tokens": Call(),
    "POST /tokens": Call(body=say(scopes=["read"]), fresh=True),
    "DELETE /tokens/{id}": Call({"id": "token"}, ADMIN, otherwise=404),
    "GET /secrets": Call(),
    "POST /secrets": Call(may=ADMIN, body=say(name="other-key", value="x")),
    "DELETE /secrets/{name}": Call({"name": "secret"}, ADMIN),
    "GET /audit": Call(may=AUDITING),
    "POST /pipelines": Call(
        may=COMPOSING, body=lambda things: {"document": {**a_document_of(things), "id": "acme-other"}}
    ),
    "GET /pipelines": Call(),
    "GET /pipelines/{slug}": Call(PIPELINE),
    "DELETE /pipelines/{slug}": Call(PIPELINE, COMPOSING),
    "POST /pipelines/{slug}/restore": Call(PIPELINE, COMPOSING),
    "GET /pipelines/{slug}/draft": Call(PIPELINE),
    "PUT /pipelines/{slug}/draft": Call(
        PIPELINE, COMPOSING, lambda things: {"document": a_document_of(things)}, headers={"If-Match": "1"}
    ),
    "POST /pipelines/{slug}/draft/ops": Call(
        PIPELINE, COMPOSING, say(rev=1, op_id="one", ops=[{"op": "set_document", "fields": {"name": "New"}}])
    ),
    "GET /pipelines/{slug}/problems": Call(PIPELINE),
    "POST /pipelines/{slug}/publish": Call(PIPELINE, COMPOSING, say(note="why")),
    "POST /pipelines/{slug}/rollback": Call(PIPELINE, COMPOSING, say(version=1)),
    "GET /pipelines/{slug}/versions": Call(PIPELINE),
    "GET /pipelines/{slug}/versions/{number}": Call({**PIPELINE, "number": "1"}),
    "GET /pipelines/{slug}/sharing": Call(PIPELINE),
    "PUT /pipelines/{slug}/sharing": Call(PIPELINE, COMPOSING, say(run=["composer"])),
    "GET /pipelines/{slug}/export": Call(PIPELINE),
    "POST /imports": Call(may=COMPOSING, body=lambda things: {"document": {**a_document_of(things), "id": "acme-in"}}),
    "GET /pipelines/{slug}/diff": Call(PIPELINE, query="from=1"),
    "PUT /pipelines/{slug}/split": Call(PIPELINE, COMPOSING, say(arms=[{"version": 1, "percent": 100}])),
    "DELETE /pipelines/{slug}/split": Call(PIPELINE, COMPOSING),
    "GET /agents": Call(),
    "POST /agents": Call(may=COMPOSING, body=say(slug="acme-new", **AGENT_FIELDS)),
    "GET /agents/{slug}": Call({"slug": "agent"}),
    "GET /agents/{slug}/versions": Call({"slug": "agent"}),
    "POST /agents/{slug}/versions": Call({"slug": "agent"}, COMPOSING, say(**AGENT_FIELDS)),
    "GET /tools": Call(),
    "GET /connections": Call(),
    "POST /connections": Call(may=ADMIN, body=say(name="acme-new", **CONNECTION)),
    "GET /connections/{name}": Call({"name": "connection"}),
    "PUT /connections/{name}": Call({"name": "connection"}, ADMIN, say(name="acme-local", **CONNECTION)),
    "DELETE /connections/{name}": Call({"name": "connection"}, ADMIN),
    "PUT /connections/{name}/prices": Call({"name": "connection"}, MANAGING, say(prices=PRICES)),
    "POST /agents/{slug}/test": Call({"slug": "agent"}, COMPOSING, say(prompt="Say something.")),
    "POST /tools": Call(may=ADMIN, body=say(connection="acme-files")),
    "GET /knowledge": Call(),
    "POST /knowledge": Call(may=COMPOSING, body=say(slug="acme-new")),
    "GET /knowledge/{slug}": Call(COLLECTION),
    "DELETE /knowledge/{slug}": Call(COLLECTION, COMPOSING),
    "GET /knowledge/{slug}/documents": Call(COLLECTION),
    "POST /knowledge/{slug}/documents": Call(COLLECTION, COMPOSING, say(name="new.md", text="Thirty-one days.")),
    "GET /knowledge/{slug}/documents/{document_id}": Call(COLLECTION | {"document_id": "document"}),
    "DELETE /knowledge/{slug}/documents/{document_id}": Call(COLLECTION | {"document_id": "document"}, COMPOSING),
    "GET /knowledge/{slug}/search": Call(COLLECTION, query="q=days"),
    "GET /budgets": Call(),
    "GET /budgets/changes": Call(),
    "POST /budgets": Call(may=MANAGING, body=say(scope="workspace", period="month", max_cost_usd="9.00")),
    "DELETE /budgets/{budget_id}": Call({"budget_id": "budget"}, MANAGING, query="reason=over"),
    "POST /budgets/{budget_id}/allow": Call({"budget_id": "budget"}, MANAGING, say(add_usd="2", reason="The fair")),
    "POST /pipelines/{slug}/runs": Call(PIPELINE, COMPOSING, say(input={"topic": "tides"})),
    "GET /runs": Call(),
    "GET /runs/{run_id}": Call(RUN),
    "GET /runs/{run_id}/steps": Call(RUN),
    "GET /runs/{run_id}/events": Call(RUN),
    "GET /runs/{run_id}/spans": Call(RUN),
    "GET /runs/{run_id}/ledger": Call(RUN),
    "GET /runs/{run_id}/lineage": Call(RUN, query="path=write"),
    "GET /runs/{run_id}/receipt": Call(RUN),
    "GET /runs/{run_id}/board": Call(RUN),
    "GET /runs/{run_id}/artifacts/{digest}": Call(RUN | {"digest": "artifact"}),
    "POST /runs/{run_id}/steps/stop": Call(RUN, MANAGING, say(path="write", reason="enough")),
    "GET /events": Call(query="topic=orders/17"),
    "POST /events": Call(may=COMPOSING, body=say(topic="orders/17", payload={"paid": True})),
    "GET /triggers": Call(query="pipeline=acme-brief"),
    "POST /triggers": Call(
        may=COMPOSING, body=say(slug="acme-new", kind="schedule", pipeline="acme-brief", cron="0 9 * * *", zone="UTC")
    ),
    "GET /triggers/{slug}": Call(TRIGGER),
    "PATCH /triggers/{slug}": Call(TRIGGER, COMPOSING, say(enabled=False)),
    "DELETE /triggers/{slug}": Call(TRIGGER, COMPOSING),
    "GET /costs": Call(),
    "GET /costs/forecast": Call(),
    "GET /costs/movers": Call(),
    "GET /costs/rise": Call(),
    "GET /costs/reasons": Call(),
    "GET /costs/waste": Call(),
    "GET /costs/savings": Call(),
    "GET /costs/results": Call(),
    "GET /costs/latency": Call(),
    "GET /costs/slowest": Call(query="pipeline=acme-brief"),
    "GET /costs/anomalies": Call(),
    "GET /costs/chargeback": Call(),
    "GET /costs/runs": Call(),
    "GET /costs/budgets": Call(),
    "GET /prices": Call(),
    "GET /prices/changes": Call(),
    "POST /prices": Call(may=MANAGING, body=say(model="acme-local/local-model", **PRICES["local-model"], reason="new")),
    "GET /prices/recalculation": Call(),
    "GET /what-if": Call(query="to=demo/echo"),
    "POST /runs/{run_id}/cancel": Call(RUN, MANAGING, say(reason="enough")),
    "POST /runs/{run_id}/pause": Call(RUN, MANAGING),
    "POST /runs/{run_id}/resume": Call(RUN, MANAGING),
    "POST /runs/{run_id}/fork": Call(RUN, COMPOSING, say(from_path="write")),
    "GET /approvals/health": Call(),
    "GET /decisions": Call(),
    # each item has an outcome of its own; nobody may decide what cannot be undone together with others
    "POST /approvals/bulk": Call(
        may=frozenset({"bob", "carol"}), body=say(decision="approve", items=[{"id": "x", "payload_hash": "x"}])
    ),
    "GET /approvals": Call(),
    "GET /approvals/{approval_id}": Call(APPROVAL),
    "POST /approvals/{approval_id}/decide": Call(
        APPROVAL,
        frozenset({"bob"}),
        lambda things: {"decision": "approve", "payload_hash": things.approval.payload_hash},
    ),
    "POST /approvals/{approval_id}/claim": Call(APPROVAL, frozenset({"bob"})),
    # nobody has claimed it yet, and that is what everybody is told
    "POST /approvals/{approval_id}/release": Call(APPROVAL, frozenset(), otherwise=409),
    "POST /approvals/{approval_id}/assign": Call(APPROVAL, frozenset({"bob"}), say(user="bob@example.com")),
    # nobody has approved it yet, and that is what everybody is told
    "POST /approvals/{approval_id}/take-back": Call(APPROVAL, frozenset(), otherwise=409),
    "POST /approvals/{approval_id}/ask": Call(
        APPROVAL, frozenset({"bob"}), say(text="Is she there?", user="carol@example.com")
    ),
    "GET /approvals/{approval_id}/precedent": Call(APPROVAL),
    "POST /approvals/{approval_id}/comment": Call(APPROVAL, COMPOSING | {"bob"}, say(text="Why this one?")),
    "GET /notices": Call(),
    "POST /notices/read": Call(),
    # a notice is its reader's alone
    "POST /notices/{notice_id}/read": Call(NOTICE, ADMIN, otherwise=404),
    "GET /preferences": Call(),
    "PUT /preferences": Call(body=say(kinds={"comment": "off"}, digest_hour=9)),
    "GET /channels": Call(),
    "POST /channels": Call(
        may=ADMIN, body=say(name="acme-new", kind="webhook", url="http://127.0.0.1:9/new", secret="acme-key")
    ),
    "PUT /channels/{name}": Call(CHANNEL, ADMIN, say(name="acme-ops", kind="slack", secret="acme-key")),
    "DELETE /channels/{name}": Call(CHANNEL, ADMIN),
    "POST /channels/{name}/test": Call(CHANNEL, ADMIN),
    "GET /deliveries": Call(may=ADMIN),
    "POST /deliveries/{delivery_id}/retry": Call({"delivery_id": "delivery"}, ADMIN),
    "GET /approval-rules": Call(),
    "POST /approval-rules": Call(may=MANAGING, body=say(name="acme-new", levels=[{"roles": ["manager"]}])),
    "PUT /approval-rules/{rule_id}": Call(
        {"rule_id": "rule"}, MANAGING, say(name="acme-new", levels=[{"roles": ["manager"]}])
    ),
    "DELETE /approval-rules/{rule_id}": Call({"rule_id": "rule"}, MANAGING),
    "GET /calendars": Call(),
    "POST /calendars": Call(may=MANAGING, body=say(name="acme-new", **MORNINGS)),
    "PUT /calendars/{name}": Call({"name": "calendar"}, MANAGING, say(name="acme-office", **MORNINGS)),
    "DELETE /calendars/{name}": Call({"name": "calendar"}, MANAGING),
    "GET /alert-rules": Call(),
    "GET /alert-rules/found": Call(),
    "POST /alert-rules": Call(may=MANAGING, body=say(name="Acme new", **ALERT)),
    "PUT /alert-rules/{rule_id}": Call({"rule_id": "alert"}, MANAGING, say(name="Acme new", **ALERT)),
    "DELETE /alert-rules/{rule_id}": Call({"rule_id": "alert"}, MANAGING),
    "GET /absences": Call(),
    "POST /absences": Call(body=say(**AWAY)),
    "DELETE /absences/{absence_id}": Call({"absence_id": "absence"}, ADMIN),
    "GET /datasets": Call(),
    "POST /datasets": Call(may=COMPOSING, body=say(name="acme-new", cases=ONE_CASE)),
    "GET /datasets/{name}": Call(DATASET),
    "GET /datasets/{name}/versions": Call(DATASET),
    "POST /datasets/{name}/versions": Call(DATASET, COMPOSING, say(cases=ONE_CASE)),
    "GET /datasets/{name}/versions/{number}": Call({**DATASET, "number": "1"}),
    "GET /datasets/{name}/versions/{number}/export": Call({**DATASET, "number": "1"}, query="format=promptfoo"),
    "POST /dataset-files": Call(may=COMPOSING, body=say(name="acme-brought", format="deepeval", data=GOLDENS)),
    "POST /approvals/{approval_id}/case": Call({"approval_id": "rejected"}, COMPOSING, say(dataset="acme-cases")),
    "POST /runs/{run_id}/case": Call({"run_id": "answer"}, COMPOSING, say(dataset="acme-cases")),
    "GET /pipelines/{slug}/publish-gate": Call(PIPELINE),
    "PUT /pipelines/{slug}/publish-gate": Call(PIPELINE, MANAGING, say(dataset="acme-cases", min_pass_rate=0.5)),
    "DELETE /pipelines/{slug}/publish-gate": Call(PIPELINE, MANAGING),
    "GET /evaluations": Call(),
    "POST /evaluations": Call(
        may=COMPOSING, body=lambda things: {"pipeline": things.pipeline.slug, "dataset": things.dataset}
    ),
    "GET /evaluations/{evaluation_id}": Call(EVALUATION),
    "GET /evaluations/{evaluation_id}/results": Call(EVALUATION),
    "POST /evaluations/{evaluation_id}/cancel": Call(EVALUATION, MANAGING),
    "GET /evaluations/{evaluation_id}/pairs": Call(EVALUATION),
    "GET /evaluations/{evaluation_id}/agreement": Call(EVALUATION),
    "GET /runs/{run_id}/ratings": Call({"run_id": "answer"}),
    "POST /runs/{run_id}/ratings": Call({"run_id": "answer"}, RATING, say(passed=True, note="Kind.")),
}


def routes() -> set[str]:
    """Return every route of the OpenAPI document as "METHOD /path"."""
    paths = api.get_openapi_schema()["paths"]
    return {f"{method.upper()} {path.removeprefix(ROOT)}" for path, item in paths.items() for method in item}


def writing_routes() -> list[str]:
    return [route for route in CALLS if route.partition(" ")[0] in WRITING]


def reading_routes() -> list[str]:
    return [route for route in CALLS if route.partition(" ")[0] == "GET"]


def call(client: Client, route: str, world: World, ids: Mapping[str, str] | None = None, **headers: str) -> Any:
    """Send a route's sample request, with the ids of the world's things unless others are given."""
    sample = CALLS[route]
    if sample.fresh and "sessionid" in client.cookies:
        just_come_in(client)
    body = json.dumps(sample.body(world.here)) if sample.body else ""
    path = sample.path(route, ids or world.here.ids())
    sent = {**sample.headers, **headers}
    return client.generic(route.partition(" ")[0], path, body, "application/json", headers=sent)
