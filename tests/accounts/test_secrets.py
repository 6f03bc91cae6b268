"""Secrets: encrypted, rotated, never read back, and redacted in every form they might take."""

import base64
import json
from io import StringIO
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from accounts import secrets
from accounts.errors import Invalid, NotFound
from accounts.models import AuditEntry, Secret
from tests.people import Team, signed_in_as

VALUE = "sk-Töp/secret+42=&?"


def test_a_secret_is_kept_encrypted_and_revealed(team: Team) -> None:
    secrets.put(team.workspace, "key", VALUE)
    assert VALUE.encode() not in bytes(Secret.objects.get().ciphertext)
    assert secrets.reveal(team.workspace.pk, "key") == VALUE


def test_writing_again_replaces_it(team: Team) -> None:
    secrets.put(team.workspace, "key", VALUE)
    secrets.put(team.workspace, "key", "other")
    assert secrets.reveal(team.workspace.pk, "key") == "other"


def test_another_workspace_does_not_have_it(team: Team) -> None:
    secrets.put(team.workspace, "key", VALUE)
    with pytest.raises(NotFound, match="no secret named key"):
        secrets.reveal(team.elsewhere.pk, "key")


@pytest.mark.parametrize("value", ["", "x" * 20_000])
def test_an_unusable_value_is_refused(team: Team, value: str) -> None:
    with pytest.raises(Invalid):
        secrets.put(team.workspace, "key", value)


def test_keys_rotate_without_losing_a_secret(team: Team, settings: Any) -> None:
    secrets.put(team.workspace, "key", VALUE)  # with the key derived from SECRET_KEY
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    assert secrets.reveal(team.workspace.pk, "key") == VALUE
    settings.ENCRYPTION_KEYS = [new, old]
    out = StringIO()
    call_command("rotate_secrets", stdout=out)
    assert out.getvalue().startswith("1 secret")
    settings.ENCRYPTION_KEYS = [new]
    settings.SECRET_KEY = "changed"
    assert secrets.reveal(team.workspace.pk, "key") == VALUE
    settings.ENCRYPTION_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="cannot be decrypted"):
        secrets.reveal(team.workspace.pk, "key")


def test_a_key_of_the_wrong_form_is_named(team: Team, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["passphrase"]
    with pytest.raises(ImproperlyConfigured, match="BATON_ENCRYPTION_KEYS"):
        secrets.put(team.workspace, "key", VALUE)


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        f"Authorization: Bearer {VALUE}",
        json.dumps({"header": VALUE}),
        f"https://example.com/?key={quote(VALUE)}",
        f"https://example.com/?key={quote(VALUE, safe='')}",
        f"key={quote_plus(VALUE)}",
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        "Basic " + base64.b64encode(f"a:{VALUE}".encode()).decode(),
        "Basic " + base64.b64encode(f"al:{VALUE}:x".encode()).decode(),
        "Basic " + base64.b64encode(f"ali:{VALUE}".encode()).decode(),
    ],
)
def test_a_secret_is_redacted_in_every_form(text: str) -> None:
    hidden = secrets.redact(text, [VALUE])
    assert secrets.REDACTED in hidden
    for part in ("secret", quote("Töp"), base64.b64encode(b"secret").decode()[:6]):
        assert part not in hidden.replace(secrets.REDACTED, "")


def test_text_without_the_secret_stays_as_it_is() -> None:
    assert secrets.redact("nothing here", [VALUE, ""]) == "nothing here"


@given(st.text(min_size=6), st.binary(max_size=5), st.binary(max_size=5))
def test_no_base64_alignment_lets_a_secret_through(value: str, before: bytes, after: bytes) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(before + raw + after).decode()
    assert secrets.REDACTED in secrets.redact(encoded, [value])


def test_an_admin_writes_a_secret_and_nobody_reads_it(team: Team) -> None:
    dana = signed_in_as(team.dana)
    answer = dana.post("/api/v1/secrets", {"name": "local-key", "value": VALUE}, content_type="application/json")
    assert answer.status_code == 201
    assert VALUE not in answer.content.decode()
    listed = signed_in_as(team.alice).get("/api/v1/secrets")
    assert [item["name"] for item in listed.json()["items"]] == ["local-key"]
    assert set(listed.json()["items"][0]) == {"name", "hosts", "updated_at"}
    assert dana.get("/api/v1/secrets/local-key").status_code == 405
    assert VALUE not in json.dumps(list(AuditEntry.objects.values_list("data", "target")))
    assert dana.delete("/api/v1/secrets/local-key").status_code == 204
    assert not Secret.objects.exists()


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["api.example.com", "*.example.com", "10.0.0.1", "[::1]"], 201),
        (["https://x.io"], 422),
        (["x.io:443"], 422),
        (["*"], 422),
    ],
)
def test_a_secret_says_where_it_may_be_sent(team: Team, hosts: list[str], status: int) -> None:
    body = {"name": "crm-key", "value": VALUE, "hosts": hosts}
    answer = signed_in_as(team.dana).post("/api/v1/secrets", body, content_type="application/json")
    assert answer.status_code == status
    if status == 201:
        assert secrets.reveal_with_hosts(team.workspace.pk, "crm-key") == (VALUE, tuple(hosts))
        assert secrets.put(team.workspace, "crm-key", VALUE).hosts == []  # kept anew, its hosts are said anew


@pytest.mark.parametrize("who", ["alice", "bob", "carol", "erin"])
def test_who_is_no_admin_writes_none(team: Team, who: str) -> None:
    browser = signed_in_as(getattr(team, who))
    answer = browser.post("/api/v1/secrets", {"name": "k", "value": VALUE}, content_type="application/json")
    assert answer.status_code == 403
    secrets.put(team.workspace, "key", VALUE)
    assert browser.delete("/api/v1/secrets/key").status_code == 403


def test_charlie_neither_sees_nor_deletes_a_secret(team: Team) -> None:
    secrets.put(team.workspace, "key", VALUE)
    charlie = signed_in_as(team.charlie)
    assert charlie.get("/api/v1/secrets").json()["items"] == []
    theirs, absent = charlie.delete("/api/v1/secrets/key"), charlie.delete("/api/v1/secrets/absent")
    assert theirs.status_code == absent.status_code == 404
    assert theirs.content == absent.content
    assert Secret.objects.exists()


@pytest.mark.parametrize("name", ["", "A b", "../x", "-x", "x" * 64])
def test_a_secret_has_a_plain_name(team: Team, name: str) -> None:
    body = {"name": name, "value": VALUE}
    answer = signed_in_as(team.dana).post("/api/v1/secrets", body, content_type="application/json")
    assert (answer.status_code, answer.json()["where"]) == (422, "/name")
    assert VALUE not in answer.content.decode()
