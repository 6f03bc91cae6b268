"""docs/errors.md lists every code with which a pipeline, a draft or a part of one is refused, and its status."""

import re
from pathlib import Path

import pytest

from pipelines import drafts
from pipelines.api.pipelines import RevisionRequired

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| ((?:`\w+`,? ?)+) \| (\d{3}) \|", re.MULTILINE)
_CONFLICTS = {"slug_taken", "name_taken", "stale_revision", "archived"}


def documented() -> dict[str, int]:
    rows = _ROW.findall((ROOT / "docs" / "errors.md").read_text())
    return {code: int(status) for codes, status in rows for code in re.findall(r"\w+", codes)}


@pytest.mark.parametrize(
    ("folder", "said"),
    [("pipelines", r"""code=["'](\w+)["']"""), ("pipelines/graph", r"""Refusal\(\s*["'](\w+)["']""")],
)
def test_every_code_is_documented(folder: str, said: str) -> None:
    codes = {code for file in (ROOT / folder).rglob("*.py") for code in re.findall(said, file.read_text())}
    assert len(codes) > 5
    assert codes <= set(documented())


def test_the_statuses_are_the_documented_ones() -> None:
    listed = documented()
    assert {code: listed[code] for code in _CONFLICTS} == dict.fromkeys(_CONFLICTS, 409)
    for kind in (drafts.TooLarge, RevisionRequired):
        assert listed[kind.code] == kind.status
