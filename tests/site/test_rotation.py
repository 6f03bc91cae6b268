"""The drill of a new encryption key: an old one goes, everything can be read, and no row holds what it sealed."""

from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts import recovery_codes, second_factor, secrets
from accounts.models import IdempotentResponse, Secret
from orchestrator_site import keeping
from tests.people import Team, a_team, bearer

pytestmark = pytest.mark.django_db
CANARY = "canary-5f0c2a91-of-the-drill"
KEYS = [Fernet.generate_key().decode() for _ in range(2)]


@pytest.fixture
def team(db: None, settings: Any) -> Team:
    settings.ENCRYPTION_KEYS = KEYS[:1]
    return a_team()


def sealed_texts() -> list[bytes]:
    """Return every text that this installation has sealed, wherever it stands."""
    rows = [bytes(one.ciphertext) for one in Secret.objects.all()]
    rows += [bytes(one.sealed or b"") for one in IdempotentResponse.objects.all()]
    kept = (row.data for row in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN))
    return rows + [data[name].encode() for data in kept for name in ("secret", "codes") if name in data]


def have_an_answer_kept(headers: dict[str, str]) -> Any:
    body = {"name": "kept", "value": CANARY}
    return Client().post("/api/v1/secrets", body, "application/json", headers=headers | {"Idempotency-Key": "drill"})


def test_after_the_drill_the_old_key_opens_nothing_and_everything_can_be_read(team: Team, settings: Any) -> None:
    headers = bearer(team.dana, team.workspace)
    secrets.put(team.workspace, "crm", CANARY)
    seal = second_factor.Adapter().encrypt
    Authenticator.objects.create(user=team.bob, type=Authenticator.Type.TOTP, data={"secret": seal(CANARY)})
    code = recovery_codes.make(team.bob)[0]
    shown = have_an_answer_kept(headers).json()
    assert len(sealed_texts()) == 5

    settings.ENCRYPTION_KEYS = KEYS[::-1]
    call_command("rotate_secrets", stdout=StringIO())
    settings.ENCRYPTION_KEYS = KEYS[1:]
    settings.SECRET_KEY = "another, so that no key follows from the one of before"

    for text in sealed_texts():
        Fernet(KEYS[1]).decrypt(text)
        with pytest.raises(InvalidToken):
            Fernet(KEYS[0]).decrypt(text)
    assert secrets.reveal(team.workspace.pk, "crm") == CANARY
    app = Authenticator.objects.get(type=Authenticator.Type.TOTP)
    assert second_factor.Adapter().decrypt(app.data["secret"]) == CANARY
    assert recovery_codes.use(team.bob, code)
    assert have_an_answer_kept(headers).json() == shown, "a kept answer is given again"
    assert keeping.unreadable() == []


def test_no_row_holds_what_was_sealed(team: Team) -> None:
    secrets.put(team.workspace, "crm", CANARY)
    headers = bearer(team.dana, team.workspace)
    have_an_answer_kept(headers)
    body = {"scopes": ["read"], "name": "canary"}
    made = Client().post("/api/v1/tokens", body, "application/json", headers=headers).json()["token"]
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', [f"%{made}%"])
            assert cursor.fetchone() == (0,), table
        cursor.execute(
            "SELECT count(*) FROM accounts_secret AS t WHERE t::text LIKE %s", [f"%{CANARY.encode().hex()}%"]
        )
        assert cursor.fetchone() == (0,)
