"""The REST API under /api/v1: every app's router, one way to sign in, one shape of error."""

import logging
from collections.abc import Callable, Iterable
from functools import cached_property, partial, wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DataError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    JsonResponse,
    UnreadablePostError,
)
from django.urls import URLPattern, URLResolver, re_path
from ninja import NinjaAPI, Router
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from accounts import idempotency, json_body
from accounts.api import router as accounts_router
from accounts.api.auth import SessionAuth, TokenAuth, authenticate
from accounts.errors import Invalid, NotFound, Refused
from approvals.api import router as approvals_router
from approvals.desk_api import router as desk_router
from approvals.policy_api import router as policy_router
from evals.api import router as evals_router
from notices.alerts_api import router as alerts_router
from notices.api import router as notices_router
from orchestrator_site import failing
from orchestrator_site.api_docs import RoutesPage
from pipelines.api import router as pipelines_router
from runs.api import router as runs_router

log = logging.getLogger("baton.api")
View = Callable[..., HttpResponseBase]


class MethodNotAllowed(Refused):
    code, status = "method_not_allowed", 405


class TooLarge(Refused):
    code, status = "too_large", 413


class BodyParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return json_body.parse(request.body)


class Api(NinjaAPI):
    """Answers in JSON also where ninja leaves it to Django: unknown routes and wrong methods."""

    def _get_urls(self) -> list[URLPattern | URLResolver]:
        patterns: list[URLPattern | URLResolver] = super()._get_urls()
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = _in_json(pattern.callback)
        return [*patterns, re_path("", _unknown_route)]

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Return the document, made once: anybody may ask for it, and it says the same to all."""
        asked = repr(sorted(kwargs.items()))
        if asked not in self._documents:
            self._documents[asked] = self._document(**kwargs)
        return self._documents[asked]

    @cached_property
    def _documents(self) -> dict[str, OpenAPISchema]:
        return {}

    def _document(self, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**kwargs)
        document["components"].setdefault("schemas", {})["Refusal"] = _REFUSAL
        for item in document["paths"].values():
            for method, operation in item.items():
                operation["responses"] |= _REFUSALS
                if method == "post":
                    operation.setdefault("parameters", []).append(_KEY)
        return document


_REFUSAL = {
    "type": "object",
    "title": "Refusal",
    "required": ["code", "message", "where"],
    "properties": {
        "code": {"type": "string", "description": "stable; docs/errors.md lists every code"},
        "message": {"type": "string"},
        "where": {"type": ["string", "null"], "description": "JSON pointer of the offending value"},
    },
}
_REFUSALS = {
    status: {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
    for status, words in (
        ("401", "Not signed in"),
        ("422", "Invalid"),
        ("429", "Too many requests"),
        ("4XX", "Refused"),
    )
}
_KEY = {
    "in": "header",
    "name": idempotency.HEADER,
    "required": False,
    "description": "the same key with the same body acts once and is answered alike for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def _in_json(view: View) -> View:
    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Http404:  # the API's root
            return _answer(NotFound())
        response.headers.setdefault("Cache-Control", "no-store")
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        refused = MethodNotAllowed(f"{request.method} does not work here; {response['Allow']} does.")
        return _answer(refused, {"Allow": response["Allow"]})

    answered.csrf_exempt = True  # type: ignore[attr-defined]  # `authenticate` asks for the token of a session
    return answered


def _unknown_route(request: HttpRequest) -> HttpResponse:
    return _answer(NotFound())


_unknown_route.csrf_exempt = True  # type: ignore[attr-defined]  # it changes nothing, and 404 says more than 403


def _once_per_key(api: NinjaAPI, run: View) -> View:
    """Answer a POST with an Idempotency-Key as the first time; everything else just runs."""

    @wraps(run)
    def guarded(request: HttpRequest, **values: Any) -> HttpResponseBase:
        if request.method != "POST" or idempotency.HEADER not in request.headers:
            return run(request, **values)
        try:
            return idempotency.once(authenticate(request), request, lambda: run(request, **values))
        except Exception as error:  # noqa: BLE001 - answered by the API's handlers, as an error inside `run` is
            return api.on_exception(request, error)

    return guarded


def _answer(refused: Refused, headers: dict[str, str] | None = None) -> HttpResponse:
    headers = {**refused.headers, **(headers or {})}
    if refused.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JsonResponse(refused.answer(), status=refused.status, headers=headers)


def _refused(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(error)


def _invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """Answer with the first thing wrong, and all of them as `problems`."""
    problems = [_problem(found) for found in error.errors[:50]]
    first = problems[0]
    return _answer(Invalid(f"{first['message']}.", where=first["where"], problems=problems))


def _problem(found: dict[str, Any]) -> dict[str, str]:
    source, *steps = found["loc"]
    if source == "body":
        steps = steps[1:]  # the parameter's name in our code
    steps = [step[: json_body.LONGEST_KEY] if isinstance(step, str) else step for step in steps]
    message = str(found["msg"]).removeprefix("Value error, ").rstrip(".")
    name = f" ({'.'.join(map(str, steps))})" if steps else ""
    return {"where": json_body.pointer(*steps), "message": f"{message}{name}"}


def _http_error(request: HttpRequest, error: Any) -> HttpResponse:
    cause = error.__cause__
    if isinstance(cause, Refused):  # from `BodyParser`, wrapped by ninja
        return _answer(cause)
    refused = Refused(str(error))
    refused.status = error.status_code
    return _answer(refused)


def _not_found(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(NotFound())


def _too_large(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(TooLarge("The body is too large. Send less at once."))


def _cut_off(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(json_body.BadJson("The body ended before it was complete."))


def _out_of_range(request: HttpRequest, error: Any) -> HttpResponse:
    """PostgreSQL had no room for a value that fits its JSON type, as a number beyond 64 bits."""
    log.warning("%s refused by the database: %s", request.method, type(error.__cause__).__name__)
    return _answer(Invalid("A value is too big to be kept. Send a smaller one.", code="number_out_of_range"))


def _internal(request: HttpRequest, error: Any) -> HttpResponse:
    log.error("%s %s failed", request.method, request.path.encode("unicode_escape").decode(), exc_info=error)
    return _answer(failing.named(error))


def build(routers: Iterable[Router], namespace: str = "api") -> NinjaAPI:
    """Return an API of these routes, with our sign-in, errors, limits and idempotency around them."""
    api = Api(
        title="Baton",
        version="1.0",
        description="Compose pipelines of agents, run them, answer approvals, and see what it costs.",
        urls_namespace=namespace,
        auth=[TokenAuth(), SessionAuth()],
        parser=BodyParser(),
        docs=RoutesPage(),
    )
    api.default_router.add_decorator(partial(_once_per_key, api), mode="view")
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)
    for router in routers:
        api.add_router("", router)
    return api


_HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    Refused: _refused,
    ValidationError: _invalid,
    HttpError: _http_error,
    Http404: _not_found,
    RequestDataTooBig: _too_large,
    UnreadablePostError: _cut_off,
    DataError: _out_of_range,
    Exception: _internal,
}


# The desk's own addresses come before those that take an approval's id.
api = build(
    [
        accounts_router,
        pipelines_router,
        runs_router,
        desk_router,
        approvals_router,
        policy_router,
        notices_router,
        alerts_router,
        evals_router,
    ]
)
