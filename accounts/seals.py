"""This installation's signature: made with a key that only it has, checked by whoever has the public one."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def sign(said: bytes) -> bytes:
    """Return the Ed25519 signature of these bytes."""
    return _key().sign(said)


def public_key() -> str:
    """Return the public key in hex: what others check signatures of this installation with."""
    return _key().public_key().public_bytes_raw().hex()


def is_signed(said: bytes, signature: bytes, key: str) -> bool:
    """Tell whether the owner of this public key (hex) signed these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, said)
    except (InvalidSignature, ValueError):
        return False
    return True


def _key() -> Ed25519PrivateKey:
    derived = HKDF(SHA256(), 32, salt=None, info=b"baton evidence").derive(settings.SECRET_KEY.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)
