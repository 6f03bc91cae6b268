"""Cases in the files of other tools: read as data, with a sentence for each thing that Baton has no place for. Pure.

Nothing of a file is ever run: an assertion in code is left out and named.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from evals.formats import deepeval, promptfoo, pydantic_evals
from evals.formats.reading import Found, LeftOut, Written
from pipelines.graph.canonical import sanitise
from pipelines.graph.model import Json

__all__ = ["FORMATS", "Found", "LeftOut", "Written", "read", "write"]

_READ: Mapping[str, Callable[[Json, str], Found]] = MappingProxyType(
    {"pydantic-evals": pydantic_evals.read, "promptfoo": promptfoo.read, "deepeval": deepeval.read}
)
_WRITE: Mapping[str, Callable[[list[dict[str, Json]], str], Written]] = MappingProxyType(
    {"pydantic-evals": pydantic_evals.write, "promptfoo": promptfoo.write, "deepeval": deepeval.write}
)
FORMATS = tuple(_READ)


def read(name: str, data: Json, field: str = "input") -> Found:
    """Return the cases of a file's JSON, and what of it was left out. An input that is no object becomes the value of
    `field`, which is a field of the start form. Raises KeyError for an unknown format, ValueError for another file."""
    reader = _READ[name]
    clean, changed = sanitise(data)
    if changed:
        raise ValueError("It holds a NUL, a broken character, a number beyond limits, or too many levels.")
    return reader(clean, field)


def write(name: str, cases: list[dict[str, Json]], field: str = "input") -> Written:
    """Return cases as another tool's file, and what it has no place for. Raises KeyError for an unknown format."""
    return _WRITE[name](cases, field)
