"""How a program shows its token when it opens a websocket: in a header, never in the address, which logs keep."""

from typing import Any

PROTOCOL = "baton"
_CARRIER = "baton.token."
"""Begins the offered subprotocol that carries a token, for programs that cannot set `Authorization`."""


def shown(scope: dict[str, Any]) -> str:
    """Return the token of `Authorization: Bearer` or else of an offered subprotocol; empty without one."""
    headers = scope.get("headers", ())
    authorization = next((value.decode("latin-1") for key, value in headers if key == b"authorization"), "")
    scheme, _, bare = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return bare.strip()
    carried = (name.removeprefix(_CARRIER) for name in _offered(scope) if name.startswith(_CARRIER))
    return next(carried, "")


def acceptance(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the message that accepts a websocket: a browser wants one of what it offered, and no token goes back."""
    return {"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in _offered(scope) else None}


def _offered(scope: dict[str, Any]) -> list[str]:
    return list(scope.get("subprotocols", ()))
