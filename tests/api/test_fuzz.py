"""A program made from our OpenAPI document: nothing it allows or forbids breaks us, and each answer is as it says."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import hypothesis
import pytest
import requests
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from accounts.roles import Role
from orchestrator_site.api import api
from tests.api.rows import undone
from tests.api.walks import CALLS, ROOT
from tests.api.world import World
from tests.people import a_member, bearer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WISHES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
"""How many requests that the document allows, and that it forbids, a route is sent."""
HELD_TO = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
QUICK = hypothesis.settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def otto(world: World, settings: Any) -> dict[str, str]:
    """Return the headers of a program of otto's, who has every role, and whom nobody counts."""
    settings.API_REQUESTS_PER_MINUTE = 0
    return bearer(a_member(world.team.workspace, "otto", *Role), world.team.workspace)


@cache
def document() -> Any:
    load_all_checks()
    return schemathesis.openapi.from_dict(deepcopy(api.get_openapi_schema()))  # it writes into what it is given


@pytest.mark.parametrize("method", METHODS)
def test_every_answer_is_as_the_document_says(world: World, otto: dict[str, str], method: str) -> None:
    wrong = [
        f"{route}: {found}"
        for route in CALLS
        if route.partition(" ")[0] == method
        for found in found_wrong(route, world, otto)
    ]
    assert wrong == []


def test_an_answer_that_is_not_as_the_document_says_is_found(world: World, otto: dict[str, str]) -> None:
    said = deepcopy(api.get_openapi_schema())
    said["components"]["schemas"]["Member"]["properties"]["email"] = {"type": "integer"}
    del said["paths"]["/api/v1/costs"]["get"]["responses"][200]["content"]["text/csv"]
    routes = schemathesis.openapi.from_dict(said)
    for path, query in (("members", {}), ("costs", {"format": "csv"})):
        case = routes[f"{ROOT}/{path}"]["GET"].Case(method="GET", query=query)
        assert complaints(case, otto), path


def found_wrong(route: str, world: World, headers: dict[str, str]) -> Iterator[str]:
    """Yield what is not as the document says of a route's answers: to its sample call, and to made-up ones."""
    method, _, path = route.partition(" ")
    operation = document()[f"{ROOT}{path}"][method]
    ids, sample = world.here.ids(), CALLS[route]
    names = {hole: ids.get(thing, thing) for hole, thing in sample.holes.items()}
    said = {"body": sample.body(world.here)} if sample.body else {}
    yield from complaints(
        operation.Case(
            method=method,
            path_parameters=names,
            query=dict(parse_qsl(sample.query)),
            headers=dict(sample.headers),
            media_type="application/json" if said else None,
            **said,
        ),
        headers,
    )
    for mode, count in WISHES.items():
        yield from _made_up(operation, mode, count, (names, headers))


def _made_up(
    operation: Any, mode: GenerationMode, count: int, asked: tuple[dict[str, str], dict[str, str]]
) -> set[str]:
    names, headers = asked
    found: set[str] = set()
    ways = operation.as_strategy(mode, path_parameters=names) | operation.as_strategy(mode)

    @hypothesis.settings(QUICK, max_examples=count)
    @given(ways)
    def ask(case: Case) -> None:
        found.update(complaints(case, headers))

    ask()
    return found


def complaints(case: Case, headers: dict[str, str]) -> list[str]:
    """Send a request, undo what it did, and return what is wrong with the answer."""
    parts = case.as_transport_kwargs(base_url="http://testserver", headers=headers)
    known = ("method", "url", "headers", "params", "data", "json")
    request = requests.Request(**{name: parts[name] for name in known if name in parts}).prepare()
    with undone():
        answer = Client(raise_request_exception=False).generic(
            str(request.method),
            request.path_url,
            request.body or b"",
            request.headers.get("Content-Type", ""),
            headers={name: value for name, value in request.headers.items() if name != "Content-Length"},
        )
    seen = schemathesis.Response(
        answer.status_code,
        {name: [value] for name, value in answer.headers.items()},
        answer.getvalue(),
        request,
        elapsed=0.0,
        verify=False,
    )
    try:
        case.validate_response(seen, checks=CHECKS.get_by_names(HELD_TO))
    except FailureGroup as group:
        return [f"{failure.title}: {failure.message} {answer.getvalue()[:200]!r}" for failure in group.exceptions]
    return []
