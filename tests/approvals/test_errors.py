"""docs/errors.md lists every code that the desk answers with, and its status."""

import re
from pathlib import Path

from accounts.errors import Invalid
from approvals import services

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \|", re.MULTILINE)
_SAID = re.compile(r"""(?:code=|Refusal\(\s*)["'](\w+)["']""")


def test_every_code_is_documented_with_the_status_it_answers() -> None:
    listed = {code: int(status) for code, status in _ROW.findall((ROOT / "docs" / "errors.md").read_text())}
    policy = set(_SAID.findall((ROOT / "approvals" / "policy.py").read_text()))
    assert {"own_request", "payload_changed", "invalid_payload", "not_storable"} <= policy
    assert {code: services.STATUS.get(code, Invalid).status for code in policy}.items() <= listed.items()
    assert set(_SAID.findall((ROOT / "approvals" / "services.py").read_text())) <= set(listed)
