"""Where the heads of the audit logs go: a file of the operator's, or an address that is sent them signed."""

import fcntl
import json
import logging
import os
from urllib.parse import unquote, urlsplit

import requests
from django.conf import settings

from accounts import heads, seals
from accounts.heads import Head
from orchestrator_site.outgoing import guarded_session

log = logging.getLogger("baton.audit")


def keep() -> None:
    """Send the day's heads where the operator says; called by the workers' poll. What fails is tried again."""
    if not settings.AUDIT_HEADS:
        return
    to_file = settings.AUDIT_HEADS.startswith("file:")
    try:
        heads.keep(_append if to_file else _post)
    except (OSError, requests.RequestException) as error:
        log.warning("The heads of the audit logs were not taken: %s", type(error).__name__)


def _append(found: list[Head]) -> None:
    with open(unquote(urlsplit(settings.AUDIT_HEADS).path), "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.writelines(json.dumps(head) + "\n" for head in found)
        file.flush()
        os.fsync(file.fileno())


def _post(found: list[Head]) -> None:
    """Send {"heads": […]} with its Ed25519 signature (hex) in `X-Baton-Signature`; `verify_bundle --show-key` has the
    key."""
    body = json.dumps({"heads": found}).encode()
    headers = {"Content-Type": "application/json", "X-Baton-Signature": seals.sign(body).hex()}
    with guarded_session(settings.AUDIT_HEADS) as session:
        session.post(settings.AUDIT_HEADS, body, headers=headers, allow_redirects=False).raise_for_status()
