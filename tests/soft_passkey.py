"""A passkey in software: the answers that a browser brings from an authenticator, signed as a test wishes."""

import json
import secrets
from hashlib import sha256
from typing import Any

from allauth.account.utils import user_pk_to_url_str
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cose
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from accounts.models import User

HOST = "testserver"
_FLAGS = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class SoftPasskey:
    """One key; `algorithm` is the name that COSE has for it, `bits` are RSA's."""

    def __init__(self, algorithm: str, bits: int = 0) -> None:
        self.algorithm = algorithm
        self._id = secrets.token_bytes(16)
        self._key = _made(algorithm, bits)
        self._public = getattr(cose, algorithm).from_cryptography_key(self._key.public_key())

    def created(self, challenge: str) -> str:
        """Return what comes of `navigator.credentials.create`."""
        known = AttestedCredentialData.create(bytes(16), self._id, self._public)
        data = AuthenticatorData.create(_rp(), _FLAGS | AuthenticatorData.FLAG.AT, 0, known)
        said = CollectedClientData.create("webauthn.create", challenge, f"https://{HOST}")
        return self._answer(said, attestationObject=AttestationObject.create("none", data, {}))

    def shown(self, challenge: str, user: User) -> str:
        """Return what comes of `navigator.credentials.get`."""
        data = AuthenticatorData.create(_rp(), _FLAGS, 0)
        said = CollectedClientData.create("webauthn.get", challenge, f"https://{HOST}")
        signature = self._sign(data + sha256(said).digest())
        handle = user_pk_to_url_str(user).encode()
        return self._answer(said, authenticatorData=data, signature=signature, userHandle=handle)

    def _answer(self, said: bytes, **more: bytes) -> str:
        response = {name: websafe_encode(value) for name, value in {"clientDataJSON": said, **more}.items()}
        known = {"id": websafe_encode(self._id), "rawId": websafe_encode(self._id), "type": "public-key"}
        return json.dumps({**known, "clientExtensionResults": {}, "response": response})

    def _sign(self, message: bytes) -> bytes:
        key: Any = self._key
        match self.algorithm:
            case "EdDSA":
                return bytes(key.sign(message))
            case "ES256" | "ES256K":
                return bytes(key.sign(message, ec.ECDSA(hashes.SHA256())))
            case "PS256":
                mask = padding.MGF1(hashes.SHA256())
                return bytes(key.sign(message, padding.PSS(mask, padding.PSS.MAX_LENGTH), hashes.SHA256()))
            case "RS1":
                return bytes(key.sign(message, padding.PKCS1v15(), hashes.SHA1()))
        return bytes(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))


def _made(algorithm: str, bits: int) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES256K":
            return ec.generate_private_key(ec.SECP256K1())
    return rsa.generate_private_key(65537, bits)


def _rp() -> bytes:
    return sha256(HOST.encode()).digest()
