"""Every page, with ids to put into its address: the table that the walks follow. The API's routes: `walks`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver

from tests.api.walks import ADMIN, AUDITING, COMPOSING, EVERYBODY, EXPORTING, MANAGING, RATING
from tests.api.world import NOBODYS


@dataclass(frozen=True)
class Page:
    """A page's address: which thing fills each hole; `posts` where a form is sent to it, `reads` where it is shown.

    `may` look, answered with `shows`, and `acts` may send the form, which is answered with `done`; the others are
    answered with `otherwise`. What is `signed` takes no form, but JSON that a
    key signs; what is `by_token` knows no browser's session. A value of `query` that is the name of a thing stands for
    its id.
    """

    holes: Mapping[str, str] = field(default_factory=dict)
    reads: bool = True
    posts: Mapping[str, str] | None = None
    public: bool = False
    signed: bool = False
    by_token: bool = False
    may: frozenset[str] = EVERYBODY
    acts: frozenset[str] = COMPOSING
    done: int = 302
    otherwise: int = 403
    query: Mapping[str, str] = field(default_factory=dict)
    shows: int = 200
    strict: bool = False  # refuses parameters that are not its own

    def asked(self, ids: Mapping[str, str]) -> dict[str, str]:
        return {name: ids.get(value, value) for name, value in self.query.items()}

    def path(self, pattern: str, ids: Mapping[str, str]) -> str:
        for hole, thing in self.holes.items():
            pattern = pattern.replace(f"<{hole}>", ids.get(thing, thing))
        return f"/{pattern}"

    @property
    def names_something(self) -> bool:
        """Whether the address names what belongs to a workspace; a template belongs to nobody."""
        return any(thing in NOBODYS for thing in self.holes.values())


def _does(holes: Mapping[str, str], acts: frozenset[str] = COMPOSING, done: int = 302, **posts: str) -> Page:
    """Return an address that only takes a form."""
    return Page(holes, reads=False, posts=posts, acts=acts, done=done)


ONE_CASE = '[{"name": "acme-first", "inputs": {"topic": "tides"}, "expected_output": "Tides."}]'
AGENT = {"slug:slug": "agent"}
WAY = {"slug:name": "connection"}
KEPT = {"slug:name": "secret"}
TYPED_WAY = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "trusted": "on"}
DRAFT = {"slug:slug": "pipeline"}
VERSION = DRAFT | {"int:number": "1"}
SHELF = {"slug:slug": "collection"}
RUNNING = {"uuid:run_id": "run"}
ASKED = {"uuid:approval_id": "approval"}
TOLD = {"uuid:notice_id": "notice"}
TEMPLATE = {"slug:name": "one-agent"}
HOURS = {"str:name": "calendar"}
TYPED_RULE = {"name": "Acme new", "manager-0": "on", "hours-0": "4", "approvals": "2"}
TYPED_HOURS = {"name": "acme-office", "zone": "UTC", "mon": "09:00-12:00, 13:00-17:00"}
TYPED_AWAY = {"first": "2030-07-01", "last": "2030-07-14", "delegate": "standin-acme@example.com"}
TRIGGER = {"slug:slug": "trigger"}
TYPED_TRIGGER = {"kind": "schedule", "slug": "acme-new", "pipeline": "acme-brief", "every": "day", "time": "09:00"}
TYPED_AGENT = {"name": "Acme new", "slug": "acme-new", "model": "demo/echo", "max_output": "100"}
BLANK = json.dumps(
    {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "acme-imported",
        "name": "Imported",
        "graph": {"nodes": {"start": {"kind": "input"}}, "edges": []},
    }
)
CAPPED = {"uuid:budget_id": "budget"}
TYPED_CAP = {"max_cost_usd": "60", "hard": "on", "on_exceed": "stop", "reason": "The fair is this week"}
ALERTING = {"uuid:rule_id": "alert"}
TYPED_ALERT = {"name": "Acme new", "kind": "threshold", "metric": "spend", "limit": "5", "role-manager": "on"}
TYPED_PRICE = {"model": "acme-local/local-model", "input": "1", "output": "2", "reason": "New list"}
RENAME = '[{"op": "set_document", "fields": {"name": "New"}}]'

NO_LINK = "01900000-0000-7000-8000-000000000000"  # of a letter; whoever has one needs no session

PAGES: dict[str, Page] = {
    "healthz": Page(public=True),
    "readyz": Page(public=True),
    "metrics": Page(public=True),  # to the machine itself
    "mcp": Page(reads=False, public=True, by_token=True),  # a protocol of its own: tests/runs/test_mcp_server
    "login/": Page(public=True, posts={"email": "bob@example.com", "password": "wrong"}),
    # nobody is between two steps of signing in; who is inside is sent on
    "login/code/": Page(posts={"code": "123456"}, public=True, shows=302),
    "login/passkey/": Page(posts={"credential": "{}"}, public=True, shows=302),
    "login/again/": Page(posts={"password": "wrong"}, acts=EVERYBODY, shows=403, done=403),
    "login/again/code/": Page(posts={"code": "123456"}, acts=EVERYBODY, shows=403, done=403),
    "login/again/passkey/": Page(posts={"credential": "{}"}, acts=EVERYBODY, shows=403, done=403),
    "account/": Page(),
    "account/password/": Page(posts={"current": "x"}, acts=EVERYBODY, shows=404, done=404),  # nobody here has one
    "account/tokens/": Page(),
    "account/tokens/<uuid:token_id>/revoke/": Page(  # one's own alone
        {"uuid:token_id": "run"}, reads=False, posts={}, acts=EVERYBODY, done=404
    ),
    # these people have not shown who they are for long, and have no password to show it with
    "account/tokens/new/": Page(posts={"name": "x"}, acts=EVERYBODY, shows=403, done=403),
    "account/app/": Page(posts={"code": "123456"}, acts=EVERYBODY, shows=403, done=403),
    "account/app/off/": Page(posts={}, acts=EVERYBODY, shows=404, done=404),
    "account/codes/": Page(shows=404),
    "account/codes/new/": Page(posts={}, acts=EVERYBODY, shows=403, done=403),
    "account/passkeys/new/": Page(posts={"credential": "{}"}, acts=EVERYBODY, shows=403, done=403),
    "account/passkeys/<int:pk>/remove/": Page({"int:pk": "1"}, posts={}, acts=EVERYBODY, shows=403, done=403),
    "invitations/<uuid:invitation_id>/<str:mark>/": Page(
        {"uuid:invitation_id": NO_LINK, "str:mark": "x"}, posts={"password": "x"}, public=True, shows=410
    ),
    "password/forgot/": Page(public=True, posts={"email": "bob@example.com"}),
    "password/new/<uuid:user_id>/<str:token>/": Page(
        {"uuid:user_id": NO_LINK, "str:token": "x-x"}, posts={"password": "x"}, public=True, shows=410
    ),
    "people/": Page(),
    "people/invite/": _does({}, ADMIN, email="new@example.com", role="viewer"),
    "people/remove/": _does({}, ADMIN, email="victor@example.com"),
    "people/content/": _does({}, ADMIN, **{"hide-viewer": "on"}),
    "people/deactivate/": _does({}, ADMIN, email="victor@example.com"),
    "people/activate/": _does({}, ADMIN, email="victor@example.com"),
    # nobody is invited
    "people/invitations/<uuid:invitation_id>/withdraw/": _does({"uuid:invitation_id": "run"}, ADMIN, done=404),
    # these people have not shown who they are for long
    "account/sessions/end-others/": _does({}, EVERYBODY, done=403),
    "account/sessions/<uuid:session_id>/end/": Page(
        {"uuid:session_id": NO_LINK}, reads=False, posts={}, acts=EVERYBODY, done=403
    ),
    # no provider is set
    "login/with/<slug:provider_id>/": Page({"slug:provider_id": "sso"}, public=True, shows=404),
    "login/with/<slug:provider_id>/callback/": Page({"slug:provider_id": "sso"}, public=True, shows=404),
    "audit/": Page(may=AUDITING),
    "audit.csv": Page(may=AUDITING),
    "csp-reports": Page(reads=False, posts={}, public=True, signed=True, done=204),
    "violations/": Page(may=ADMIN),
    "connections/+secrets/": Page(posts={"name": "acme-new", "value": "a new value"}, may=ADMIN, acts=ADMIN),
    "connections/+secrets/<slug:name>/": Page(KEPT, posts={"value": "another value"}, may=ADMIN, acts=ADMIN),
    # a webhook and a channel use it
    "connections/+secrets/<slug:name>/remove/": _does(KEPT, ADMIN, done=409),
    "logout/": Page(reads=False, posts={}, public=True),
    "theme/": Page(reads=False, posts={"theme": "dark"}, public=True),
    "": Page(),
    "counts/": Page(),
    "places/": Page(),
    "agents/": Page(),
    "agents/+new/": Page(posts=TYPED_AGENT, may=COMPOSING),
    "agents/+figures/": Page(),
    "agents/+speeds/": Page(),
    "agents/<slug:slug>/": Page(AGENT, posts={**TYPED_AGENT, "based_on": "1", "role": "Echo"}),
    "agents/<slug:slug>/versions/<int:number>/again/": _does(AGENT | {"int:number": "1"}),
    # the pipeline names another agent
    "agents/<slug:slug>/pipelines/<slug:pipeline_slug>/": _does(AGENT | {"slug:pipeline_slug": "pipeline"}, done=409),
    "agents/<slug:slug>/figures/": Page(AGENT),
    "agents/<slug:slug>/test/": Page(AGENT, posts={"prompt": "Say something.", "max_cost_usd": "0.10"}),
    "agents/<slug:slug>/test/<uuid:run_id>/": Page(AGENT | {"uuid:run_id": "trial"}),
    "connections/": Page(),
    "connections/+new/": Page(posts={**TYPED_WAY, "name": "acme-new"}, may=ADMIN, acts=ADMIN),
    "connections/<slug:name>/": Page(WAY, posts=TYPED_WAY, acts=ADMIN),
    "connections/<slug:name>/remove/": _does(WAY, ADMIN),
    # its server offers nothing
    "connections/<slug:name>/tools/": Page(
        {"slug:name": "server"}, posts={"tool": "echo"}, may=ADMIN, acts=ADMIN, done=422
    ),
    "pipelines/": Page(),
    "pipelines/<slug:slug>/": Page(DRAFT),
    "pipelines/<slug:slug>/run/": Page(DRAFT, posts={"field-topic": "tides"}),
    "pipelines/<slug:slug>/outline/": Page(DRAFT),
    "pipelines/<slug:slug>/step/": Page(DRAFT, posts={"node": "write", "rev": "1", "title": "Write it"}),
    "pipelines/<slug:slug>/change/": _does(DRAFT, done=200, rev="1", op_id="one", ops=RENAME),
    # there is nothing of theirs to take back yet
    "pipelines/<slug:slug>/undo/": _does(DRAFT, done=409, rev="1", op_id="two"),
    "pipelines/<slug:slug>/redo/": _does(DRAFT, done=409, rev="1", op_id="two"),
    "pipelines/<slug:slug>/news/": Page(DRAFT, query={"rev": "1"}),
    "pipelines/<slug:slug>/publish/": Page(DRAFT, posts={"note": "why", "share": "50"}),
    "pipelines/<slug:slug>/publish/runs/": Page(DRAFT),
    "pipelines/<slug:slug>/versions/": Page(DRAFT),
    "pipelines/<slug:slug>/versions/<int:number>.json": Page(VERSION),
    "pipelines/<slug:slug>/versions/<int:number>/rollback/": _does(VERSION),
    "pipelines/<slug:slug>/versions/<int:number>/edit/": _does(VERSION, revision="1"),
    "pipelines/<slug:slug>/versions/<int:low>-<int:high>/runs/": Page(DRAFT | {"int:low": "1", "int:high": "1"}),
    "pipelines/<slug:slug>/compare/": Page(DRAFT),
    "pipelines/<slug:slug>/compare/<slug:older>/<slug:newer>/runs/": Page(
        DRAFT | {"slug:older": "1", "slug:newer": "draft"}
    ),
    "pipelines/<slug:slug>/split/": _does(DRAFT, version="2", percent="10", other="1"),
    "pipelines/<slug:slug>/split/end/": _does(DRAFT),
    "pipelines/<slug:slug>/try/": Page(DRAFT, posts={"max_cost_usd": "0.10"}, query={"node": "write"}),
    # the run is no test of a step
    "pipelines/<slug:slug>/try/<uuid:run_id>/": Page(DRAFT | RUNNING, shows=404),
    "pipelines/<slug:slug>/seen/": Page(DRAFT, query={"node": "write", "run": "run"}),
    "pipelines/<slug:slug>/costs/": Page(DRAFT),
    "pipelines/<slug:slug>/values/": Page(DRAFT, query={"node": "write"}),
    "pipelines/<slug:slug>/sharing/": Page(DRAFT, posts={"run-role": "composer"}),
    "pipelines/<slug:slug>/duplicate/": _does(DRAFT, form="one"),
    "pipelines/<slug:slug>/archive/": _does(DRAFT),
    "pipelines/<slug:slug>/restore/": _does(DRAFT),
    "pipelines/<slug:slug>/export/": Page(DRAFT),
    "templates/": Page(),
    "templates/<slug:name>/": Page(TEMPLATE),
    "templates/<slug:name>/use/": _does(TEMPLATE, form="one"),
    "templates/<slug:name>/try/": _does(TEMPLATE, form="one"),
    "start/": Page(),
    "start/<slug:slug>/": Page(DRAFT),
    # it comes from no template, so there is no sample to try it with
    "start/<slug:slug>/try/": _does(DRAFT, done=422, form="one"),
    "start/<slug:slug>/publish/": _does(DRAFT),
    "new/": Page(may=COMPOSING),
    "new/blank/": _does({}, name="New", form="one"),
    "new/import/": _does({}, document=BLANK, form="one"),
    "runs/": Page(),
    "runs/<uuid:run_id>/": Page(RUNNING),
    "runs/<uuid:run_id>/step/": Page(RUNNING),
    "runs/<uuid:run_id>/changes": Page(RUNNING),
    "runs/<uuid:run_id>/at/": Page(RUNNING, query={"seq": "1"}),
    "runs/<uuid:run_id>/rehearsed/": Page(RUNNING),
    # it leads to the editor
    "runs/<uuid:run_id>/fix/": Page(RUNNING, shows=302),
    "runs/<uuid:run_id>/buttons/": Page(RUNNING),
    "runs/<uuid:run_id>/asks/": Page(RUNNING),
    "runs/<uuid:run_id>/fork/": Page(RUNNING, posts={"from_path": "write"}),
    "runs/<uuid:run_id>/cancel/": _does(RUNNING, MANAGING),
    "runs/<uuid:run_id>/stop/": _does(RUNNING, MANAGING, path="write"),
    "runs/<uuid:run_id>/pause/": _does(RUNNING, MANAGING),
    "runs/<uuid:run_id>/resume/": _does(RUNNING, MANAGING),
    "knowledge/": Page(posts={"name": "Acme new"}),
    "knowledge/<slug:slug>/": Page(SHELF),
    "knowledge/<slug:slug>/add/": _does(SHELF, name="a.txt", text="x"),
    "knowledge/<slug:slug>/remove/": _does(SHELF),
    "knowledge/<slug:slug>/<uuid:document_id>/remove/": _does(SHELF | {"uuid:document_id": "document"}),
    "costs/alerts/": Page(),
    "costs/alerts/+new/": Page(posts=TYPED_ALERT, may=MANAGING, acts=MANAGING),
    "costs/alerts/<uuid:rule_id>/": Page(ALERTING, posts=TYPED_ALERT, may=MANAGING, acts=MANAGING),
    "costs/alerts/<uuid:rule_id>/remove/": _does(ALERTING, MANAGING),
    "costs/prices/": Page(),
    "costs/prices/set/": Page(posts=TYPED_PRICE, may=MANAGING, acts=MANAGING),
    "costs/prices/withdraw/": _does({}, MANAGING, model="acme-local/local-model", reason="over"),
    "costs/prices/past/": Page(),
    "costs/what-if/": Page(),
    "costs/budgets/": Page(),
    "costs/budgets/+new/": Page(
        posts={**TYPED_CAP, "scope": "tag", "tag": "acme-new", "period": "month"}, may=MANAGING, acts=MANAGING
    ),
    "costs/budgets/<uuid:budget_id>/": Page(CAPPED, posts=TYPED_CAP, acts=MANAGING),
    # nothing of the day is used yet
    "costs/budgets/<uuid:budget_id>/allow/": _does(CAPPED, MANAGING, add_usd="2", reason="The fair"),
    "costs/budgets/<uuid:budget_id>/remove/": _does(CAPPED, MANAGING, reason="over"),
    "hooks/<slug:slug>": Page({"slug:slug": "some-hook"}, reads=False, posts={}, public=True, signed=True),
    "settings/triggers/": Page(),
    "settings/triggers/+new/": Page(may=COMPOSING, posts={**TYPED_TRIGGER, "zone": "UTC"}),
    "settings/triggers/+times/": Page(query={"every": "day", "time": "09:00", "zone": "UTC"}),
    "settings/triggers/<slug:slug>/": Page(
        TRIGGER, posts={"pipeline": "acme-brief", "secret": "acme-key", "input-topic": "${event.title}"}
    ),
    "settings/triggers/<slug:slug>/switch/": _does(TRIGGER, on=""),
    "settings/triggers/<slug:slug>/remove/": _does(TRIGGER),
    "costs/": Page(strict=True),
    "costs/speed/": Page(strict=True),
    "costs/speed/runs/": Page(strict=True, query={"pipeline": "pipeline"}),
    "costs/chargeback/": Page(strict=True),
    "costs/runs/": Page(strict=True),
    "costs/reasons/": Page(strict=True),
    "costs/beyond/": Page(strict=True),
    "costs/templates/": Page(),
    "runs/<uuid:run_id>/evidence/": _does(RUNNING, EXPORTING, done=409),  # it has not ended
    "approvals/": Page(),
    # a question that cannot be undone is decided by itself
    "approvals/health/": Page(),
    "approvals/health/questions/": Page(query={"figure": "open"}),
    "approvals/decisions/": Page(),
    "approvals/decisions.csv": Page(),
    "approvals/bulk/": _does({}, frozenset({"bob", "carol"}), done=409, decision="approve", item="x"),
    "approvals/rules/": Page(),
    "approvals/rules/+new/": Page(may=MANAGING, acts=MANAGING, posts=TYPED_RULE),
    "approvals/rules/<uuid:rule_id>/": Page({"uuid:rule_id": "rule"}, may=MANAGING, acts=MANAGING, posts=TYPED_RULE),
    "approvals/rules/<uuid:rule_id>/remove/": _does({"uuid:rule_id": "rule"}, MANAGING),
    "approvals/calendars/+new/": Page(may=MANAGING, acts=MANAGING, posts={**TYPED_HOURS, "name": "New"}),
    "approvals/calendars/<str:name>/": Page(HOURS, may=MANAGING, acts=MANAGING, posts=TYPED_HOURS),
    "approvals/calendars/<str:name>/remove/": _does(HOURS, MANAGING),
    "approvals/away/": Page(posts=TYPED_AWAY, acts=EVERYBODY),
    "approvals/away/<uuid:absence_id>/end/": _does({"uuid:absence_id": "absence"}, ADMIN),
    "approvals/<uuid:approval_id>/": Page(
        ASKED, posts={"decision": "reject", "reason": "No."}, acts=frozenset({"bob"})
    ),
    "approvals/<uuid:approval_id>/stands/": Page(ASKED),
    "approvals/<uuid:approval_id>/claim/": _does(ASKED, frozenset({"bob"})),
    "approvals/<uuid:approval_id>/release/": Page(ASKED, reads=False, posts={}, acts=frozenset(), otherwise=409),
    "approvals/<uuid:approval_id>/hand-over/": _does(ASKED, frozenset({"bob"}), user="bob@example.com"),
    "approvals/<uuid:approval_id>/ask/": _does(
        ASKED, frozenset({"bob"}), text="Is she there?", user="carol@example.com"
    ),
    "approvals/<uuid:approval_id>/take-back/": Page(ASKED, reads=False, posts={}, acts=frozenset(), otherwise=409),
    "approvals/<uuid:approval_id>/comment/": _does(ASKED, COMPOSING | {"bob"}, text="Why?"),
    "evaluations/": Page(),
    "evaluations/+new/": Page(may=COMPOSING, posts={"pipeline": "acme-brief", "dataset": "acme-cases", "repeats": "1"}),
    "evaluations/<uuid:evaluation_id>/": Page({"uuid:evaluation_id": "evaluation"}),
    "evaluations/<uuid:evaluation_id>/cancel/": _does({"uuid:evaluation_id": "evaluation"}, MANAGING),
    # there is no answer to rate yet
    "evaluations/<uuid:evaluation_id>/rate/": Page({"uuid:evaluation_id": "evaluation"}, may=RATING, shows=302),
    "pipelines/<slug:slug>/gate/": Page(
        DRAFT, acts=MANAGING, posts={"dataset": "acme-cases", "min_pass_rate": "50", "repeats": "1"}
    ),
    "datasets/+new/": Page(may=COMPOSING, posts={"name": "acme-new", "cases": ONE_CASE}),
    "datasets/<slug:name>/": Page({"slug:name": "dataset"}, posts={"cases": ONE_CASE}),
    "approvals/<uuid:approval_id>/case/": Page(
        {"uuid:approval_id": "rejected"}, may=COMPOSING, posts={"dataset": "acme-cases"}
    ),
    "runs/<uuid:run_id>/case/": Page({"uuid:run_id": "answer"}, may=COMPOSING, posts={"dataset": "acme-cases"}),
    "runs/<uuid:run_id>/rate/": Page({"uuid:run_id": "answer"}, may=RATING, acts=RATING, posts={"passed": "yes"}),
    "notices/": Page(),
    "notices/read/": _does({}, EVERYBODY),
    # a notice is its reader's alone
    "notices/<uuid:notice_id>/read/": Page(TOLD, reads=False, posts={}, acts=ADMIN, otherwise=404),
    "notices/<uuid:notice_id>/open/": Page(TOLD, reads=False, posts={}, acts=ADMIN, otherwise=404),
    "settings/notifications/": Page(posts={"comment": "off", "hour": "9"}, acts=EVERYBODY),
    "settings/notifications/deliveries/<int:delivery_id>/again/": _does({"int:delivery_id": "delivery"}, ADMIN),
    "settings/notifications/channels/": _does(
        {}, ADMIN, 200, name="Acme new", kind="webhook", url="http://127.0.0.1:9/new"
    ),
    "settings/notifications/channels/<slug:name>/test/": _does({"slug:name": "channel"}, ADMIN),
    "settings/notifications/channels/<slug:name>/remove/": _does({"slug:name": "channel"}, ADMIN),
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
    page = PAGES[pattern]
    more = {name: value for name, value in (query or {}).items() if name == "workspace" or not page.strict}
    return client.get(page.path(pattern, ids), {**page.asked(ids), **more})


def post_page(client: Client, pattern: str, ids: Mapping[str, str]) -> HttpResponse:
    page = PAGES[pattern]
    address = f"{page.path(pattern, ids)}?{urlencode(page.asked(ids))}"
    return client.post(address, dict(page.posts or {}))  # type: ignore[return-value]
