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

# What lets a key from outside reach a prototype: assigning by a computed key, and naming prototypes at all.
POLLUTES = re.compile(
    r"[\w$\])]\[(?![\"'][^\"']*[\"']\])(?:[^\[\]]|\[[^\[\]]*\])*\]\s*(?:\*\*|>{2,3}|<<|\?\?|\|\||&&|[-+*/%&|^])?=(?![=>])"
    r"|[\w$\])]\[(?:[^\[\]]|\[[^\[\]]*\])*\](?:\+\+|--)"
    r"|__proto__|\bprototype\b|setPrototypeOf|__define[GS]etter__|\bdefinePropert|Reflect\.set"
)
FREEZES = ROOT / "static" / "js" / "frozen.js"


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


@pytest.mark.parametrize("script", [file for file in OURS if file != FREEZES], ids=named)
def test_no_script_can_change_what_all_objects_stand_on(script: Path) -> None:
    code = re.sub(r"^\s*//.*$|\s// .*$", "", script.read_text(), flags=re.MULTILINE)
    assert [found[0] for found in POLLUTES.finditer(code)] == []


def test_the_first_script_freezes_it_before_any_other() -> None:
    imports = re.findall(r"^import .*$", (ROOT / "static/js/app.js").read_text(), re.MULTILINE)
    assert imports[0].startswith('import "./frozen.js"')
    assert "Object.freeze" in FREEZES.read_text()
    templates = "".join(file.read_text() for file in (ROOT / "templates").rglob("*.html"))
    assert re.findall(r"<script[^>]+src=\"{% static '([^']+)'", templates) == ["dist/app.js"], (
        "another script of a page"
    )


@pytest.mark.parametrize(
    ("text", "pollutes"),
    [
        ("found[key] = value;", True),
        ("found[names[0]] ??= {};", True),
        ("at(x)[key] += 1", True),
        ("all[key]++", True),
        ("target.__proto__.x = 1", True),
        ("Array.prototype.last = f", True),
        ("const [a, b] = pair;", False),
        ("if (KEYS[event.key] === 1) go();", False),
        ("const f = (all) => all[0];", False),
        ("{ ...found, [key]: value }", False),
        ("names.set(key, value)", False),
        ('headers["X-CSRFToken"] = token', False),
    ],
)
def test_the_search_finds_what_pollutes(text: str, pollutes: bool) -> None:
    assert bool(POLLUTES.search(text)) is pollutes
