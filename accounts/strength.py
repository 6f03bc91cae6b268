"""Which signatures of others count: of a provider's ID tokens and of passkeys, by their algorithms and keys.

The usual ones of both do. Where the operator asks for strong ones, only those do that OWASP's ASVS 5.0 approves of
(appendix C), with 128 bits of strength: no RSA below 3,072 bits and none that pads as PKCS#1 v1.5 does.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from fido2.cose import CoseKey

LEAST_RSA_BITS = 3_072
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_COSE_ALGORITHM, _COSE_MODULUS = 3, -1  # RFC 9052, RFC 8230
_COSE_PS256 = -37
_COSE_STRONG = {-7, -8, -35, -36, -48, -49, -50}  # ES256, EdDSA, ES384, ES512, ML-DSA


def of_token(algorithm: str, key: Any) -> str:
    """Return why an ID token that is signed so does not count here, to stand after "it"; empty where it does."""
    if settings.SIGNATURES != "strong":
        return ""
    match key:
        case RSAPublicKey():
            return _of_rsa(key.key_size, is_pss=algorithm.startswith("PS"))
        case EllipticCurvePublicKey():
            return "" if key.curve.name in _CURVES else f"is signed over the curve {key.curve.name}"
        case Ed25519PublicKey() | Ed448PublicKey():
            return ""
    return f"is signed with {algorithm}"


def of_passkey(key: Mapping[int, Any]) -> str:
    """Return why a passkey with this COSE key does not count here, to stand after "it"; empty where it does."""
    algorithm = key[_COSE_ALGORITHM]
    if algorithm not in CoseKey.supported_algorithms():
        return "signs in a way that was not asked for"  # the library does not compare, and knows RSA with SHA-1
    if settings.SIGNATURES != "strong" or algorithm in _COSE_STRONG:
        return ""
    if isinstance(modulus := key.get(_COSE_MODULUS), bytes):
        return _of_rsa(int.from_bytes(modulus).bit_length(), is_pss=algorithm == _COSE_PS256)
    return "signs over a curve that is not approved"


def _of_rsa(bits: int, is_pss: bool) -> str:
    if not is_pss:
        return "is signed with RSA in the padding of PKCS#1 v1.5"
    return f"is signed with RSA of {bits:,} bits" if bits < LEAST_RSA_BITS else ""
