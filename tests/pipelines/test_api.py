"""The REST routes of what may run: shapes, statuses, roles, and nothing for a stranger."""

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.roles import Scope
from pipelines import budgets
from pipelines.library import connections
from pipelines.models import BudgetChange, Circuit, Connection, Draft, Pipeline
from tests.people import Team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document, a_pipeline, a_published_pipeline, a_writer, prompting

API = "/api/v1"
AGENT = {"model": "demo/writer", "instructions": "Write."}


class Caller:
    """A program acting for one person with a token."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.client, self.headers = Client(), headers

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        send = getattr(self.client, method)
        content = {"data": "" if body is None else body, "content_type": "application/json"} if method != "get" else {}
        return send(API + path, headers={**self.headers, **headers}, **content)


def by(team: Team, person: User, *scopes: Scope) -> Caller:
    workspace = team.elsewhere if person == team.charlie else team.workspace
    return Caller(bearer(person, workspace, *scopes))


@pytest.fixture
def alice(team: Team) -> Caller:
    return by(team, team.alice)


# pipelines and drafts


def test_a_pipeline_is_created_read_listed_and_archived(team: Team, alice: Caller) -> None:
    made = alice("post", "/pipelines", {"document": a_document(description="Short")})
    assert made.status_code == 201
    assert made.json() | {"created_at": "", "url": ""} == {
        "slug": "brief",
        "url": "",
        "name": "Brief",
        "description": "Short",
        "version": None,
        "split": [],
        "hash": None,
        "created_by": "alice@example.com",
        "created_at": "",
        "archived_at": None,
    }
    assert made.json()["created_at"].endswith("Z")
    assert alice("get", "/pipelines/brief").json() == made.json()
    assert alice("get", "/pipelines").json() == {"items": [made.json()], "next": None}
    assert alice("delete", "/pipelines/brief").status_code == 204
    assert alice("get", "/pipelines").json()["items"] == []
    assert [item["slug"] for item in alice("get", "/pipelines?archived=true").json()["items"]] == ["brief"]
    assert alice("get", "/pipelines/brief").json()["archived_at"]
    assert alice("post", "/pipelines/brief/restore").json()["archived_at"] is None


def test_a_long_list_comes_in_pages(team: Team, alice: Caller) -> None:
    for number in range(5):
        a_pipeline(acting(team.alice), f"brief-{number}")
    first = alice("get", "/pipelines?limit=3").json()
    rest = alice("get", f"/pipelines?limit=3&cursor={first['next']}").json()
    assert [item["slug"] for item in first["items"] + rest["items"]] == [f"brief-{number}" for number in range(5)]
    assert rest["next"] is None


def test_the_same_slug_twice_is_a_conflict(team: Team, alice: Caller) -> None:
    a_pipeline(acting(team.alice))
    again = alice("post", "/pipelines", {"document": a_document()})
    assert (again.status_code, again.json()["code"], again.json()["where"]) == (409, "slug_taken", "/id")


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (a_document(colour="red"), "/colour"),
        (a_document(name=""), "/name"),
        (a_document(budget={"max_cost_usd": 5}), "/budget/max_cost_usd"),
        ("text", ""),
        (None, ""),
        ([], ""),
        ({}, ""),
    ],
)
def test_a_bad_document_is_a_named_error_with_its_path(alice: Caller, document: Any, where: str) -> None:
    answer = alice("post", "/pipelines", {"document": document})
    assert answer.status_code == 422
    assert answer.json()["code"]
    assert answer.json()["message"].endswith(".")
    assert (answer.json()["where"] or "").startswith(where)
    assert not Pipeline.objects.exists()


@pytest.mark.parametrize("body", [{}, {"document": a_document(), "colour": "red"}, []])
def test_a_bad_body_is_refused(alice: Caller, body: Any) -> None:
    assert alice("post", "/pipelines", body).status_code == 422


@pytest.mark.parametrize(
    ("raw", "status"), [(b"{", 400), (b'{"document": {"name": "a\\u0000"}}', 422), (b'{"document": NaN}', 400)]
)
def test_json_that_cannot_be_kept_is_refused(alice: Caller, raw: bytes, status: int) -> None:
    assert alice("post", "/pipelines", raw).status_code == status


def test_a_draft_is_read_with_its_revision_as_etag(team: Team, alice: Caller) -> None:
    a_pipeline(acting(team.alice))
    answer = alice("get", "/pipelines/brief/draft")
    assert answer["ETag"] == '"1"'
    assert answer.json()["document"] == a_document()
    assert answer.json()["revision"] == 1
    problem = next(found for found in answer.json()["problems"] if found["code"] == "unknown_agent")
    assert problem | {"message": ""} == {
        "code": "unknown_agent",
        "severity": "error",
        "where": "/graph/nodes/write/agent",
        "node": "write",
        "message": "",
    }
    assert problem in alice("get", "/pipelines/brief/problems").json()["items"]


@pytest.mark.parametrize("match", ["1", '"1"', 'W/"1"'])
def test_a_draft_is_saved_against_the_revision_it_was_read_at(team: Team, alice: Caller, match: str) -> None:
    a_pipeline(acting(team.alice))
    answer = alice("put", "/pipelines/brief/draft", {"document": a_document(name="New")}, **{"If-Match": match})
    assert answer.status_code == 200
    assert (answer["ETag"], answer.json()["revision"]) == ('"2"', 2)
    assert answer.json()["document"]["name"] == "New"


def test_of_two_editors_the_second_is_told(team: Team, alice: Caller) -> None:
    a_pipeline(acting(team.alice))
    dana = by(team, team.dana)
    alice("put", "/pipelines/brief/draft", {"document": a_document(name="Alice")}, **{"If-Match": "1"})
    late = dana("put", "/pipelines/brief/draft", {"document": a_document(name="Dana")}, **{"If-Match": "1"})
    assert (late.status_code, late.json()["code"], late.json()["revision"]) == (409, "stale_revision", 2)
    ops = [{"op": "set_document", "fields": {"name": "Dana"}}]
    late = dana("post", "/pipelines/brief/draft/ops", {"rev": 1, "op_id": "d1", "ops": ops})
    assert (late.status_code, late.json()["code"]) == (409, "stale_revision")
    assert Draft.objects.get().document["name"] == "Alice"


@pytest.mark.parametrize(("match", "status"), [(None, 428), ("seven", 422), ("9" * 40, 422), ('""', 428)])
def test_saving_needs_a_revision(team: Team, alice: Caller, match: str | None, status: int) -> None:
    a_pipeline(acting(team.alice))
    headers = {} if match is None else {"If-Match": match}
    assert alice("put", "/pipelines/brief/draft", {"document": a_document()}, **headers).status_code == status
    assert Draft.objects.get().revision == 1


def test_ops_change_the_draft_once_per_op_id(team: Team, alice: Caller) -> None:
    a_pipeline(acting(team.alice))
    body = {"rev": 1, "op_id": "a1", "ops": [{"op": "remove_node", "node": "result"}]}
    for _ in range(2):
        answer = alice("post", "/pipelines/brief/draft/ops", body)
        assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    assert "result" not in answer.json()["document"]["graph"]["nodes"]


@pytest.mark.parametrize(
    ("ops", "where"),
    [
        ([], "/ops"),
        ([{"op": "explode"}], "/ops/0/op"),
        ([{"op": "add_edge", "from": "write", "to": "write"}], "/graph"),
        ([{"op": "set_node", "node": "write", "value": {"kind": "spaceship"}}], "/graph/nodes/write/kind"),
    ],
)
def test_ops_that_cannot_be_are_refused_with_their_place(team: Team, alice: Caller, ops: Any, where: str) -> None:
    a_pipeline(acting(team.alice))
    answer = alice("post", "/pipelines/brief/draft/ops", {"rev": 1, "op_id": "a1", "ops": ops})
    assert answer.status_code == 422
    assert answer.json()["where"].startswith(where)
    assert Draft.objects.get().revision == 1


# versions


def test_versions_are_published_read_compared_and_rolled_back(team: Team, alice: Caller) -> None:
    a_writer(acting(team.alice))
    a_pipeline(acting(team.alice))
    first = alice("post", "/pipelines/brief/publish", {"note": "First"})
    assert first.status_code == 201
    assert first.json()["version"] == 1
    assert first.json()["hash"].startswith("sha256:")
    changed = prompting(a_document(), "Anew")
    alice("put", "/pipelines/brief/draft", {"document": changed}, **{"If-Match": "1"})
    assert alice("post", "/pipelines/brief/publish").json()["version"] == 2
    assert alice("get", "/pipelines/brief").json()["version"] == 2
    listed = alice("get", "/pipelines/brief/versions").json()
    assert [(item["version"], item["note"]) for item in listed["items"]] == [(2, ""), (1, "First")]
    one = alice("get", "/pipelines/brief/versions/1").json()
    assert one["document"] == a_document()
    assert set(one["lock"]) == {"agents", "tools", "prices", "windows", "then", "pipelines"}
    assert one["published_by"] == "alice@example.com"
    for query in ("from=1&to=2", "from=1&to=draft", "from=1"):
        assert len(alice("get", f"/pipelines/brief/diff?{query}").json()["changes"]) == 1
    back = alice("post", "/pipelines/brief/rollback", {"version": 1})
    assert (back.status_code, back.json()["version"], back.json()["hash"]) == (201, 3, first.json()["hash"])
    assert alice("get", "/pipelines/brief").json()["version"] == 3


def test_publishing_with_errors_answers_with_the_problems(team: Team, alice: Caller) -> None:
    a_pipeline(acting(team.alice))
    answer = alice("post", "/pipelines/brief/publish", {"note": ""})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_publishable")
    assert {"code", "severity", "where", "node", "message"} == set(answer.json()["problems"][0])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("get", "/versions/9", None, 404),
        ("get", "/versions/zero", None, 422),
        ("get", f"/versions/{10**20}", None, 404),
        ("post", "/rollback", {"version": 9}, 404),
        ("post", "/rollback", {"version": "one"}, 422),
        ("get", "/diff?from=9&to=1", None, 404),
        ("get", "/diff?from=x&to=1", None, 422),
        ("get", "/diff", None, 422),
        ("get", "/versions?cursor=nonsense", None, 422),
    ],
)
def test_a_version_that_is_not_there(team: Team, alice: Caller, method: str, path: str, body: Any, status: int) -> None:
    a_published_pipeline(acting(team.alice))
    assert alice(method, f"/pipelines/brief{path}", body).status_code == status


# agents, tools, connections, budgets


def test_agents_have_versions(team: Team, alice: Caller) -> None:
    made = alice("post", "/agents", {"slug": "writer", **AGENT, "max_cost_usd": "0.50", "temperature": 0.5})
    assert made.status_code == 201
    assert made.json() | {"created_at": ""} == {
        "slug": "writer",
        "name": "Writer",
        "version": 1,
        "model": "demo/writer",
        "role": "",
        "goal": "",
        "instructions": "Write.",
        "tools": [],
        "output_schema": None,
        "max_output": 4096,
        "temperature": 0.5,
        "max_cost_usd": "0.5",
        "fallback": [],
        "secrets": [],
        "egress": [],
        "created_at": "",
    }
    second = alice("post", "/agents/writer/versions", {**AGENT, "fallback": ["demo/echo"]})
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert alice("get", "/agents/writer").json() == second.json()
    assert alice("get", "/agents/writer?version=1").json() == made.json()
    assert alice("get", "/agents").json()["items"] == [second.json()]
    assert [item["version"] for item in alice("get", "/agents/writer/versions").json()["items"]] == [2, 1]
    assert alice("get", "/agents/writer?version=9").status_code == 404
    assert alice("post", "/agents", {"slug": "writer", **AGENT}).json()["code"] == "slug_taken"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"slug": "Not a slug"}, "/slug"),
        ({"model": "nonsense"}, "/model"),
        ({"tools": ["rocket.launch@1"]}, "/tools/0"),
        ({"colour": "red"}, "/colour"),
        ({"max_output": "many"}, "/max_output"),
        ({"output_schema": {"type": "spaceship"}}, "/output_schema"),
        ({"version": 3}, "/version"),
    ],
)
def test_a_bad_agent_names_the_field(alice: Caller, fields: Any, where: str) -> None:
    answer = alice("post", "/agents", {"slug": "writer", **AGENT, **fields})
    assert answer.status_code == 422
    assert answer.json()["where"].startswith(where)
    assert alice("get", "/agents").json()["items"] == []


def test_the_tools_say_what_they_do(alice: Caller) -> None:
    tools = {tool["id"]: tool for tool in alice("get", "/tools").json()["items"]}
    assert set(tools) == {"http.request@1", "email.send@1", "crm.log@1", "notes.append@1", "knowledge.search@1"}
    assert (tools["knowledge.search@1"]["effect"], tools["knowledge.search@1"]["delivery"]) == ("none", "idempotent")
    assert (tools["email.send@1"]["effect"], tools["email.send@1"]["delivery"]) == ("irreversible", "neither")


def test_connections_are_made_changed_priced_and_removed(team: Team, alice: Caller) -> None:
    dana, carol = by(team, team.dana), by(team, team.carol)
    price = {"tiny": {"input_per_million": "0.10", "output_per_million": "0.40"}}
    body = {
        "name": "local",
        "kind": "openai",
        "base_url": "http://127.0.0.1:9000/v1",
        "secret": "local-key",
        "prices": price,
        "max_concurrent": None,
        "rpm": None,
        "tpm": None,
    }
    made = dana("post", "/connections", body)
    assert made.status_code == 201
    assert made.json() == {**body, "secret_header": "", "trusted_address": True, "circuit": {}, "agent_circuits": []}
    assert alice("get", "/connections").json() == {"items": [made.json()], "next": None}
    assert alice("get", "/connections/local").json() == made.json()
    changed = dana("put", "/connections/local", {**body, "rpm": 60})
    assert (changed.status_code, changed.json()["rpm"]) == (200, 60)
    assert carol("put", "/connections/local/prices", {"prices": {}}).json()["prices"] == {}
    assert dana("post", "/connections", body).json()["code"] == "name_taken"
    assert dana("put", "/connections/local", {**body, "name": "other"}).status_code == 422
    assert dana("post", "/connections", {**body, "name": "x", "base_url": "ftp://host"}).json()["where"] == "/base_url"
    assert dana("delete", "/connections/local").status_code == 204
    assert dana("get", "/connections/local").status_code == 404


def test_a_connection_says_which_of_its_models_are_left_alone(team: Team, alice: Caller) -> None:
    for name, workspace in (("local", team.workspace), ("other", team.workspace), ("local", team.elsewhere)):
        Connection.objects.create(workspace=workspace, name=name, kind="openai")
    now = timezone.now()
    for model, retry_at in (("tiny", now + dt.timedelta(seconds=20)), ("huge", now)):
        Circuit.objects.create(workspace=team.workspace, subject=f"local/{model}", opened_at=now, retry_at=retry_at)
    Circuit.objects.create(workspace=team.workspace, subject="local/fine", failures=[now])
    local, other = alice("get", "/connections").json()["items"]
    states = {model: circuit["state"] for model, circuit in local["circuit"].items()}
    assert states == {"tiny": "open", "huge": "half_open"}
    assert set(local["circuit"]["tiny"]) == {"state", "opened_at", "retry_at"}
    assert (local, other["circuit"]) == (alice("get", "/connections/local").json(), {})
    assert by(team, team.charlie)("get", "/connections").json()["items"][0]["circuit"] == {}


def test_a_connection_says_which_agents_are_left_alone_with_its_models(team: Team, alice: Caller) -> None:
    for name in ("local", "other"):
        Connection.objects.create(workspace=team.workspace, name=name, kind="openai")
    now, soon = timezone.now(), timezone.now() + dt.timedelta(seconds=20)
    subjects = ("writer@1 with local/tiny", "writer@2 with local/a/b", "writer@1 with other/tiny", "local/tiny")
    for subject in subjects:
        Circuit.objects.create(workspace=team.workspace, subject=subject, opened_at=now, retry_at=soon)
    local, other = alice("get", "/connections").json()["items"]
    assert [(one["agent"], one["model"], one["state"]) for one in local["agent_circuits"]] == [
        ("writer@1", "tiny", "open"),
        ("writer@2", "a/b", "open"),
    ]
    assert set(local["agent_circuits"][0]) == {"agent", "model", "state", "opened_at", "retry_at"}
    assert (list(local["circuit"]), len(other["agent_circuits"])) == (["tiny"], 1)
    assert local == alice("get", "/connections/local").json()
    assert by(team, team.charlie)("get", "/connections").json()["items"] == []


def test_budgets_are_set_replaced_and_removed(team: Team, alice: Caller) -> None:
    carol = by(team, team.carol)
    a_pipeline(acting(team.alice))
    body = {
        "scope": "workspace",
        "pipeline": None,
        "tag": None,
        "period": "day",
        "max_cost_usd": "50.00",
        "hard": True,
        "on_exceed": "ask_human",
        "alert_at": [0.5, 0.8, 1],
    }
    made = carol("post", "/budgets", body)
    assert made.status_code == 201
    assert made.json() | {"id": ""} == {**body, "id": "", "max_cost_usd": "50"}
    again = carol("post", "/budgets", {**body, "max_cost_usd": "20.5"})
    assert (again.json()["id"], again.json()["max_cost_usd"]) == (made.json()["id"], "20.5")
    own = carol("post", "/budgets", {"scope": "pipeline", "pipeline": "brief", "period": "month", "max_cost_usd": "5"})
    assert (own.status_code, own.json()["pipeline"]) == (201, "brief")
    tagged = carol("post", "/budgets", {"scope": "tag", "tag": "research", "period": "month", "max_cost_usd": "7"})
    assert (tagged.status_code, tagged.json()["scope"], tagged.json()["tag"]) == (201, "tag", "research")
    assert alice("get", "/budgets").json()["items"] == [again.json(), own.json(), tagged.json()]
    assert carol("delete", f"/budgets/{own.json()['id']}?reason=over").status_code == 204
    assert carol("delete", f"/budgets/{own.json()['id']}?reason=over").status_code == 404
    assert carol("delete", "/budgets/nonsense?reason=over").status_code == 404


def test_whatever_loosens_a_cap_needs_a_reason_and_stands_in_the_history(team: Team, alice: Caller) -> None:
    carol = by(team, team.carol)
    body = {"scope": "tag", "tag": "research", "period": "day", "max_cost_usd": "50"}
    made = carol("post", "/budgets", body).json()
    for looser in ({"max_cost_usd": "50.000001"}, {"hard": False}, {"max_cost_usd": "60", "reason": "  "}):
        refused = carol("post", "/budgets", {**body, **looser})
        assert (refused.status_code, refused.json()["code"]) == (422, "reason_needed"), looser
    assert carol("delete", f"/budgets/{made['id']}").json()["code"] == "reason_needed"
    assert carol("post", "/budgets", {**body, "max_cost_usd": "40"}).status_code == 201
    raised = carol("post", "/budgets", {**body, "max_cost_usd": "60", "reason": "The  fair is this week"})
    assert (raised.json()["id"], raised.json()["max_cost_usd"]) == (made["id"], "60")
    assert alice("post", "/budgets", {**body, "max_cost_usd": "99", "reason": "I want to"}).status_code == 403
    assert carol("delete", f"/budgets/{made['id']}?reason=over").status_code == 204
    found = alice("get", "/budgets/changes").json()["items"]
    assert [(one["act"], one["was_usd"], one["cap_usd"], one["reason"]) for one in found] == [
        ("removed", "60", None, "over"),
        ("raised", "40", "60", "The fair is this week"),
        ("lowered", "50", "40", ""),
        ("set", None, "50", ""),
    ]
    assert {(one["scope"], one["by"]) for one in found} == {("tag research/day", team.carol.email)}
    assert by(team, team.charlie)("get", "/budgets/changes").json()["items"] == []
    raised_entry = AuditEntry.objects.filter(action="budget.set").order_by("-seq")[0]
    assert raised_entry.target == "tag research/day"
    assert (raised_entry.data["was_usd"], raised_entry.data["reason"]) == ("40", "The fair is this week")


def test_nobody_rewrites_what_was_done_to_budgets(team: Team) -> None:
    budgets.put(acting(team.carol), budgets.BudgetFields("day", "5"))
    for change in (lambda rows: rows.update(reason="better"), lambda rows: rows.delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            change(BudgetChange.objects.all())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"scope": "galaxy"}, 422),
        ({"scope": "pipeline"}, 422),
        ({"scope": "tag"}, 422),
        ({"tag": "research"}, 422),
        ({"scope": "tag", "tag": " "}, 422),
        ({"scope": "tag", "tag": "x" * 64}, 422),
        ({"scope": "tag", "tag": "a", "pipeline": "brief"}, 422),
        ({"reason": "x" * 401}, 422),
        ({"pipeline": "brief"}, 422),
        ({"scope": "pipeline", "pipeline": "ghost"}, 404),
        ({"period": "year"}, 422),
        ({"max_cost_usd": "0"}, 422),
        ({"max_cost_usd": 5}, 422),
        ({"max_cost_usd": "1e30"}, 422),
        ({"alert_at": [1.5]}, 422),
        ({"on_exceed": "shrug"}, 422),
        ({"currency": "EUR"}, 422),
    ],
)
def test_a_bad_budget_is_refused(team: Team, fields: Any, status: int) -> None:
    body = {"scope": "workspace", "period": "day", "max_cost_usd": "50", **fields}
    assert by(team, team.carol)("post", "/budgets", body).status_code == status


# who may


def test_nobody_and_a_token_that_may_not_read_read_nothing(team: Team) -> None:
    a_published_pipeline(acting(team.alice))
    for path in ("/pipelines", "/pipelines/brief", "/pipelines/brief/draft", "/agents", "/tools", "/connections"):
        assert by(team, team.alice, Scope.RUN)("get", path).status_code == 403
        assert Client().get(API + path).status_code == 401


def test_a_token_that_may_edit_need_not_read(team: Team) -> None:
    a_pipeline(acting(team.alice))
    editor = by(team, team.alice, Scope.EDIT)
    assert editor("put", "/pipelines/brief/draft", {"document": a_document()}, **{"If-Match": "1"}).status_code == 200
    assert editor("get", "/pipelines/brief/draft").status_code == 403


ALL_ROUTES: list[tuple[str, str, Any]] = [
    ("get", "/pipelines/{p}", None),
    ("delete", "/pipelines/{p}", None),
    ("post", "/pipelines/{p}/restore", None),
    ("get", "/pipelines/{p}/draft", None),
    ("put", "/pipelines/{p}/draft", {"document": a_document()}),
    ("post", "/pipelines/{p}/draft/ops", {"rev": 1, "op_id": "x", "ops": [{"op": "move", "positions": {}}]}),
    ("get", "/pipelines/{p}/problems", None),
    ("post", "/pipelines/{p}/publish", {"note": ""}),
    ("get", "/pipelines/{p}/versions", None),
    ("get", "/pipelines/{p}/versions/1", None),
    ("post", "/pipelines/{p}/rollback", {"version": 1}),
    ("get", "/pipelines/{p}/diff?from=1&to=1", None),
    ("get", "/agents/{a}", None),
    ("get", "/agents/{a}/versions", None),
    ("post", "/agents/{a}/versions", AGENT),
    ("get", "/connections/{c}", None),
    ("put", "/connections/{c}", {"name": "local"}),
    ("put", "/connections/{c}/prices", {"prices": {}}),
    ("delete", "/connections/{c}", None),
    ("delete", "/budgets/{b}?reason=over", None),
]
REAL = {"p": "brief", "a": "writer", "c": "local"}
ABSENT = {"p": "ghost", "a": "ghost", "c": "ghost", "b": "0190e0d4-0000-7000-8000-000000000000"}
MANAGED = ("/connections/{c}/prices", "/budgets/{b}?reason=over")
ADMINISTERED = ("/connections/{c}",)


def the_real_things(team: Team) -> dict[str, str]:
    a_published_pipeline(acting(team.alice))
    connections.create(acting(team.dana), connections.ConnectionFields(name="local"))
    budget = by(team, team.carol)("post", "/budgets", {"scope": "workspace", "period": "day", "max_cost_usd": "1"})
    return {**REAL, "b": budget.json()["id"]}


@pytest.mark.parametrize(("method", "path", "body"), ALL_ROUTES)
def test_a_stranger_finds_what_an_absent_name_finds(team: Team, method: str, path: str, body: Any) -> None:
    real = the_real_things(team)
    charlie = by(team, team.charlie)
    theirs = charlie(method, path.format(**real), body, **{"If-Match": "1"})
    absent = charlie(method, path.format(**ABSENT), body, **{"If-Match": "1"})
    assert theirs.status_code == absent.status_code == 404
    assert theirs.json() == absent.json()


def test_a_stranger_lists_nothing(team: Team) -> None:
    the_real_things(team)
    for path in ("/pipelines", "/agents", "/connections", "/budgets"):
        assert by(team, team.charlie)("get", path).json() == {"items": [], "next": None}


@pytest.mark.parametrize(("method", "path", "body"), ALL_ROUTES)
def test_each_role_does_what_is_its_own(team: Team, method: str, path: str, body: Any) -> None:
    real = the_real_things(team)
    if method == "get":
        allowed = {"alice", "bob", "carol", "erin"}
    elif path in MANAGED:
        allowed = {"carol"}
    elif path in ADMINISTERED:
        allowed = set()
    else:
        allowed = {"alice"}
    answers = {
        name: by(team, getattr(team, name))(method, path.format(**real), body, **{"If-Match": "1"}).status_code
        for name in ("bob", "erin", "alice", "carol")
    }
    assert {name for name, status in answers.items() if status != 403} == allowed
    assert all(200 <= answers[name] < 300 for name in allowed)


@pytest.mark.parametrize(("method", "path", "body"), [route for route in ALL_ROUTES if route[0] != "get"])
def test_a_browser_changes_nothing_without_its_csrf_token(team: Team, method: str, path: str, body: Any) -> None:
    real = the_real_things(team)
    send = getattr(signed_in_as(team.dana, csrf=True), method)
    answer = send(API + path.format(**real), data=body or {}, content_type="application/json")
    assert answer.status_code == 403
