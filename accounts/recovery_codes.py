"""Recovery codes: ten of a person, of which only slow hashes are kept, each for one use, shown in one answer alone.

They stand in allauth's row of their kind, so that they go with the last second factor. A set shares one salt: what is
typed is hashed once, however many codes there are.
"""

import json
from dataclasses import asdict, dataclass, replace
from secrets import compare_digest, token_hex

from allauth.core.internal.cryptokit import generate_user_code, normalize_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from argon2.low_level import Type, hash_secret_raw
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from accounts import audit, secrets
from accounts.models import User

COUNT = 10
_LENGTH, _LETTERS = 12, "23456789bcdfghjkmnpqrstvwxz"
"""57 bits, without letters that look alike or make words."""
_COSTS = (2, 19_456, 1)
"""Passes, KiB and lanes of Argon2id, as OWASP's cheat sheet on storing passwords has them at least."""
SEALED = (_NAME, _OLD_NAME) = ("codes", "seed")
"""What a row holds. All codes of a set of before followed from a seed, beside which stands which were used."""
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of a set: hashes of the codes that were not used yet, and how they were made."""

    salt: str
    costs: tuple[int, int, int]
    hashes: tuple[str, ...]

    @staticmethod
    def of(codes: list[str]) -> "_Kept":
        empty = _Kept(token_hex(16), _COSTS, ())
        return replace(empty, hashes=tuple(empty.hash(code) for code in codes))

    def hash(self, code: str) -> str:
        """Return the hash of a code, however its letters are spelled and parted."""
        passes, kib, lanes = self.costs
        bare, salt = normalize_user_code(code).encode(errors="replace"), bytes.fromhex(self.salt)
        return hash_secret_raw(bare, salt, passes, kib, lanes, 32, Type.ID).hex()


def left(user: User) -> int:
    """Return how many codes of the person are still good for a use."""
    row = _row(user)
    if row is None:
        return 0
    return COUNT - int(row.data["used_mask"]).bit_count() if _is_old(row) else len(_read(row).hashes)


def make(user: User, *, unless_there: bool = False) -> list[str]:
    """Make ten codes instead of those of before, or none where there are some, and return them: nobody can later."""
    codes = [generate_user_code(length=_LENGTH, allowed_chars=_LETTERS) for _ in range(COUNT)]
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # there may be no row of codes to lock yet
        old = _row(user, locked=True)
        if old is not None and unless_there:
            return []
        if old is not None:
            old.delete()
        _write(Authenticator(user=user, type=Authenticator.Type.RECOVERY_CODES), _Kept.of(codes))
        audit.record_everywhere(user, "recovery_codes_made", data={"kind": str(Authenticator.Type.RECOVERY_CODES)})
    return codes


def use(user: User, code: str) -> Authenticator | None:
    """Strike the code out and return the row it stood in, or None for one that the person does not have any more."""
    with transaction.atomic():
        row = _row(user, locked=True)  # whoever comes at the same moment looks after it is struck out
        if row is None:
            return None
        kept = _hashed(row)
        tried = kept.hash(code)
        others = tuple(one for one in kept.hashes if not compare_digest(one, tried))
        if len(others) == len(kept.hashes):
            return None
        _write(row, replace(kept, hashes=others))
    return row


def hash_old() -> None:
    """Hash a few sets of before; called by the workers' poll. A set is hashed sooner when its person types a code."""
    old = Authenticator.objects.filter(type=Authenticator.Type.RECOVERY_CODES, data__has_key=_OLD_NAME)
    hashed = 0
    for pk in list(old.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            row = old.select_for_update(skip_locked=True).filter(pk=pk).first()
            if row is None:
                continue
            try:
                _hashed(row)
            except ImproperlyConfigured:  # the key is lost, as `rotate_secrets` says; the others need not wait for it
                continue
        hashed += 1
        if hashed == _AT_ONCE:
            return


def _row(user: User, *, locked: bool = False) -> Authenticator | None:
    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES)
    row: Authenticator | None = (found.select_for_update() if locked else found).first()
    return row


def _is_old(row: Authenticator) -> bool:
    return _OLD_NAME in row.data


def _hashed(row: Authenticator) -> _Kept:
    """Return what a locked row holds, having hashed what of a set of before was not used."""
    if _is_old(row):
        _write(row, _Kept.of(RecoveryCodes(row).get_unused_codes()))
    return _read(row)


def _read(row: Authenticator) -> _Kept:
    held = json.loads(secrets.unseal(row.data[_NAME].encode()))
    return _Kept(held["salt"], tuple(held["costs"]), tuple(held["hashes"]))


def _write(row: Authenticator, kept: _Kept) -> None:
    # A server of the version before finds no codes in the empty list; without it, it would look for the seed.
    row.data = {_NAME: secrets.seal(json.dumps(asdict(kept))).decode(), "migrated_codes": []}
    row.save()
