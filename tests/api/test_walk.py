"""Walks every route and every page as nobody, as a stranger, and as each role; a new address has to join the tables."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.api import access_table, page_walks, walks
from tests.api.page_walks import PAGES
from tests.api.rows import rows, undone
from tests.api.walks import CALLS
from tests.api.world import NOBODYS, World
from tests.people import bearer, signed_in_as

_WRITES = re.compile(r"^\s*(insert|update|delete|truncate|alter|create|drop)\b|\bfor update\b", re.IGNORECASE)
_SESSIONS = re.compile(r'"django_session"')
# A page's own random: the nonce of its scripts and the mask of its CSRF token.
_RANDOM = re.compile(r'nonce="[^"]*"|(?<=")[A-Za-z0-9]{64}(?=")')


def written(queries: CaptureQueriesContext) -> list[str]:
    statements = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in statements if _WRITES.search(sql) and not _SESSIONS.search(sql)]


def test_the_walk_knows_every_route_and_page() -> None:
    assert set(CALLS) == walks.routes()
    assert set(PAGES) == page_walks.page_patterns()


# The API


def test_nobody_is_answered_by_any_route(world: World) -> None:
    before = rows()
    for ids in (world.here.ids(), NOBODYS):
        for route in CALLS:
            answer = walks.call(Client(), route, world, ids)
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), route
            assert answer["WWW-Authenticate"] == "Bearer"
    assert rows() == before


@pytest.mark.parametrize("by", ["session", "token"])
def test_a_strangers_id_is_answered_as_an_absent_one(world: World, by: str) -> None:
    team = world.team
    headers = bearer(team.charlie, team.elsewhere) if by == "token" else {}
    client = Client() if by == "token" else signed_in_as(team.charlie)
    before = rows()
    for route in (route for route in CALLS if CALLS[route].names_something):
        theirs = walks.call(client, route, world, **headers)
        absent = walks.call(client, route, world, NOBODYS, **headers)
        assert theirs.status_code == absent.status_code == 404, (route, theirs.content)
        assert theirs.content == absent.content, route
        assert theirs.json()["code"] == "not_found"
        assert theirs.headers.keys() == absent.headers.keys(), route
    assert rows() == before


def test_an_absent_id_is_answered_to_a_member_as_to_a_stranger(world: World) -> None:
    dana, charlie = signed_in_as(world.team.dana), signed_in_as(world.team.charlie)
    for route in (route for route in CALLS if CALLS[route].names_something):
        mine = walks.call(dana, route, world, NOBODYS)
        assert mine.content == walks.call(charlie, route, world, NOBODYS).content, route


def test_no_list_shows_a_stranger_what_is_not_theirs(world: World) -> None:
    charlie = signed_in_as(world.team.charlie)
    for route in walks.reading_routes():
        if not CALLS[route].names_something:
            answer = walks.call(charlie, route, world)
            assert answer.status_code == 200, route
            for thing, name in world.here.ids().items():
                assert f'"{name}"' not in answer.content.decode(), (route, thing)


def test_a_workspace_named_in_the_address_is_not_there_for_a_stranger(world: World) -> None:
    charlie = signed_in_as(world.team.charlie)
    headers = bearer(world.team.charlie, world.team.elsewhere)
    for workspace in ("acme", "absent"):
        for client, sent in ((charlie, {}), (Client(), headers)):
            answer = client.get("/api/v1/runs", {"workspace": workspace}, headers=sent)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", sorted(walks.EVERYBODY))
def test_each_role_does_what_is_its_own_and_nothing_else(world: World, name: str) -> None:
    client = signed_in_as(world.person(name))
    for route, sample in CALLS.items():
        with undone():
            before = rows()
            answer = walks.call(client, route, world)
            if name in sample.may:
                assert answer.status_code < 300, (route, answer.content)
            else:
                assert answer.status_code == sample.otherwise, (route, answer.content)
                assert rows() == before, route


@pytest.mark.parametrize("name", sorted(walks.EVERYBODY))
def test_a_token_without_scopes_for_it_does_nothing(world: World, name: str) -> None:
    """A token that may only start runs reads nothing; one that may only read changes nothing."""
    person, workspace = world.person(name), world.team.workspace
    runs_only, reads_only = bearer(person, workspace, "run"), bearer(person, workspace, "read")  # type: ignore[arg-type]
    before = rows()
    for route in walks.reading_routes():
        assert walks.call(Client(), route, world, **runs_only).status_code == 403, route
    for route in walks.writing_routes():
        status = walks.call(Client(), route, world, **reads_only).status_code
        assert status in (403, CALLS[route].otherwise), route
    assert rows() == before


def test_a_session_changes_nothing_without_its_csrf_token(world: World) -> None:
    client = signed_in_as(world.olga, csrf=True)
    before = rows()
    for route in walks.writing_routes():
        for headers in ({}, {"X-CSRFToken": "x" * 32}):
            answer = walks.call(client, route, world, **headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), route
    assert rows() == before


def test_reading_writes_nothing(world: World) -> None:
    client = signed_in_as(world.team.dana)
    for method in ("GET", "HEAD"):
        for route in walks.reading_routes():
            path = CALLS[route].path(route, world.here.ids())
            with CaptureQueriesContext(connection) as queries:
                client.generic(method, path)
            assert written(queries) == [], (method, path)


def test_a_route_answers_other_methods_with_405(world: World) -> None:
    client = signed_in_as(world.team.dana)
    before = rows()
    known = {CALLS[route].path(route, world.here.ids()).partition("?")[0]: set[str]() for route in CALLS}
    for route in CALLS:
        known[CALLS[route].path(route, world.here.ids()).partition("?")[0]].add(route.partition(" ")[0])
    for path, methods in known.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - methods:
            answer = client.generic(method, path, "{}", "application/json")
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), (method, path)
    assert rows() == before


# The pages


def test_nobody_is_shown_a_page_but_the_one_to_sign_in(world: World) -> None:
    before = rows()
    for ids in (world.here.ids(), NOBODYS):
        for pattern in page_walks.pages(public=False, reads=True):
            answer = page_walks.open_page(Client(), pattern, ids)
            assert answer.status_code == 302, pattern
            assert answer["Location"].startswith("/login/?next="), pattern
        for pattern in page_walks.pages(public=False, posts=True):
            answer = page_walks.post_page(Client(), pattern, ids)
            assert (answer.status_code, answer["Location"][:13]) == (302, "/login/?next="), pattern
    assert rows() == before


def test_a_strangers_page_is_the_page_of_an_absent_one(world: World) -> None:
    charlie = signed_in_as(world.team.charlie)
    before = rows()
    for pattern, page in PAGES.items():
        if not page.names_something:
            continue
        visits: list[Any] = [page_walks.open_page] if page.reads else []
        visits += [page_walks.post_page] if page.posts is not None else []
        for visit in visits:
            theirs, absent = visit(charlie, pattern, world.here.ids()), visit(charlie, pattern, NOBODYS)
            assert theirs.status_code == absent.status_code == 404, (pattern, visit)
            assert seen(theirs, world.here.ids()) == seen(absent, NOBODYS), pattern
    assert rows() == before


def seen(answer: Any, ids: dict[str, str]) -> str:
    """Return a page without what differs each time, and without the id that was asked for."""
    text = _RANDOM.sub("", answer.getvalue().decode())
    for name in ids.values():
        text = text.replace(name, "…")
    return text


def test_no_page_shows_a_stranger_what_is_not_theirs(world: World) -> None:
    charlie = signed_in_as(world.team.charlie)
    for pattern in page_walks.pages(public=False, reads=True):
        if not PAGES[pattern].names_something:
            answer = page_walks.open_page(charlie, pattern, {})
            assert answer.status_code == PAGES[pattern].shows, pattern
            text = answer.getvalue().decode()
            for thing, name in world.here.ids().items():
                assert name not in text or thing in ("budget", "member"), (pattern, thing)


def test_every_member_may_look_at_every_page_but_those_that_make_something(world: World) -> None:
    for name in sorted(walks.EVERYBODY):
        client = signed_in_as(world.person(name))
        for pattern in page_walks.pages(public=False, reads=True):
            answer = page_walks.open_page(client, pattern, world.here.ids(), {"path": "write"})
            assert answer.status_code == (PAGES[pattern].shows if name in PAGES[pattern].may else 403), (name, pattern)


@pytest.mark.parametrize("name", sorted(walks.EVERYBODY))
def test_each_role_sends_the_forms_that_are_its_own_and_no_others(world: World, name: str) -> None:
    client = signed_in_as(world.person(name))
    for pattern in page_walks.pages(public=False, posts=True):
        page = PAGES[pattern]
        with undone():
            before = rows()
            answer = page_walks.post_page(client, pattern, world.here.ids())
            assert answer.status_code == (page.done if name in page.acts else page.otherwise), pattern
            assert name in page.acts or rows() == before, pattern


def test_no_address_takes_a_post_without_its_csrf_token(world: World) -> None:
    for client in (Client(enforce_csrf_checks=True), signed_in_as(world.olga, csrf=True)):
        before = rows()
        for pattern, page in PAGES.items():
            answer = client.post(page.path(pattern, world.here.ids()), dict(page.posts or {}))
            assert answer.status_code == (401 if page.by_token else 415 if page.signed else 403), pattern
        assert rows() == before


def test_looking_at_a_page_writes_nothing(world: World) -> None:
    for name in ("dana", "bob"):
        client = signed_in_as(world.person(name))
        for pattern in page_walks.pages(reads=True):
            for query in ({"path": "write"}, {"workspace": "acme", "path": "write"}):
                with CaptureQueriesContext(connection) as queries:
                    page_walks.open_page(client, pattern, world.here.ids(), query)
                assert written(queries) == [], pattern


def test_what_a_form_does_cannot_be_done_by_following_a_link(world: World) -> None:
    bobs, olgas = signed_in_as(world.team.bob), signed_in_as(world.olga)
    before = rows()
    for pattern in page_walks.pages(posts=True, public=False):
        page = PAGES[pattern]
        for client in (bobs, olgas):
            answer = client.get(page.path(pattern, world.here.ids()), {**page.query, **(page.posts or {})})
            looks = page.shows if client is olgas or "bob" in page.may else 403
            assert answer.status_code == (looks if page.reads else 405), pattern
    assert rows() == before


def test_the_table_in_the_docs_says_what_the_walks_find() -> None:
    written = (Path(settings.BASE_DIR) / "docs" / "access.md").read_text()
    assert written == access_table.table(), "say: python -m tests.api.access_table > docs/access.md"
