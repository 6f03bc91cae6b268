"""The API's own manners: who may come in, and how it answers what it refuses."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry
from accounts.roles import Scope
from orchestrator_site.api import api
from orchestrator_site.api_docs import sections
from tests.people import Team, bearer, signed_in_as

NOTES = "/api/v1/notes"


def post(client: Client, body: Any, path: str = NOTES, **headers: str) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(path, data, content_type="application/json", headers=headers)


def shape(answer: Any) -> dict[str, Any]:
    """Return the body after checking that it has the one shape of errors."""
    body = answer.json()
    assert {"code", "message", "where"} <= set(body)
    assert body["message"]
    assert body["message"][0].isupper()
    return dict(body)


class TestSigningIn:
    def test_a_program_comes_in_with_a_token(self, team: Team) -> None:
        answer = Client().get("/api/v1/members", headers=bearer(team.alice, team.workspace))
        assert answer.status_code == 200

    @pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
    def test_nobody_comes_in_without(self, team: Team, method: str) -> None:
        path = "/api/v1/members/alice@example.com" if method in ("put", "delete") else "/api/v1/members"
        answer = getattr(Client(enforce_csrf_checks=True), method)(path)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == "Bearer"
        assert shape(answer)["code"] == "not_signed_in"

    @pytest.mark.parametrize("header", ["Bearer baton_wrong", "Bearer", "Bearer ", "Basic YTpi", "baton_wrong", "é"])
    def test_a_wrong_token_is_not_signed_in_even_beside_a_session(self, team: Team, header: str) -> None:
        answer = signed_in_as(team.alice).get("/api/v1/members", headers={"Authorization": header})
        assert answer.status_code == 401
        assert shape(answer)["code"] == "not_signed_in"

    def test_a_token_acts_in_its_own_workspace_only(self, team: Team) -> None:
        headers = bearer(team.alice, team.workspace)
        assert Client().get("/api/v1/members?workspace=acme", headers=headers).status_code == 200
        for slug in ("globex", "nowhere"):
            answer = Client().get(f"/api/v1/members?workspace={slug}", headers=headers)
            assert (answer.status_code, shape(answer)["code"]) == (404, "not_found")

    def test_a_session_that_changes_something_needs_its_csrf_token(self, team: Team) -> None:
        browser = signed_in_as(team.alice, csrf=True)
        assert browser.get("/api/v1/members").status_code == 200
        refused = post(browser, {"text": "a"})
        assert (refused.status_code, shape(refused)["code"]) == (403, "csrf")
        browser.cookies["csrftoken"] = "a" * 32
        assert post(browser, {"text": "a"}, **{"X-CSRFToken": "a" * 32}).status_code == 201

    def test_a_token_needs_no_csrf_token(self, team: Team) -> None:
        program = Client(enforce_csrf_checks=True)
        assert post(program, {"text": "a"}, **bearer(team.alice, team.workspace)).status_code == 201


class TestErrors:
    def test_a_refusal_carries_code_message_where_and_more(self, team: Team) -> None:
        answer = signed_in_as(team.alice).get("/api/v1/fails/refused")
        assert answer.status_code == 403
        assert answer.json() == {"code": "not_today", "message": "Not today.", "where": "/a/b", "problems": [1]}

    def test_an_unknown_error_says_nothing_of_itself(self, team: Team, caplog: pytest.LogCaptureFixture) -> None:
        answer = signed_in_as(team.alice).get("/api/v1/fails/otherwise")
        assert (answer.status_code, shape(answer)["code"]) == (500, "internal")
        assert "hunter2" not in answer.content.decode()
        assert "hunter2" in caplog.text

    @pytest.mark.parametrize("path", ["fails/404", "nothing", "nothing/at/all", "members/", ""])
    def test_what_is_not_there_is_answered_alike(self, team: Team, path: str) -> None:
        for method in ("get", "post"):
            answer = getattr(signed_in_as(team.alice, csrf=True), method)(f"/api/v1/{path}")
            if path != "fails/404" or method == "get":
                assert (answer.status_code, shape(answer)["code"]) == (404, "not_found")

    def test_a_wrong_method_names_the_right_ones(self, team: Team) -> None:
        answer = signed_in_as(team.alice).put("/api/v1/audit")
        assert (answer.status_code, answer["Allow"]) == (405, "GET")
        assert shape(answer)["code"] == "method_not_allowed"

    @pytest.mark.parametrize(
        ("body", "where"),
        [
            ({}, "/text"),
            ({"text": 3}, "/text"),
            ({"text": "a", "weight": "x"}, "/weight"),
            ({"text": "a", "labels": ["ok", 7]}, "/labels/1"),
            ({"text": "a", "colour/~": 1}, "/colour~1~0"),
            ([], ""),
            (3, ""),
            ("null", ""),
        ],
    )
    def test_a_body_of_the_wrong_shape_is_invalid_at_its_pointer(self, team: Team, body: Any, where: str) -> None:
        answer = post(signed_in_as(team.alice), body)
        assert answer.status_code == 422
        assert shape(answer)["code"] == "invalid"
        assert answer.json()["where"] == where
        assert answer.json()["problems"][0]["where"] == where
        assert not AuditEntry.objects.exists()

    def test_every_problem_is_listed(self, team: Team) -> None:
        answer = post(signed_in_as(team.alice), {"weight": "x", "more": 1})
        assert {problem["where"] for problem in answer.json()["problems"]} == {"/text", "/weight", "/more"}

    @pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "cursor=garbage", "cursor=a:b:c"])
    def test_a_bad_query_is_invalid(self, team: Team, query: str) -> None:
        answer = signed_in_as(team.alice).get(f"/api/v1/members?{query}")
        assert answer.status_code == 422
        assert shape(answer)["where"] in ("/limit", "/cursor")

    @pytest.mark.parametrize(
        ("raw", "status", "code", "where"),
        [
            (b"{", 400, "bad_json", None),
            (b'{"text": NaN}', 400, "bad_json", None),
            (b'{"text": "\xff"}', 400, "bad_json", None),
            (b"\xff\xfe{\x00}\x00", 400, "bad_json", None),
            (b'{"text": "a\\u0000b"}', 422, "bad_text", "/text"),
            (b'{"text": "a", "data": {"x": ["\\ud800"]}}', 422, "bad_text", "/data/x/0"),
            (b'{"text": "a", "data": {"\\udfff": 1}}', 422, "bad_text", "/data"),
            (b'{"text": "a", "data": {"n": 1e400}}', 422, "number_out_of_range", "/data/n"),
            (b'{"text": "a", "data": {"n": -1e400}}', 422, "number_out_of_range", "/data/n"),
            (b'{"text": "a", "data": {"n": ' + b"9" * 5000 + b"}}", 422, "number_out_of_range", "/data/n"),
            (b'{"text": "a", "data": {"k": 1, "k": 2}}', 422, "duplicate_key", "/data/k"),
            (b'{"text": "a", "data": {"n": ' + b"[" * 70 + b"]" * 70 + b"}}", 422, "too_deep", None),
            (b'{"text": "a", "data": {"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 422, "too_deep", None),
        ],
    )
    def test_a_body_that_cannot_be_kept_is_a_named_error(
        self, team: Team, raw: bytes, status: int, code: str, where: str | None
    ) -> None:
        answer = post(signed_in_as(team.alice), raw)
        assert (answer.status_code, shape(answer)["code"]) == (status, code)
        if where is not None:
            assert answer.json()["where"] == where
        assert not AuditEntry.objects.exists()

    def test_what_can_be_kept_is_kept(self, team: Team) -> None:
        data = {
            "n": 9223372036854775807,
            "long": 10**300,
            "x": 1.5e-308,
            "text": "עברית “ü” 🐟",
            "deep": [[[[{}]]]],
            "none": None,
        }
        assert post(signed_in_as(team.alice), {"text": "a", "data": data}).status_code == 201
        assert AuditEntry.objects.get().data == data

    def test_a_number_without_room_in_its_column_is_invalid(self, team: Team) -> None:
        answer = post(signed_in_as(team.alice), {"text": "a", "weight": 10**30})
        assert (answer.status_code, shape(answer)["code"]) == (422, "number_out_of_range")

    def test_a_form_instead_of_json_is_bad_json(self, team: Team) -> None:
        for browser in (signed_in_as(team.alice), signed_in_as(team.alice, csrf=True)):
            browser.cookies["csrftoken"] = "a" * 32
            answer = browser.post(NOTES, {"text": "a"}, headers={"X-CSRFToken": "a" * 32})
            assert (answer.status_code, shape(answer)["code"]) == (400, "bad_json")

    def test_a_body_over_the_limit_is_too_large(self, team: Team, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        answer = post(signed_in_as(team.alice), {"text": "a" * 1001})
        assert (answer.status_code, shape(answer)["code"]) == (413, "too_large")


class TestIdempotency:
    def test_the_same_post_twice_acts_once_and_is_answered_alike(self, team: Team) -> None:
        browser = signed_in_as(team.alice)
        first = post(browser, {"text": "a"}, **{"Idempotency-Key": "k1"})
        again = post(browser, {"text": "a"}, **{"Idempotency-Key": "k1"})
        assert (first.status_code, first.content) == (again.status_code, again.content) == (201, first.content)
        assert again["Content-Type"] == first["Content-Type"]
        assert again["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first
        assert AuditEntry.objects.count() == 1

    def test_another_body_under_the_key_is_a_conflict(self, team: Team) -> None:
        browser = signed_in_as(team.alice)
        post(browser, {"text": "a"}, **{"Idempotency-Key": "k1"})
        answer = post(browser, {"text": "b"}, **{"Idempotency-Key": "k1"})
        assert (answer.status_code, shape(answer)["code"]) == (409, "idempotency_conflict")
        assert AuditEntry.objects.count() == 1

    def test_keys_belong_to_one_person(self, team: Team) -> None:
        for person in (team.alice, team.bob, team.charlie):
            answer = post(signed_in_as(person), {"text": person.email}, **{"Idempotency-Key": "k1"})
            assert answer.status_code == 201

    def test_a_refused_post_leaves_nothing_and_may_be_tried_again(self, team: Team) -> None:
        browser = signed_in_as(team.alice)
        for _ in range(2):
            answer = post(browser, {"text": "refuse"}, **{"Idempotency-Key": "k1"})
            assert (answer.status_code, shape(answer)["code"]) == (409, "conflict")
        assert not AuditEntry.objects.exists()
        assert post(browser, {"text": "a"}, **{"Idempotency-Key": "k1"}).status_code == 201

    def test_an_anonymous_post_with_a_key_is_not_signed_in(self, team: Team) -> None:
        assert post(Client(), {"text": "a"}, **{"Idempotency-Key": "k1"}).status_code == 401

    @pytest.mark.parametrize("key", ["", "x" * 201])
    def test_an_unusable_key_is_refused(self, team: Team, key: str) -> None:
        answer = post(signed_in_as(team.alice), {"text": "a"}, **{"Idempotency-Key": key})
        assert (answer.status_code, shape(answer)["code"]) == (422, "bad_idempotency_key")


class TestDocumentation:
    def test_the_openapi_document_names_both_ways_to_sign_in(self, team: Team) -> None:
        document = Client().get("/api/v1/openapi.json").json()
        assert set(document["components"]["securitySchemes"]) == {"TokenAuth", "SessionAuth"}
        assert "/api/v1/members" in document["paths"]

    def test_the_openapi_document_says_how_a_route_refuses_and_that_a_post_takes_a_key(self, team: Team) -> None:
        document = Client().get("/api/v1/openapi.json").json()
        post, get = (document["paths"]["/api/v1/tokens"][method] for method in ("post", "get"))
        assert {"201", "401", "422", "429", "4XX"} == set(post["responses"])
        assert "Idempotency-Key" in [parameter["name"] for parameter in post["parameters"]]
        assert "Idempotency-Key" not in [parameter["name"] for parameter in get["parameters"]]
        assert document["components"]["schemas"]["Refusal"]["required"] == ["code", "message", "where"]

    def test_an_answer_is_not_kept_by_caches(self, team: Team) -> None:
        assert signed_in_as(team.alice).get("/api/v1/members")["Cache-Control"] == "no-store"

    def test_every_route_of_the_product_is_on_the_page(self) -> None:
        document = api.get_openapi_schema(path_prefix="")
        listed = {(r["method"], r["path"]) for section in sections(document) for r in section["routes"]}
        assert {("GET", "/members"), ("POST", "/tokens"), ("GET", "/audit")} <= listed
        assert len(listed) == sum(len(item) for item in document["paths"].values())

    def test_the_page_needs_neither_sign_in_nor_foreign_or_inline_script(self, db: None) -> None:
        page = Client().get("/api/v1/docs").content.decode()
        assert "POST /api/v1/tokens</code>" in page
        assert "<script>" not in page
        assert "https://" not in page

    def test_a_route_shows_its_body_and_its_answers(self) -> None:
        routes = [r for s in sections(api.get_openapi_schema(path_prefix="")) for r in s["routes"]]
        create = next(r for r in routes if (r["method"], r["path"]) == ("POST", "/tokens"))
        assert json.loads(create["body"])["scopes"] == "list of Scope"
        assert "the bare token" not in create["body"]
        assert [answer["status"] for answer in create["answers"]] == [201]


def test_a_scope_limits_what_a_token_reads(team: Team) -> None:
    answer = Client().get("/api/v1/members", headers=bearer(team.dana, team.workspace, Scope.RUN))
    assert (answer.status_code, shape(answer)["code"]) == (403, "forbidden")
