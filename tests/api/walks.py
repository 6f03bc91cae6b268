"""Every route of the API and every page, with ids to put into their addresses: the table that the walks follow."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver

from orchestrator_site.api import api
from tests.api.world import PRICES, Things, World, a_document_of

ROOT = "/api/v1"
EVERYBODY = frozenset({"alice", "bob", "carol", "dana", "erin", "victor"})
COMPOSING = frozenset({"alice", "dana"})
ADMIN = frozenset({"dana"})
MANAGING = frozenset({"carol", "dana"})
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
AGENT_FIELDS = {"model": "demo/echo"}
CONNECTION = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}

CALLS: dict[str, Call] = {
    "GET /members": Call(),
    "POST /members": Call(may=ADMIN, body=say(email="new@example.com", roles=["viewer"])),
    "PUT /members/{email}": Call({"email": "member"}, ADMIN, say(roles=["viewer"])),
    "DELETE /members/{email}": Call({"email": "member"}, ADMIN),
    "GET /tokens": Call(),
    "POST /tokens": Call(body=say(scopes=["read"])),
    "DELETE /tokens/{id}": Call({"id": "token"}, ADMIN, otherwise=404),
    "GET /secrets": Call(),
    "POST /secrets": Call(may=ADMIN, body=say(name="other-key", value="x")),
    "DELETE /secrets/{name}": Call({"name": "secret"}, ADMIN),
    "GET /audit": Call(may=frozenset({"dana", "erin"})),
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
    "GET /budgets": Call(),
    "POST /budgets": Call(may=MANAGING, body=say(scope="workspace", period="month", max_cost_usd="9.00")),
    "DELETE /budgets/{budget_id}": Call({"budget_id": "budget"}, MANAGING),
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
    "POST /runs/{run_id}/steps/stop": Call(RUN, MANAGING, say(path="write", reason="enough")),
    "GET /events": Call(query="topic=orders/17"),
    "POST /events": Call(may=COMPOSING, body=say(topic="orders/17", payload={"paid": True})),
    "GET /costs": Call(),
    "POST /runs/{run_id}/cancel": Call(RUN, MANAGING, say(reason="enough")),
    "POST /runs/{run_id}/pause": Call(RUN, MANAGING),
    "POST /runs/{run_id}/resume": Call(RUN, MANAGING),
    "POST /runs/{run_id}/fork": Call(RUN, COMPOSING, say(from_path="write")),
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
    "POST /approvals/{approval_id}/comment": Call(APPROVAL, COMPOSING | {"bob"}, say(text="Why this one?")),
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
    body = json.dumps(sample.body(world.here)) if sample.body else ""
    path = sample.path(route, ids or world.here.ids())
    sent = {**sample.headers, **headers}
    return client.generic(route.partition(" ")[0], path, body, "application/json", headers=sent)


@dataclass(frozen=True)
class Page:
    """A page's address: which thing fills each hole; `posts` where a form is sent to it, `reads` where it is shown."""

    holes: Mapping[str, str] = field(default_factory=dict)
    reads: bool = True
    posts: Mapping[str, str] | None = None
    public: bool = False

    def path(self, pattern: str, ids: Mapping[str, str]) -> str:
        for hole, thing in self.holes.items():
            pattern = pattern.replace(f"<{hole}>", ids[thing])
        return f"/{pattern}"


PAGES: dict[str, Page] = {
    "healthz": Page(public=True),
    "readyz": Page(public=True),
    "login/": Page(public=True, posts={"email": "bob@example.com", "password": "wrong"}),
    "logout/": Page(reads=False, posts={}, public=True),
    "theme/": Page(reads=False, posts={"theme": "dark"}, public=True),
    "": Page(),
    "counts/": Page(),
    "places/": Page(),
    "pipelines/": Page(),
    "pipelines/<slug:slug>/": Page({"slug:slug": "pipeline"}, posts={"field-topic": "tides"}),
    "runs/": Page(),
    "runs/<uuid:run_id>/": Page({"uuid:run_id": "run"}),
    "runs/<uuid:run_id>/step/": Page({"uuid:run_id": "run"}),
    "runs/<uuid:run_id>/changes": Page({"uuid:run_id": "run"}),
    "runs/<uuid:run_id>/buttons/": Page({"uuid:run_id": "run"}),
    "runs/<uuid:run_id>/asks/": Page({"uuid:run_id": "run"}),
    "runs/<uuid:run_id>/fork/": Page({"uuid:run_id": "run"}, posts={"from_path": "write"}),
    "runs/<uuid:run_id>/cancel/": Page({"uuid:run_id": "run"}, reads=False, posts={}),
    "runs/<uuid:run_id>/pause/": Page({"uuid:run_id": "run"}, reads=False, posts={}),
    "runs/<uuid:run_id>/resume/": Page({"uuid:run_id": "run"}, reads=False, posts={}),
    "costs/": Page(),
    "approvals/": Page(),
    **{
        f"approvals/<uuid:approval_id>/{act}/": Page({"uuid:approval_id": "approval"}, reads=False, posts=posts)
        for act, posts in (
            ("claim", {}),
            ("release", {}),
            ("hand-over", {"user": "bob@example.com"}),
            ("comment", {"text": "Why?"}),
        )
    },
    "approvals/<uuid:approval_id>/": Page(
        {"uuid:approval_id": "approval"}, posts={"decision": "reject", "reason": "No."}
    ),
}


def page_patterns() -> set[str]:
    """Return the pattern of every address outside the API."""
    return {pattern for pattern in _patterns(get_resolver().url_patterns, "") if not pattern.startswith("api/")}


def _patterns(found: Any, prefix: str) -> list[str]:
    patterns: list[str] = []
    for one in found:
        address = prefix + str(one.pattern)
        patterns += [address] if isinstance(one, URLPattern) else _patterns(one.url_patterns, address)
    return patterns


def pages(**wanted: bool) -> list[str]:
    """Return the patterns of pages that are read, posted to, public (or not)."""
    is_so = {"reads": lambda page: page.reads, "posts": lambda page: page.posts is not None, "public": _is_public}
    return [pattern for pattern, page in PAGES.items() if all(is_so[name](page) is is_ for name, is_ in wanted.items())]


def _is_public(page: Page) -> bool:
    return page.public


def open_page(client: Client, pattern: str, ids: Mapping[str, str], query: Mapping[str, str] | None = None) -> Any:
    return client.get(PAGES[pattern].path(pattern, ids), query or {})


def post_page(client: Client, pattern: str, ids: Mapping[str, str]) -> HttpResponse:
    page = PAGES[pattern]
    return client.post(page.path(pattern, ids), dict(page.posts or {}))  # type: ignore[return-value]
