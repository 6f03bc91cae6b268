"""No body, value, query, name or form breaks a route or a page: nothing answers with a fault of ours."""

import json
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import pytest
from django.test import Client

from orchestrator_site.api import api
from tests.api import page_walks, walks
from tests.api.page_walks import PAGES
from tests.api.programs import DEEP, Program, assert_is_a_sentence
from tests.api.rows import rows, undone
from tests.api.walks import CALLS, WRITING
from tests.api.world import World
from tests.people import bearer, signed_in_as

# Every route

BODIES: dict[str, bytes] = {
    "half a JSON": b'{"a": ',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a form": b"a=1&b=2",
    "a list": b"[]",
    "text": b'"x"',
    "a number": b"5",
    "an unknown key": b'{"colour": 1}',
    "10,000 levels": DEEP.encode(),
    "NaN": b'{"a": NaN}',
    "1e400": b'{"a": 1e400}',
    "5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "NUL": b'{"a": "\\u0000"}',
    "half a character": b'{"a": "\\udfff"}',
    "a key twice": b'{"a": 1, "a": 1}',
    "a key of a megabyte": b'{"' + b"k" * 1_000_000 + b'": [' + b"0," * 200_000 + b"0]}",
}
TAKE_NO_BODY = {route for route in CALLS if route.partition(" ")[0] in WRITING and CALLS[route].body is None}


@pytest.mark.parametrize("name", BODIES)
def test_no_route_takes_a_body_that_cannot_be(program: Program, world: World, name: str) -> None:
    for route in walks.writing_routes():
        method, path = route.partition(" ")[0], CALLS[route].path(route, world.here.ids()).removeprefix("/api/v1")
        if method != "DELETE" and route not in TAKE_NO_BODY:
            refusal = program.refused(method, path, BODIES[name], **CALLS[route].headers)
            assert refusal["status"] in (400, 422), (route, refusal)
            continue
        with undone():
            assert program.send(method, path, BODIES[name], **CALLS[route].headers).status_code < 500, route


def test_an_empty_body_is_refused_where_one_is_needed(program: Program, world: World) -> None:
    for route in walks.writing_routes():
        sample = CALLS[route]
        with undone():
            path = sample.path(route, world.here.ids()).removeprefix("/api/v1")
            answer = program.send(route.partition(" ")[0], path, b"", **sample.headers)
            assert answer.status_code < 500, route
            if answer.status_code in (400, 422):
                assert answer.json()["code"] in ("bad_json", "invalid"), (route, answer.content)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"])
def test_only_json_is_read_whatever_it_is_called(program: Program, kind: str) -> None:
    before = rows()
    answer = program.send("POST", "/members", b"email=x@example.com&roles=admin", kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    assert rows() == before


HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "",
    "x" * 70_000,
    "\u202e\u2066",
    "${x}",
    "../..",
    [],
    [[]],
    {},
    {"": ""},
)


def leaves(value: Any, trail: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside, containers too."""
    if trail:
        yield trail
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*trail, key))


def with_value(body: Any, trail: tuple[Any, ...], value: Any) -> Any:
    copied = json.loads(json.dumps(body))
    inner = copied
    for key in trail[:-1]:
        inner = inner[key]
    inner[trail[-1]] = value
    return copied


@pytest.mark.parametrize("route", [route for route in walks.writing_routes() if CALLS[route].body])
def test_no_value_in_any_place_breaks_a_route(world: World, slowest: dict[str, float], route: str) -> None:
    program, sample = Program(world, slowest), CALLS[route]
    if "decide" in route or "claim" in route or "assign" in route:
        program.headers = bearer(world.team.bob, world.team.workspace)
    assert sample.body
    body = sample.body(world.here)
    path = sample.path(route, world.here.ids()).removeprefix("/api/v1")
    before = rows()
    for trail in leaves(body):
        for value in HOSTILE:
            with undone():
                raw = json.dumps(with_value(body, trail, value))
                answer = program.send(route.partition(" ")[0], path, raw, **sample.headers)
                assert answer.status_code < 500, (trail, value, answer.content)
                if answer.status_code >= 400:
                    assert rows() == before, (trail, value)
                    assert_is_a_sentence(answer.json()["message"])


QUERIES = ("", "-1", "1e400", "9" * 5_000, "²", "%00", "%F0%9F", "'; --", "a" * 10_000)


def test_no_query_breaks_a_route(program: Program, world: World) -> None:
    document = api.get_openapi_schema()
    for route in walks.reading_routes():
        path = CALLS[route].path(route, world.here.ids()).partition("?")[0].removeprefix("/api/v1")
        operation = document["paths"]["/api/v1" + route.partition(" ")[2]]["get"]
        names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
        for name in [*names, "workspace", "colour"]:
            for value in QUERIES:
                answer = program.send("GET", f"{path}?{name}={value}", b"")
                assert answer.status_code < 500, (route, name, value)
                if answer.status_code >= 400:
                    assert_is_a_sentence(answer.json()["message"])


NAMES = ("x", "%00", "%0A", "%F0%9F", "9" * 40, "9" * 5_000, "..", "%2e%2e%2f", "' or 1=1", "a" * 10_000, "²", "-1")


def test_no_name_in_an_address_breaks_a_route(program: Program, world: World) -> None:
    before = rows()
    for route in CALLS:
        for hole in CALLS[route].holes.values():
            for name in NAMES:
                ids = {**world.here.ids(), hole: name}
                path = CALLS[route].path(route, ids).removeprefix("/api/v1")
                answer = program.send(route.partition(" ")[0], path, "{}", **CALLS[route].headers)
                assert 400 <= answer.status_code < 500, (route, name, answer.content[:200])
    assert rows() == before


# Every page


TOGETHER = ("after", "before", "view", "path", "state", "pipeline__slug", "find", "waiting", "next", "sample", "days")


PARTS = 6  # tests that other processes need not wait for: each is a transaction


def part(pages: Iterable[str], number: int) -> list[str]:
    return list(pages)[number::PARTS]


@pytest.mark.parametrize("number", range(PARTS))
def test_no_query_breaks_a_page(world: World, number: int) -> None:
    client = signed_in_as(world.olga)
    client.raise_request_exception = False
    for turn, pattern in enumerate(part(page_walks.pages(reads=True, public=False), number)):
        path = PAGES[pattern].path(pattern, world.here.ids())
        queries = ["&".join(f"{name}={value}" for name in TOGETHER) for value in QUERIES]
        # The cursors and workspaces of all pages are read in one place: each page has some values, all have all.
        queries += [f"cursor={QUERIES[(turn + ahead) % len(QUERIES)]}" for ahead in range(3)]
        queries += [f"workspace={QUERIES[turn % len(QUERIES)]}"]
        for query in queries:
            assert client.get(f"{path}?{query}").status_code < 500, (path, query)


FIELDS = {
    "login/": ("email", "password", "next"),
    "theme/": ("theme",),
    "pipelines/<slug:slug>/": ("field-topic", "field-other"),
    "approvals/<uuid:approval_id>/": ("decision", "payload_hash", "reason", "value", "edited", "add_usd", "field-to"),
}
ANY_FIELDS = ("reason", "user", "text")
ENTRIES = ("", "a\0b", "nan", "1e400", "9" * 5_000, "[" * 9_000, '"\\ud800"', "${x}", "\u202e", b"\xff\xfe")


@pytest.mark.parametrize("number", range(PARTS))
def test_no_form_breaks_a_page(world: World, number: int) -> None:
    for pattern in part(page_walks.pages(posts=True), number):
        path = PAGES[pattern].path(pattern, world.here.ids())
        person = None if pattern == "login/" else world.team.bob if "approval" in pattern else world.olga
        client = signed_in_as(person) if person else Client()
        client.raise_request_exception = False
        named = [(field,) for field in FIELDS[pattern]] if pattern in FIELDS else [ANY_FIELDS]
        for fields, value in product(named, ENTRIES):
            with undone():
                posted = {**(PAGES[pattern].posts or {}), **dict.fromkeys(fields, value)}
                assert client.post(path, posted).status_code < 500, (path, fields, value)
