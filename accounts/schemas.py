"""What requests and lists of the API have in common, and the shapes of this app's routes."""

from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from ninja import Schema
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from accounts.roles import Role, Scope

# A name, an address, or *. and a domain for all below it; without scheme, port and path.
_HOST = r"^((\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?|\[?[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*\]?)$"


class Body(Schema):
    """A request body. An unknown key is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


def _email(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError(f"{text[:80]!r} is no email address") from None
    return text.lower()


class Member(Schema):
    email: str
    name: str
    roles: list[Role]
    active: bool


class MemberList(Schema):
    items: list[Member]
    next: str | None


class NewMember(Body):
    email: Annotated[str, Field(max_length=254), AfterValidator(_email)]
    name: str = Field("", max_length=120)
    roles: list[Role] = Field(min_length=1)


class MemberRoles(Body):
    roles: list[Role] = Field(min_length=1)


class MemberState(Body):
    active: bool


class ContentAccess(Body):
    hidden_from: list[Role] = Field(max_length=6, description="of viewer, manager, auditor: they see costs alone")


class Token(Schema):
    id: str
    name: str
    prefix: str
    user: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class FreshToken(Token):
    token: str = Field(description="the bare token, shown this once")


class TokenList(Schema):
    items: list[Token]
    next: str | None


class NewToken(Body):
    scopes: list[Scope] = Field(min_length=1)
    name: str = Field("", max_length=120)
    expires_at: AwareDatetime | None = None


class SecretName(Schema):
    name: str
    hosts: list[str] = Field(description="where the tool http.request may send it")
    updated_at: datetime


class SecretList(Schema):
    items: list[SecretName]
    next: str | None


class NewSecret(Body):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    value: str
    hosts: list[Annotated[str, Field(pattern=_HOST)]] = Field(default_factory=list, max_length=50)


class Entry(Schema):
    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    data: dict[str, Any]
    hash: str


class EntryList(Schema):
    items: list[Entry]
    next: str | None
