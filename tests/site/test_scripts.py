"""What our scripts, and those of others that pages load, leave alone in a browser."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

OURS = sorted((ROOT / "static" / "js").rglob("*.js"))
LOADED = [ROOT / "node_modules/htmx.org/dist/htmx.esm.js", ROOT / "node_modules/htmx.org/dist/ext/hx-upsert.js"]
KEEPS = re.compile(
    r"\b(?:localStorage|sessionStorage|indexedDB|openDatabase|serviceWorker|caches\b|navigator\.storage)"
)
COOKIES = {"static/js/theme.js"}  # light or dark


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("script", [*OURS, *LOADED], ids=named)
def test_no_script_keeps_anything_in_the_browser(script: Path) -> None:
    text = script.read_text()
    assert KEEPS.findall(text) == []
    assert "document.cookie" not in text or named(script) in COOKIES


@pytest.mark.parametrize("text", ["window.localStorage.x = 1", "await caches.open('x')", "indexedDB.open('x')"])
def test_the_search_finds_what_keeps(text: str) -> None:
    assert KEEPS.search(text)
