"""The page that lists the API's routes, made from its OpenAPI document by our own template, without foreign script."""

import json
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from accounts.access import session_actor
from accounts.errors import NotFound

_METHODS = ("get", "post", "put", "patch", "delete")
_REF = "#/components/schemas/"


class RoutesPage(DocsBase):
    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:  # the API's routes find their actor themselves, so this page must too
            with suppress(NotFound):
                request.actor = session_actor(request, remember=False)  # type: ignore[attr-defined]
        document = api.get_openapi_schema(path_params=kwargs)
        context = {"sections": sections(document), "openapi": self.get_openapi_url(api, kwargs), "api": api}
        return render(request, "accounts/api_docs.html", context)


def sections(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return [{name, routes: [{id, method, path, summary, text, parameters, body, answers}]}] of an OpenAPI document.

    `body` and an answer's `shape` are the schema as indented JSON with the names of nested shapes, or "".
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                name = (operation.get("tags") or ["other"])[0]
                found.setdefault(name, []).append(_route(document, path, method, operation))
    return [{"name": name, "routes": routes} for name, routes in sorted(found.items())]


def _route(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    answers = [
        {"status": status, "shape": _shape(document, answer)}
        for status, answer in operation["responses"].items()
        if str(status).startswith("2")  # a refusal looks the same everywhere; the page says it once
    ]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "text": operation.get("description", ""),
        "parameters": [
            {
                "name": parameter["name"],
                "place": parameter["in"],
                "required": parameter.get("required", False),
                "type": _words(parameter.get("schema", {})),
            }
            for parameter in operation.get("parameters", [])
        ],
        "body": _shape(document, operation.get("requestBody", {})),
        "answers": answers,
    }


def _shape(document: dict[str, Any], message: dict[str, Any]) -> str:
    schema = message.get("content", {}).get("application/json", {}).get("schema")
    if not schema:
        return ""
    name = schema.get("$ref", "").removeprefix(_REF)
    shape = document.get("components", {}).get("schemas", {}).get(name, schema)
    properties = shape.get("properties")
    if properties is None:
        return _words(shape)
    required = set(shape.get("required", []))
    fields = {key if key in required else f"{key}?": _words(value) for key, value in properties.items()}
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _words(schema: dict[str, Any]) -> str:
    """Return the type of a schema in a few words: "string", "list of Member", "integer or null"."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for key in ("anyOf", "allOf", "oneOf"):
        if key in schema:
            return " or ".join(_words(part) for part in schema[key])
    if schema.get("type") == "array":
        return f"list of {_words(schema.get('items', {}))}"
    kind = str(schema.get("type", "any"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind
