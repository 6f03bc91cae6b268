"""The faults and figures of docs/faults.md, as the report reads them and a test that compares them with the sources."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "faults.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| (.+) \|$", re.MULTILINE)
_CHECK = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)?)`")


@dataclass(frozen=True)
class Entry:
    """A row: its name, its words, and its checks as `file` or `file::test`."""

    name: str
    words: str
    checks: tuple[str, ...]

    @property
    def is_figure(self) -> bool:
        return re.fullmatch(r"[RM]\d+", self.name) is not None

    def covers(self, node_id: str) -> bool:
        """Tell whether a test, as pytest names it, is one of this row's checks."""
        name = node_id.partition("[")[0]
        return any(name == check or name.startswith(f"{check}::") for check in self.checks)


@cache
def entries() -> tuple[Entry, ...]:
    """Return the rows of both tables, in the page's order."""
    return tuple(
        Entry(name, rest.split(" | ")[0], tuple(_CHECK.findall(rest)))
        for name, rest in _ROW.findall(PAGE.read_text(encoding="utf-8"))
    )


def names_in(file: Path) -> Iterator[str]:
    """Yield the names of the tests that a file defines."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
