"""Recovery codes: what is kept of them, that each counts once, and what becomes of those that were made before."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from argon2.low_level import Type, hash_secret_raw
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts import recovery_codes, second_factor, secrets
from accounts.models import User
from runs import dispatch
from tests.accounts.test_second_factor import PASSWORD, inside, password, set_up
from tests.people import Team, a_team

pytestmark = pytest.mark.usefixtures("site_addresses")


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    made.alice.set_password(PASSWORD)
    made.alice.save()
    return made


def have_an_app(user: User) -> None:
    sealed = second_factor.Adapter().encrypt("JBSWY3DPEHPK3PXP")
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": sealed})


def a_set_of_before(user: User) -> list[str]:
    """Give the person codes as they were made until now, one of them used, and return the others."""
    have_an_app(user)
    old = RecoveryCodes.activate(user)
    assert old.validate_code(old.get_unused_codes()[3])
    return old.get_unused_codes()


def row_of(user: User) -> Authenticator:
    row: Authenticator = Authenticator.objects.get(user=user, type=Authenticator.Type.RECOVERY_CODES)
    return row


def signs_in(code: str) -> bool:
    client = Client()
    assert password(client)["Location"] == "/login/code/"
    client.post("/login/code/", {"code": code})
    return inside(client)


def test_a_code_signs_in_once_however_it_is_spelled_until_new_ones_replace_it(team: Team) -> None:
    have_an_app(team.alice)
    first, second, third, *_ = codes = recovery_codes.make(team.alice)
    assert len(set(codes)) == recovery_codes.COUNT
    assert [signs_in(code) for code in (first, first, second.upper().replace("-", " "), second)] == [
        *(True, False),
        *(True, False),
    ]
    assert recovery_codes.left(team.alice) == 8
    [new, *_] = recovery_codes.make(team.alice)
    assert [signs_in(code) for code in (third, new)] == [False, True]
    acts = team.workspace.auditentry_set.filter(action__startswith="recovery").order_by("id")
    used, made = "recovery_code_used", "recovery_codes_made"
    assert list(acts.values_list("action", flat=True)) == [made, used, used, made, used]


@pytest.mark.django_db(transaction=True)
def test_codes_stand_in_the_answer_that_made_them_and_in_no_page_after_it(team: Team) -> None:
    client = Client()
    password(client)
    set_up(client)
    answer = client.post("/account/codes/new/")
    assert "no-store" in answer["Cache-Control"]
    codes = answer.context["codes"]
    assert all(code in answer.content.decode() for code in codes)
    recovery_codes.use(team.alice, codes[0])
    pages = {"/account/": "9 left", "/account/codes/": "9 of 10 are left", "/account/codes/new/": "9 of 10 are left"}
    for path, said in pages.items():
        page = client.get(path).content.decode()
        assert said in page
        assert "/account/codes/" in page, "no way to new ones"
        assert not any(code in page for code in codes)
    assert not any(code in str(dict(client.session.items())) for code in codes)
    for code in codes[1:]:
        assert recovery_codes.use(team.alice, code)
    assert "None are left" in client.get("/account/codes/").content.decode()


def test_a_second_way_leaves_the_codes_of_the_first(team: Team) -> None:
    [code, *_] = recovery_codes.make(team.alice)
    assert recovery_codes.make(team.alice, unless_there=True) == []
    assert recovery_codes.use(team.alice, code)


def test_who_has_no_second_factor_has_no_codes(team: Team) -> None:
    client = Client()
    password(client)
    for answer in (client.get("/account/codes/"), client.post("/account/codes/new/")):
        assert (answer.status_code, "you have neither" in answer.content.decode()) == (404, True)
    assert not Authenticator.objects.exists()


def test_of_a_code_a_slow_salted_hash_is_kept_and_that_is_sealed(team: Team) -> None:
    codes, others = recovery_codes.make(team.alice), recovery_codes.make(team.bob)
    rows = [row_of(user) for user in (team.alice, team.bob)]
    held = [secrets.unseal(row.data["codes"].encode()) for row in rows]
    for text in (*held, *(str(row.data) for row in rows)):
        assert not any(code in text or code.replace("-", "") in text for code in (*codes, *others))
    kept, of_bob = (recovery_codes._read(row) for row in rows)
    assert kept.salt != of_bob.salt
    assert len(bytes.fromhex(kept.salt)) >= 4, "a salt has at least 32 bits"
    bare = codes[0].replace("-", "").encode()
    # Two passes over 19 MiB: the least that OWASP names for Argon2id.
    assert kept.hashes[0] == hash_secret_raw(bare, bytes.fromhex(kept.salt), 2, 19_456, 1, 32, Type.ID).hex()


@pytest.mark.parametrize("is_right", [True, False])
def test_one_hash_is_made_however_many_codes_there_are(
    team: Team, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    codes = recovery_codes.make(team.alice)
    asked = []

    def counted(*args: Any) -> bytes:
        asked.append(args)
        return hash_secret_raw(*args)

    monkeypatch.setattr(recovery_codes, "hash_secret_raw", counted)
    assert bool(recovery_codes.use(team.alice, codes[-1] if is_right else "bcdf-ghjk-mnpq")) is is_right
    assert len(asked) == 1


def at_once(works: list[Callable[[], object]]) -> list[object]:
    """Do all of them at the same moment, each with a connection of its own, and return what they found."""
    found: list[object] = []
    line = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            line.wait(timeout=10)
            found.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return found


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_with_one_code_one_gets_in(team: Team) -> None:
    have_an_app(team.alice)
    code, other, *_ = recovery_codes.make(team.alice)
    assert sorted(at_once([lambda: signs_in(code)] * 2)) == [False, True]  # type: ignore[type-var]
    straight = at_once([lambda: recovery_codes.use(team.alice, other)] * 4)
    assert sum(row is not None for row in straight) == 1, "without the form's lock on the person too"
    assert recovery_codes.left(team.alice) == 8


@pytest.mark.django_db(transaction=True)
def test_two_first_factors_at_once_show_one_set_of_codes(team: Team) -> None:
    shown = at_once([lambda: recovery_codes.make(team.alice, unless_there=True)] * 2)
    assert sorted(len(codes) for codes in shown) == [0, 10]  # type: ignore[arg-type]


# Codes that were made before


def test_codes_of_before_go_on_and_are_hashed_when_one_is_typed(team: Team) -> None:
    codes = a_set_of_before(team.alice)
    assert recovery_codes.left(team.alice) == len(codes) == 9
    assert signs_in(codes[0])
    assert set(row_of(team.alice).data) == {"codes", "migrated_codes"}, "the seed is still there"
    assert [signs_in(code) for code in (codes[0], codes[1])] == [False, True]
    assert recovery_codes.left(team.alice) == 7


def test_workers_hash_the_codes_of_those_who_type_none(team: Team, settings: Any) -> None:
    assert recovery_codes.hash_old in dispatch.poll_jobs()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    a_set_of_before(team.bob)
    lost = row_of(team.bob).data
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]  # nothing opens bob's any more
    mine = {user.pk: a_set_of_before(user) for user in (team.alice, team.carol, team.dana)}
    for hashed in (2, 3):
        recovery_codes.hash_old()
        assert Authenticator.objects.filter(data__has_key="codes").count() == hashed
    assert row_of(team.bob).data == lost, "a key may be put back"
    assert recovery_codes.use(team.dana, mine[team.dana.pk][0])
    assert recovery_codes.left(team.dana) == 8


def test_a_server_of_the_version_before_finds_no_codes_and_no_fault(team: Team) -> None:
    codes = recovery_codes.make(team.alice)
    before = RecoveryCodes(row_of(team.alice))
    assert before.get_unused_codes() == []
    assert not before.validate_code(codes[0])
    assert recovery_codes.use(team.alice, codes[0]), "it leaves them as they are"


def test_a_backup_of_before_is_rotated_too(team: Team) -> None:
    codes = a_set_of_before(team.alice)
    sealed = row_of(team.alice).data["seed"]
    call_command("rotate_secrets")
    assert row_of(team.alice).data["seed"] != sealed
    assert recovery_codes.use(team.alice, codes[0])
