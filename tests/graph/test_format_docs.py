import re
from pathlib import Path

import pytest

from pipelines.graph.common import COMMON
from pipelines.graph.composite import Field
from pipelines.graph.kinds import DOCUMENT, FIELDS, NAMED_RECORDS
from pipelines.graph.model import Kind

TEXT = Path("docs/format.md").read_text()
CODE = re.compile(
    r'"(?:error|warning)", "([a-z_]+)"|severity, "([a-z_]+)"|Problem\("([a-z_]+)"|is None else "error", "([a-z_]+)"'
)


def section(heading: str) -> str:
    """Return the text under a heading up to the next one."""
    found = TEXT.partition(f"\n{heading}")[2]
    assert found, f"docs/format.md has no heading {heading!r}"
    return re.split(r"\n##+ ", found)[0]


@pytest.mark.parametrize("kind", Kind)
def test_every_field_of_every_kind_is_documented(kind: Kind) -> None:
    described = section(f"### `{kind}` ")
    assert [name for name in FIELDS[kind] if f"| `{name}` |" not in described] == []


@pytest.mark.parametrize(("heading", "fields"), [("## The document", DOCUMENT), ("## Every step", COMMON)])
def test_every_shared_field_is_documented(heading: str, fields: dict[str, Field]) -> None:
    described = section(heading)
    assert [name for name in fields if f"| `{name}` |" not in described] == []


def test_every_field_says_what_it_means() -> None:
    for fields in (COMMON, DOCUMENT, *FIELDS.values(), *(record.fields for record in NAMED_RECORDS[1:])):
        assert [name for name, field in fields.items() if not field.means] == []


def test_every_code_of_a_problem_is_documented() -> None:
    sources = [*Path("pipelines/graph/rules").glob("*.py"), Path("pipelines/graph/validate.py")]
    codes = {code for path in sources for found in CODE.findall(path.read_text()) for code in found if code}
    assert len(codes) > 30
    assert [code for code in sorted(codes) if f"`{code}`" not in section("## Problems")] == []
