"""Knowledge through the API: filled by who edits, read by everybody of the workspace, absent for a stranger."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.people import Team, a_team, signed_in_as


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


def ask(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, f"/api/v1{path}", b"" if body is None else json.dumps(body))


def filled(team: Team) -> tuple[Client, str]:
    """Return alice with a collection of one document, and the document's id."""
    alice = signed_in_as(team.alice)
    assert ask(alice, "POST", "/knowledge", {"slug": "handbook", "name": "Handbook"}).status_code == 201
    text = "# Leave\n\nThirty days of holidays.\n\n# Illness\n\nCall us."
    made = ask(alice, "POST", "/knowledge/handbook/documents", {"name": "leave.md", "text": text})
    assert made.status_code == 201
    return alice, made.json()["id"]


def test_a_collection_is_filled_read_searched_and_removed(team: Team) -> None:
    alice, document = filled(team)
    bob = signed_in_as(team.bob)
    (row,) = ask(bob, "GET", "/knowledge").json()["items"]
    assert {**row, "created_at": ""} == {
        "slug": "handbook", "name": "Handbook", "documents": 1, "passages": 2, "characters": 54, "created_at": "",
    }  # fmt: skip
    (listed,) = ask(bob, "GET", "/knowledge/handbook/documents").json()["items"]
    assert (listed["id"], listed["passages"], listed["media_type"]) == (document, 2, "text/markdown")
    assert ask(bob, "GET", f"/knowledge/handbook/documents/{document}").json()["text"].startswith("# Leave")
    (found,) = ask(bob, "GET", "/knowledge/handbook/search?q=holidays").json()["passages"]
    assert found["text"] == "# Leave\n\nThirty days of holidays."
    assert (found["document"], found["place"]) == ("leave.md", "lines 1–3")
    assert ask(bob, "DELETE", f"/knowledge/handbook/documents/{document}").status_code == 403
    assert ask(alice, "DELETE", f"/knowledge/handbook/documents/{document}").status_code == 204
    assert ask(alice, "DELETE", "/knowledge/handbook").status_code == 204
    assert ask(alice, "GET", "/knowledge/handbook").status_code == 404


def test_adding_the_same_document_again_makes_no_second(team: Team) -> None:
    alice, document = filled(team)
    again = ask(alice, "POST", "/knowledge/handbook/documents", {"name": "leave.md", "text": "Forty days."})
    assert again.json()["id"] == document
    assert ask(alice, "GET", "/knowledge/handbook").json()["documents"] == 1


def test_a_stranger_finds_nothing(team: Team) -> None:
    _, document = filled(team)
    charlie = signed_in_as(team.charlie)
    assert ask(charlie, "GET", "/knowledge").json()["items"] == []
    for method, path, body in (
        ("GET", "/knowledge/handbook", None),
        ("DELETE", "/knowledge/handbook", None),
        ("GET", "/knowledge/handbook/documents", None),
        ("POST", "/knowledge/handbook/documents", {"name": "a.txt", "text": "x"}),
        ("GET", f"/knowledge/handbook/documents/{document}", None),
        ("DELETE", f"/knowledge/handbook/documents/{document}", None),
        ("GET", "/knowledge/handbook/search?q=holidays", None),
    ):
        answer = ask(charlie, method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "a.pdf", "text": "x"}, "unsupported_type"),
        ({"name": "a.txt", "text": " "}, "empty_document"),
        ({"name": "a.txt", "text": "x\0"}, "bad_text"),
        ({"name": "a.txt", "text": "x", "more": 1}, "invalid"),
    ],
)
def test_a_refused_document_names_the_reason(team: Team, body: dict[str, Any], code: str) -> None:
    alice, _ = filled(team)
    answer = ask(alice, "POST", "/knowledge/handbook/documents", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
