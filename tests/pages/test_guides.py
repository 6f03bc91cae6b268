"""The guides: what they link to and show is there, and pictures are small enough to load."""

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
MOST_BYTES = 300 * 1024


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_a_guide_links_only_to_what_is_there(guide: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", guide.read_text())
    assert [target for target in targets if not (guide.parent / target).exists()] == []


def test_pictures_are_at_most_300_kb() -> None:
    pictures = list((ROOT / "docs" / "img").glob("*.png"))
    of_pages = {picture.stem for picture in pictures if not picture.stem.startswith("pattern-")}
    of_composer = {f"composer-{name}" for name in ("templates", "editor", "publish")}
    of_reviewer = {"approval", "approval-phone", "approval-asked", "approval-health"}
    of_manager = {"costs", "costs-speed", "costs-chargeback", "costs-budgets"}
    assert of_pages == {"run", "home", *of_composer, *of_reviewer, *of_manager}
    assert [picture.name for picture in pictures if picture.stat().st_size > MOST_BYTES] == []
