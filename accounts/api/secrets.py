"""/secrets: names to read, values only to write."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from accounts import safe
from accounts.access import Capability, actor_of, require, scoped
from accounts.models import Secret
from accounts.paging import page
from accounts.schemas import NewSecret, SecretList, SecretName

router = Router()


@router.get("/secrets", response=SecretList)
def list_secrets(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    """List the names of the secrets; a value is never shown."""
    actor = actor_of(request)
    require(actor, Capability.READ)
    return page(scoped(Secret, actor).defer("ciphertext"), cursor, limit, "name", _show)


@router.post("/secrets", response={201: SecretName})
def write_secret(request: HttpRequest, payload: NewSecret) -> Any:
    """Keep a value under a name, instead of the value before."""
    return Status(201, _show(safe.write(actor_of(request), payload.name, payload.value, payload.hosts)))


@router.delete("/secrets/{name}", response={204: None})
def delete_secret(request: HttpRequest, name: str) -> Any:
    """Forget a secret; what uses it fails from now on."""
    safe.forget(actor_of(request), name)
    return Status(204, None)


def _show(secret: Secret) -> dict[str, Any]:
    return {"name": secret.name, "hosts": secret.hosts, "updated_at": secret.updated_at}
