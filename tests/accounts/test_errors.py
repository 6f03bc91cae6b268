"""docs/errors.md lists every code that the accounts and the API answer with, and its status."""

import re
from pathlib import Path

from accounts import errors
from orchestrator_site import api

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \|", re.MULTILINE)
_SAID = re.compile(r"""code(?:, status)? ?= ?["'](\w+)["']|else ["'](forbidden)["']""")
_FORM_ONLY = {"bad_login", "used_code", "password_of_this_place", "password_known"}


def documented() -> dict[str, int]:
    return {code: int(status) for code, status in _ROW.findall((ROOT / "docs" / "errors.md").read_text())}


def test_every_code_is_documented() -> None:
    files = [*(ROOT / "accounts").rglob("*.py"), ROOT / "orchestrator_site" / "api.py"]
    said = {code for file in files for pair in _SAID.findall(file.read_text()) for code in pair if code}
    assert {"bad_cursor", "not_found", "csrf", "too_large"} <= said
    assert said - _FORM_ONLY <= set(documented())


def test_every_kind_of_refusal_is_documented_with_its_status() -> None:
    kinds = [errors.Refused]
    for kind in kinds:
        kinds += [k for k in kind.__subclasses__() if k.__module__.split(".")[0] in ("accounts", "orchestrator_site")]
    assert api.TooLarge in kinds
    listed = documented()
    assert {kind.code: kind.status for kind in kinds}.items() <= listed.items()
