"""What an address asks of a log: a frozen record of texts, of which `since` and `until` are days."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from accounts import days

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LONGEST = 254
Wanted = TypeVar("Wanted", bound="DataclassInstance")


def read(kind: type[Wanted], asked: Mapping[str, str]) -> Wanted:
    """Return what is asked for by the names of the record's fields; a day that is none is left out."""
    texts = {field.name: str(asked.get(field.name, ""))[:LONGEST].strip() for field in fields(kind)}
    return kind(**{name: text for name, text in texts.items() if name not in ("since", "until") or days.day_of(text)})


def address(wanted: "DataclassInstance") -> str:
    """Return the query of the address that asks for this, without its question mark."""
    return urlencode({name: value for name, value in asdict(wanted).items() if value})
