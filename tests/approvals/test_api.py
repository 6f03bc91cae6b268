"""The desk over REST, with the real sign-in, errors and limits."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership
from accounts.roles import Role, Scope
from approvals import services
from approvals.models import Approval
from pipelines.graph.canonical import digest
from runs.models import Inbox
from tests.approvals.builders import EMAIL, Desk, a_desk, a_question, a_run, an_approval, approve, fall_due
from tests.people import a_member, acting, bearer, signed_in_as

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.approvals.urls")]
ROOT = "/api/v1/approvals"


@pytest.fixture
def desk() -> Desk:
    return a_desk()


class Program:
    """A program with the token of one person."""

    def __init__(self, desk: Desk, name: str, *scopes: Scope) -> None:
        user = getattr(desk.team, name)
        workspace = desk.team.elsewhere if name == "charlie" else desk.team.workspace
        self.headers = bearer(user, workspace, *scopes)
        self.client = Client()

    def get(self, path: str = "", **query: Any) -> Any:
        return self.client.get(ROOT + path, query, headers=self.headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        raw = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.client.post(ROOT + path, raw, "application/json", headers={**self.headers, **headers})


def test_an_approval_is_shown_as_the_contract_says(desk: Desk) -> None:
    approval = an_approval(desk.run)
    shown = Program(desk, "bob").get(f"/{approval.pk}").json()
    assert (
        shown.items()
        >= {
            "id": str(approval.pk),
            "kind": "approve",
            "state": "open",
            "run": str(desk.run.pk),
            "path": "send",
            "pipeline": desk.run.pipeline.slug,
            "title": "Send an email",
            "action": {"tool": "email.send@1", "effect": "irreversible"},
            "payload": EMAIL,
            "payload_hash": digest(EMAIL),
            "show": {},
            "form": None,
            "why": "Sending an email cannot be undone.",
            "trust": {"/args/body": "model"},
            "roles": ["reviewer"],
            "claimed_by": None,
            "assigned_to": None,
            "decisions": [],
            "sentence": "Send an email to ana@northwind.example with the subject “Hello”.",
            "risk": "Cannot be undone",
        }.items()
    )
    assert shown["expires_at"].endswith("Z")


def test_a_decision_over_rest_reaches_the_run_and_is_shown(desk: Desk) -> None:
    approval = an_approval(desk.run)
    body = {"decision": "approve", "payload_hash": approval.payload_hash, "reason": "fine"}
    answer = Program(desk, "bob").post(f"/{approval.pk}/decide", body)
    assert answer.status_code == 200
    assert answer.json()["state"] == "approved"
    [decision] = answer.json()["decisions"]
    assert (decision["by"], decision["decision"], decision["reason"]) == ("bob@example.com", "approve", "fine")
    assert Inbox.objects.filter(run=desk.run).count() == 1


def test_the_list_filters_by_state_mine_kind_and_run(desk: Desk) -> None:
    bob = Program(desk, "bob")
    mine, budget = an_approval(desk.run), a_question(desk.run, "budget")
    closed, other = an_approval(desk.run), an_approval(a_run(desk.team.workspace, desk.team.dana))
    services.decide(desk.actor("bob"), closed.pk, approve(closed))

    def ids(**query: Any) -> list[str]:
        answer = bob.get(**query)
        assert answer.status_code == 200, answer.json()
        return [item["id"] for item in answer.json()["items"]]

    assert set(ids()) == {str(a.pk) for a in (mine, budget, closed, other)}
    assert set(ids(state="open")) == {str(a.pk) for a in (mine, budget, other)}
    assert set(ids(state="open", mine="true")) == {str(mine.pk), str(other.pk)}
    assert ids(state="approved", mine="true") == [str(closed.pk)]
    assert ids(kind="budget") == [str(budget.pk)]
    assert ids(run=str(other.run_id)) == [str(other.pk)]


def test_the_list_pages_without_gap_or_repeat(desk: Desk) -> None:
    made = [str(an_approval(desk.run).pk) for _ in range(7)]
    bob, seen, cursor = Program(desk, "bob"), [], None
    while True:
        page = bob.get(limit=3, state="open", mine="true", **({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_page_of_the_list_takes_the_same_queries_however_long(desk: Desk, django_assert_max_num_queries: Any) -> None:
    for _ in range(20):
        services.comment(desk.actor("bob"), an_approval(desk.run).pk, "hm")
    bob = Program(desk, "bob")
    with django_assert_max_num_queries(8):
        assert len(bob.get(state="open").json()["items"]) == 20


@pytest.mark.parametrize("query", [{"state": "ajar"}, {"kind": "x"}, {"mine": "maybe"}, {"cursor": "x"}, {"limit": 0}])
def test_a_wrong_filter_is_refused_by_name(desk: Desk, query: dict[str, Any]) -> None:
    assert Program(desk, "bob").get(**query).status_code == 422


ROUTES = [
    ("/decide", {"decision": "approve", "payload_hash": digest(EMAIL)}),
    ("/claim", {}),
    ("/release", {}),
    ("/assign", {"user": "bob@example.com"}),
    ("/comment", {"text": "hello"}),
]


def test_a_strangers_id_is_answered_like_an_absent_one(desk: Desk) -> None:
    approval, charlie = an_approval(desk.run), Program(desk, "charlie")
    absent = charlie.get("/01900000-0000-7000-8000-000000000000")
    assert absent.status_code == 404
    answers = [charlie.get(f"/{approval.pk}"), charlie.get("/nonsense"), charlie.get(run=str(desk.run.pk))]
    answers += [charlie.post(f"/{approval.pk}{path}", body) for path, body in ROUTES]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, absent.content)}
    assert charlie.get().json() == {"items": [], "next": None}


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_a_browser_without_a_csrf_token_changes_nothing(desk: Desk, path: str, body: dict[str, Any]) -> None:
    approval = an_approval(desk.run)
    client = signed_in_as(desk.team.bob, csrf=True)
    answer = client.post(f"{ROOT}/{approval.pk}{path}", json.dumps(body), "application/json")
    assert answer.status_code == 403
    fresh = Approval.objects.get(pk=approval.pk)
    assert (fresh.state, fresh.claimed_by, fresh.assigned_to) == ("open", None, None)
    assert not fresh.decisions.exists()
    assert not fresh.comments.exists()


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_without_signing_in_nothing_is_answered(desk: Desk, path: str, body: dict[str, Any]) -> None:
    approval = an_approval(desk.run)
    answer = Client().post(f"{ROOT}/{approval.pk}{path}", json.dumps(body), "application/json")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert Approval.objects.get(pk=approval.pk).state == "open"


@pytest.mark.parametrize("path", ["", "/claim", "/release", "/assign", "/comment", "/decide"])
def test_nothing_is_decided_by_following_a_link(desk: Desk, path: str) -> None:
    approval = an_approval(desk.run)
    answer = Program(desk, "bob").get(f"/{approval.pk}{path}", decision="approve", payload_hash=approval.payload_hash)
    assert answer.status_code == (405 if path else 200)
    assert Approval.objects.get(pk=approval.pk).state == "open"


def test_a_token_that_may_only_read_decides_nothing(desk: Desk) -> None:
    approval = an_approval(desk.run)
    body = {"decision": "approve", "payload_hash": approval.payload_hash}
    answer = Program(desk, "bob", Scope.READ, Scope.RUN).post(f"/{approval.pk}/decide", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_reviewer")


def test_the_starter_is_refused_also_with_every_role(desk: Desk) -> None:
    approval = an_approval(desk.run)
    Membership.objects.filter(user=desk.team.alice).update(roles=[str(role) for role in Role])
    body = {"decision": "approve", "payload_hash": approval.payload_hash}
    answer = Program(desk, "alice").post(f"/{approval.pk}/decide", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "own_request")


def test_every_refusal_has_its_status_and_code(desk: Desk) -> None:
    bob, approval = Program(desk, "bob"), an_approval(desk.run)

    def refused(body: dict[str, Any], of: Approval = approval) -> tuple[int, str, str | None]:
        answer = bob.post(f"/{of.pk}/decide", body)
        assert set(answer.json()) >= {"code", "message", "where"}
        return answer.status_code, answer.json()["code"], answer.json()["where"]

    seen = {"payload_hash": approval.payload_hash}
    assert refused({"decision": "approve"}) == (422, "payload_hash_required", "/payload_hash")
    assert refused({"decision": "approve", "payload_hash": digest(1)}) == (409, "payload_changed", "/payload_hash")
    assert refused({"decision": "reject", **seen}) == (422, "reason_required", "/reason")
    assert refused({"decision": "retry", **seen}) == (422, "decision_not_offered", "/decision")
    other = {**EMAIL, "tool": "crm.log@1"}
    assert refused({"decision": "approve", **seen, "payload": other})[:2] == (422, "only_args_may_change")
    assert refused({"decision": "approve", **seen, "force": True})[0] == 422
    assert refused({})[0] == 422
    late = an_approval(desk.run)
    fall_due(late)
    assert refused({"decision": "approve", **seen}, late)[:2] == (410, "expired")
    assert bob.post(f"/{approval.pk}/decide", {"decision": "approve", **seen}).status_code == 200
    answer = bob.post(f"/{approval.pk}/decide", {"decision": "approve", **seen})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_decided")
    assert answer.json()["by"] == "bob@example.com"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"approve"',
        b"\xff\xfe",
        b'{"decision": "approve\\u0000"}',
        b'{"decision": "answer", "payload": "\\ud800"}',
        b'{"decision": "answer", "payload": NaN}',
        b'{"decision": "answer", "payload": 1e400}',
        b'{"decision": "answer", "payload": ' + b"9" * 5_000 + b"}",
        b'{"decision": "answer", "payload": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"decision": "answer", "payload": "' + b"x" * 1_000_000 + b'"}',
        b'{"decision": ["approve"]}',
        b'{"decision": "answer", "payload_hash": 7}',
        b'{"decision": "answer", "reason": "' + b"r" * 100_000 + b'", "payload": 1}',
    ],
)
def test_a_hostile_body_is_refused_by_name_and_changes_nothing(desk: Desk, raw: bytes) -> None:
    approval = a_question(desk.run, "answer")
    answer = Program(desk, "bob").post(f"/{approval.pk}/decide", raw)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] not in ("internal", "")
    assert Approval.objects.get(pk=approval.pk).state == "open"
    assert not Inbox.objects.exists()


def test_claim_hand_over_and_comment_over_rest(desk: Desk) -> None:
    a_member(desk.team.workspace, "ben", Role.REVIEWER)
    approval, bob = an_approval(desk.run), Program(desk, "bob")
    assert bob.post(f"/{approval.pk}/claim", {}).json()["claimed_by"] == "bob@example.com"
    assert bob.post(f"/{approval.pk}/release", {}).json()["claimed_by"] is None
    handed = bob.post(f"/{approval.pk}/assign", {"user": "ben@example.com"}).json()
    assert handed["assigned_to"] == "ben@example.com"
    said = bob.post(f"/{approval.pk}/comment", {"text": "Is this the right Ana?"})
    assert said.status_code == 201
    assert (said.json()["by"], said.json()["text"]) == ("bob@example.com", "Is this the right Ana?")
    assert [c["text"] for c in bob.get(f"/{approval.pk}").json()["comments"]] == ["Is this the right Ana?"]


def test_the_same_key_decides_once_and_answers_alike(desk: Desk) -> None:
    approval, bob = an_approval(desk.run), Program(desk, "bob")
    body = {"decision": "approve", "payload_hash": approval.payload_hash}
    first = bob.post(f"/{approval.pk}/decide", body, **{"Idempotency-Key": "one"})
    again = bob.post(f"/{approval.pk}/decide", body, **{"Idempotency-Key": "one"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    other = bob.post(f"/{approval.pk}/decide", {**body, "reason": "x"}, **{"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


def test_a_member_who_is_no_reviewer_reads_the_desk(desk: Desk) -> None:
    approval = an_approval(desk.run)
    assert Program(desk, "erin").get(f"/{approval.pk}").status_code == 200
    assert acting(desk.team.erin).user == desk.team.erin
