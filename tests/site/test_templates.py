"""No page carries what the content security policy forbids, or what would need eval."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

BANNED = {
    "an inline script": re.compile(r"<script(?![^>]*\b(?:src=|type=\"application/json\"))[^>]*>", re.I),
    "an inline style sheet": re.compile(r"<style\b", re.I),
    "a style attribute": re.compile(r"\sstyle\s*=", re.I),
    "an event handler attribute": re.compile(r"\son[a-z]+\s*=", re.I),
    "hx-on": re.compile(r"\b(?:data-)?hx-on\b", re.I),
    "a js: value": re.compile(r"[\"'](?:js|javascript):", re.I),
    "a trigger filter": re.compile(r"hx-trigger\s*=\s*(?:\"[^\"]*\[|'[^']*\[)", re.I),
    "an address elsewhere": re.compile(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", re.I),
    "unescaped output": re.compile(r"\|\s*safe\b|autoescape\s+off", re.I),
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_template_holds_nothing_the_browser_would_refuse(template: Path) -> None:
    text = re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", template.read_text(), flags=re.S)
    found = {name: match.group(0) for name, pattern in BANNED.items() if (match := pattern.search(text))}
    assert not found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_what_is_asked_for_while_somebody_writes_is_the_last_they_wrote(template: Path) -> None:
    tags = re.findall(r"<[a-z][^>]*\bhx-get=[^>]*\bhx-trigger=\"[^\"]*(?:input|change)[^>]*>", template.read_text())
    assert [tag for tag in tags if 'hx-sync="this:replace"' not in tag] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<script nonce='x'>alert(1)</script>", "an inline script"),
        ('<div hx-on:click="x()">', "hx-on"),
        ("<b onclick='x()'>", "an event handler attribute"),
        ('<b style="color:red">', "a style attribute"),
        ('<b hx-trigger="click[ctrlKey]">', "a trigger filter"),
        ("<b hx-vals='js:{a: 1}'>", "a js: value"),
        ("<a href='//cdn.example/x.js'>", "an address elsewhere"),
        ("{{ answer|safe }}", "unescaped output"),
    ],
)
def test_the_ban_catches(text: str, name: str) -> None:
    assert BANNED[name].search(text)


@pytest.mark.parametrize(
    "text",
    [
        '<script type="module" nonce="{{ csp_nonce }}" src="{% static \'dist/app.js\' %}"></script>',
        '<script type="application/json" id="edges">[]</script>',
        "<a href='/runs/'>once</a> in one style",
    ],
)
def test_the_ban_lets_pass(text: str) -> None:
    assert not [name for name, pattern in BANNED.items() if pattern.search(text)]
