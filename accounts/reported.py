"""Reads what browsers report of violations of the content policy, and keeps nothing of it that a secret could stand in.

The two formats are those of Content Security Policy Level 3: `application/csp-report`, one object, sent to
`report-uri`, and `application/reports+json`, a list, sent to `report-to`. Addresses carry marks that let somebody in,
so of a page's address only the pattern stays, of another only the origin, and of our own files the name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from csp.utils import DEFAULT_DIRECTIVES
from django.conf import settings
from django.urls import Resolver404, resolve

from accounts import json_body
from accounts.errors import Refused

MOST_AT_ONCE = 20
LONGEST_ADDRESS = 2_000
LONGEST = 200
OTHER = "other"
THIS_SITE = "this site"
_FETCHED = ("http", "https", "ws", "wss")
_KEYWORDS = frozenset({"inline", "eval", "wasm-eval", "self", "trusted-types-policy", "trusted-types-sink"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^!-~]")


class NotAReport(Refused):
    code, status = "not_a_report", 415

    def __init__(self) -> None:
        super().__init__("This address takes what browsers report: application/csp-report or application/reports+json.")


@dataclass(frozen=True, slots=True)
class Reported:
    """What is kept of one report: the directive, the pattern of the page, what was blocked, and what asked for it."""

    directive: str
    page: str
    blocked: str
    source: str


def read(content_type: str, body: bytes) -> list[Reported]:
    """Return the violations that a browser reports, at most 20; reports of anything else are left out.

    Raises NotAReport for another type of content, BadJson or Invalid for a body that is no JSON.
    """
    told = _FORMATS.get(_kind(content_type))
    if told is None:
        raise NotAReport
    return [_reported(one) for one in list(told(json_body.parse(body)))[:MOST_AT_ONCE]]


def is_report(content_type: str) -> bool:
    """Tell whether a browser sends its reports as this type of content."""
    return _kind(content_type) in _FORMATS


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _single(value: Any) -> Iterator[dict[str, Any]]:
    told = value.get("csp-report") if isinstance(value, dict) else None
    if isinstance(told, dict):
        yield {
            "directive": told.get("effective-directive") or told.get("violated-directive"),
            "page": told.get("document-uri"),
            "blocked": told.get("blocked-uri"),
            "source": told.get("source-file"),
        }


def _listed(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else [value]:
        told = one.get("body") if isinstance(one, dict) and one.get("type") == "csp-violation" else None
        if isinstance(told, dict):
            yield {
                "directive": told.get("effectiveDirective"),
                "page": told.get("documentURL"),
                "blocked": told.get("blockedURL"),
                "source": told.get("sourceFile"),
            }


_FORMATS = {"application/csp-report": _single, "application/reports+json": _listed}


def _reported(told: dict[str, Any]) -> Reported:
    page = _split(told["page"])
    return Reported(
        directive=_directive(told["directive"]),
        page=_pattern(page),
        blocked=_origin(told["blocked"], page),
        source=_source(told["source"], page),
    )


def _directive(value: Any) -> str:
    name = value.split(" ")[0] if isinstance(value, str) else ""
    return name if name in DEFAULT_DIRECTIVES else OTHER


def _split(value: Any) -> SplitResult:
    text = value if isinstance(value, str) and len(value) <= LONGEST_ADDRESS else ""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _pattern(parts: SplitResult) -> str:
    try:
        return f"/{resolve(parts.path).route}"[:LONGEST]
    except Resolver404:
        return ""


def _origin(value: Any, page: SplitResult) -> str:
    """Return a keyword, the origin, or where there is none the scheme, as `data:` or that of a browser's extension."""
    text = value if isinstance(value, str) else ""
    if text in _KEYWORDS:
        return text
    parts = _split(text)
    if parts.scheme in _FETCHED and parts.hostname:
        return THIS_SITE if _address(parts) == _address(page) else _printable(_address(parts))
    scheme = parts.scheme or text
    return f"{scheme.lower()}:" if _SCHEME.fullmatch(scheme) else OTHER


def _address(parts: SplitResult) -> str:
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _source(value: Any, page: SplitResult) -> str:
    if not value:
        return ""
    parts = _split(value)
    if parts.hostname is None or _address(parts) != _address(page):
        return _origin(value, page)
    return _printable(parts.path) if parts.path.startswith(settings.STATIC_URL) else _pattern(parts)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("", text)[:LONGEST]
