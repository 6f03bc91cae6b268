"""The call that the engineer's guide shows is signed as the server reads it."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from accounts import secrets
from runs.triggers import hooks
from tests.conftest import ROOT
from tests.people import a_workspace
from tests.triggers.builders import a_composer, a_hook, call

pytestmark = pytest.mark.django_db
GUIDE = ROOT / "docs" / "guides" / "engineer.md"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_guides_call_is_let_in() -> None:
    (snippet,) = re.findall(r"```\n(KEY=.*?)```", GUIDE.read_text(), re.DOTALL)
    lines, sent = snippet.split("curl ", 1)
    told = '; printf "%s\\n" "$KEY" "$BODY" "$TIME" "$NONCE" "$SIGNATURE"'
    answer = subprocess.run(["bash", "-c", lines.strip() + told], capture_output=True, text=True, check=True)
    key, body, time, nonce, signature = answer.stdout.splitlines()
    assert hooks.signature(key, "sample/orders", time, nonce, body.encode()) == f"v2={signature}"
    alice: Any = a_composer(workspace=a_workspace("sample"))
    secrets.put(alice.workspace, "orders-key", key)
    a_hook(alice, secret="orders-key", input={"topic": "${event.number}"})
    given: dict[str, Any] = {"sent_timestamp": time, "sent_nonce": nonce, "signature": f"v2={signature}"}
    assert call("orders", body.encode(), **given).status_code == 202
    for header in ("X-Baton-Timestamp: $TIME", "X-Baton-Nonce: $NONCE", "X-Baton-Signature: v2=$SIGNATURE"):
        assert header in sent
