"""Stored documents, parsed and drawn once per process: the same draft is asked for by every page, change and answer.

By what a document says, not by which draft it is of; the few that were asked for last are kept. What is given out is
shared, and nobody changes it. Only for documents that this installation stored: what comes from outside may hold what
its bytes do not tell, such as a key that stands twice.
"""

import json
from collections.abc import Mapping
from functools import lru_cache

import orjson

from pipelines import canvas
from pipelines.graph.byhand import pins_of
from pipelines.graph.freeze import content_hash
from pipelines.graph.model import Document, Json
from pipelines.graph.parse import parse

KEPT = 16


def parsed(raw: Json) -> Document:
    """Return a stored document as `parse` does; raise its Refusal."""
    return _parsed(_text(raw))


def drawn(raw: Json, known: Mapping[str, Json]) -> canvas.Picture:
    """Return the picture of a stored document, its boxes where people put them; `known` adds what is known of agents
    and tools. Raise Refusal."""
    return _drawn(_text(raw), _text(known))


def meaning(raw: Json) -> str:
    """Return the `content_hash` of a stored document."""
    return _meaning(_text(raw))


def _text(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # the database gives a large float back as an integer of more than 64 bits
        return json.dumps(value).encode()


@lru_cache(maxsize=KEPT)
def _parsed(text: bytes) -> Document:
    return parse(orjson.loads(text))


@lru_cache(maxsize=KEPT)
def _drawn(text: bytes, known: bytes) -> canvas.Picture:
    pins = pins_of(orjson.loads(text).get("ui"))
    return canvas.picture(_parsed(text), orjson.loads(known), pins, with_crews=True)


@lru_cache(maxsize=KEPT)
def _meaning(text: bytes) -> str:
    return content_hash(orjson.loads(text))
