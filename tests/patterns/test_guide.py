"""docs/guides/patterns.md names every pattern test and every template, and nothing that is not there."""

import re

from pipelines import gallery
from tests.faults.catalogue import ROOT, names_in

PAGE = ROOT / "docs" / "guides" / "patterns.md"
_ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| `(tests/patterns/\w+\.py)::(\w+)` \|$", re.MULTILINE)


def test_every_pattern_of_the_guide_has_its_test_and_every_test_its_pattern() -> None:
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    listed = {(file, name) for _, file, name in rows}
    there = {
        (str(file.relative_to(ROOT)), name)
        for file in (ROOT / "tests" / "patterns").glob("test_*.py")
        if file.name != "test_guide.py"
        for name in names_in(file)
    }
    assert {(file, name) for file, name in there if not name.startswith("test_a_")} == listed
    for pattern, _, name in rows:
        assert name == f"test_{re.sub(r'[^a-z]+', '_', pattern.strip().lower())}", "a test is named after its pattern"


def test_every_template_of_the_gallery_is_shown() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for template in gallery.templates():
        picture = f"pattern-{template.name}.png"
        assert template.title in text, f"the guide does not speak of {template.title}"
        assert f"../img/{picture}" in text, f"the guide does not show {picture}"
        assert (ROOT / "docs" / "img" / picture).exists(), f"docs/screenshots.py has not taken {picture}"
