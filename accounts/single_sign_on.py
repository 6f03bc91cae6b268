"""Single sign-on over OpenID Connect: what is asked of the provider, what it must prove, and who is let in."""

import functools
import hmac
import logging
import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt
import requests
from allauth.socialaccount import app_settings as limits
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.adapter import get_adapter as outgoing
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import audit, invitations, members, second_line, strength
from accounts.access import may_come_in
from accounts.errors import Deactivated, Forbidden, Refused
from accounts.models import Invitation, User, Workspace
from accounts.onward import onward
from accounts.published import FRESH_SECONDS, published
from accounts.roles import Role

log = logging.getLogger("baton.sign_in")

PROVIDER = "sso"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
LONGEST_EMAIL = 254
_EMAIL = re.compile("[!-~]*")  # what prints, without spaces
LEEWAY = 60  # seconds by which two clocks may differ


class Unreachable(Refused):
    code, status = "sso_unreachable", 503


class Doubtful(OAuth2Error):  # type: ignore[misc]  # allauth carries no types
    """What does not hold of the provider's answer, in words of ours that may stand in a log."""


class Weak(Doubtful):
    """What holds, with less strength than the operator asks for."""


class _Client(OAuth2Client):  # type: ignore[misc]
    def get_access_token(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_access_token(*args, **kwargs)
        except OAuth2Error:
            # allauth quotes the whole answer, in which a token may stand
            raise Doubtful("The provider gave no token. Are the client's id and secret right?") from None


class Provider(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth carries no types
    """The provider as allauth asks it; what it says of a person counts only with its signature."""

    client_class = _Client

    _verifier = ""

    def get_provider(self) -> Any:
        provider = super().get_provider()
        provider.oauth2_adapter_class = type(self)
        provider.get_pkce_params = functools.partial(_asked, provider.get_pkce_params)
        return provider

    @property
    def openid_config(self) -> dict[str, Any]:
        """Return what the provider publishes of itself; raise OAuth2Error where it is not the one that was set."""
        config: dict[str, Any] = published.get(settings.OIDC_ISSUER, self._discovered)
        return config

    def _discovered(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        check_discovery(config)
        return config

    def get_access_token_data(
        self, request: HttpRequest, app: SocialApp, client: OAuth2Client, pkce_code_verifier: str | None = None
    ) -> Any:
        self._verifier = pkce_code_verifier or ""
        return super().get_access_token_data(request, app, client, pkce_code_verifier=pkce_code_verifier)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return settings.BASE_URL + reverse("openid_connect_callback", args=[self.provider_id])

    def complete_login(self, request: HttpRequest, app: SocialApp, token: Any, **kwargs: Any) -> SocialLogin:
        """Return who signs in: the claims of the ID token, and of the user info for what it leaves out."""
        claims = self._decode_id_token(app, kwargs["response"].get("id_token") or "")
        if "email" not in claims and self.openid_config.get("userinfo_endpoint"):
            told = self._fetch_user_info(token.token)
            if told.get("sub") != claims["sub"]:
                raise Doubtful("The user info is about somebody else than the ID token.")
            # whether the email is verified is for whoever names it to say
            claims = {**told, **claims, "email_verified": told.get("email_verified")}
        uid = _uid(claims["sub"])
        login = self.get_provider().sociallogin_from_response(request, {"id_token": _kept(claims)})
        login.account.uid = uid
        return login

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            key = self._key(jwt.get_unverified_header(id_token).get("kid", ""))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key.key,
                algorithms=[key.algorithm_name] if key.algorithm_name in ALGORITHMS else [],
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub"]},
            )
        except (jwt.PyJWTError, KeyError, TypeError) as error:
            raise Doubtful(f"The ID token does not hold: {type(error).__name__}") from error
        if why := strength.of_token(key.algorithm_name, key.key):
            raise Weak(f"The ID token is too weak for BATON_SIGNATURES=strong: it {why}.")
        _check_answer(claims, self._verifier)
        return claims

    def _key(self, name: str) -> jwt.PyJWK:
        """Return a key that the provider publishes; for one that is new to us what is kept is too old."""
        address = self.openid_config["jwks_uri"]
        try:
            return jwt.PyJWKSet.from_dict(published.get(address, self._keys))[name]
        except KeyError:
            return jwt.PyJWKSet.from_dict(published.get(address, self._keys, FRESH_SECONDS))[name]

    def _keys(self) -> Any:
        with outgoing().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
        answer.raise_for_status()
        return answer.json()


class Admission(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Decides who of the provider's people is let in; nobody is asked to fill in anything."""

    @second_line.everywhere()
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Bind the provider's person to one of ours; raise Forbidden where there is none and none may be made."""
        claims = sociallogin.account.extra_data["id_token"]
        email = claims["email"].lower()
        _check_email(email, claims)
        if sociallogin.is_existing:
            return
        with transaction.atomic():
            known = User.objects.select_for_update(no_key=True).filter(email=email).first()
            invited = invitations.open_to(email)
            if known and not (known.is_active if invited else may_come_in(known)):
                raise Deactivated
            user = known or _newcomer(email, claims, invited)
            if SocialAccount.objects.filter(user=user).exists():
                raise Forbidden(
                    "This email belongs to another person at the provider. Ask an operator.", code="sso_other_person"
                )
            sociallogin.connect(request, user)
            audit.hold(user, [one.workspace for one in invited])
            for invitation in invited:
                invitations.accept(invitation, user)
            audit.record_everywhere(user, "single_sign_on_connected")

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Exception | None = None, **more: Any
    ) -> None:
        """Say the same of everything that went wrong; the log says what it was."""
        log.warning("Single sign-on failed: %s %s", error, _loggable(exception))
        if isinstance(exception, Weak):
            raise Forbidden(
                "The provider signs in a way that is too weak for this installation. Ask an operator.",
                code="sso_weak_signature",
            )
        raise Forbidden("The sign-in at the provider was not completed. Try again.", code="sso_failed")


def _loggable(error: Exception | None) -> str:
    """Return what a log may hold of an error: of allauth's own only the kind, as they quote what they were told."""
    quotes = isinstance(error, OAuth2Error) and not isinstance(error, Doubtful)
    return type(error).__name__ if quotes else f"{type(error).__name__}: {error}"[:300]


def _asked(made: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return what is asked of the provider besides: a nonce that ties its token to this browser, and how long ago at
    most the person may have signed in there."""
    asked = made()
    age = {"max_age": str(settings.OIDC_MAX_AGE)} if settings.OIDC_MAX_AGE else {}
    return asked | {"nonce": _nonce(asked["code_verifier"])} | age


def _nonce(verifier: str) -> str:
    return sha256(f"nonce {verifier}".encode()).hexdigest()


def _check_answer(claims: dict[str, Any], verifier: str) -> None:
    """Raise Doubtful for a token that is no answer to what was asked, or of somebody who signed in too long ago."""
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), _nonce(verifier).encode()):
        raise Doubtful("The ID token is no answer to what this browser asked.")
    if not settings.OIDC_MAX_AGE:
        return
    at = claims.get("auth_time")
    if not isinstance(at, int) or at < time.time() - settings.OIDC_MAX_AGE - LEEWAY:
        raise Doubtful(
            "The provider does not say that the person signed in there as lately as BATON_OIDC_MAX_AGE asks."
        )


def check_discovery(config: dict[str, Any]) -> None:
    """Raise Doubtful where what a provider publishes of itself is not of the one that was set, or leaves https."""
    missing = [name for name in NEEDED if not isinstance(config.get(name), str)]
    if missing or config["issuer"].rstrip("/") != settings.OIDC_ISSUER:
        raise Doubtful(f"The discovery document lacks {missing} or names another issuer.")
    if settings.OIDC_ISSUER.startswith("https:"):
        named = [name for name in (*NEEDED, "userinfo_endpoint") if config.get(name)]
        bare = [name for name in named if not str(config[name]).lower().startswith("https://")]
        if bare:
            raise Doubtful(f"The discovery document names {bare} without https.")


def _uid(sub: Any) -> str:
    """Return by what a person of the provider is known: another issuer may use the same subjects for others."""
    uid = f"{sha256(settings.OIDC_ISSUER.encode()).hexdigest()[:16]}:{sub}"
    if not sub or not uid.isprintable() or len(uid) > limits.UID_MAX_LENGTH:
        raise Doubtful("The subject is empty or too long, or holds characters that cannot be kept.")
    return uid


def _kept(claims: dict[str, Any]) -> dict[str, str]:
    """Return what is kept of a person: a provider's token may tell far more, and in any characters."""
    email = str(claims.get("email") or "")
    if len(email) > LONGEST_EMAIL or not _EMAIL.fullmatch(email):
        raise Doubtful("The email is too long, or holds characters that no email of ours has.")
    texts = {name: str(claims.get(name) or "") for name in ("sub", "email", "email_verified", "name")}
    return {name: "".join(filter(str.isprintable, text))[:254] for name, text in texts.items()}


def _check_email(email: str, claims: dict[str, str]) -> None:
    if not email:
        raise Forbidden("The provider did not say your email. Ask an operator.", code="sso_no_email")
    verified = claims["email_verified"].lower() == "true"
    if not verified and settings.OIDC_EMAIL == "verified":
        raise Forbidden("The provider has not verified your email. Ask an operator.", code="sso_no_email")
    if settings.OIDC_DOMAINS and email.rpartition("@")[2] not in settings.OIDC_DOMAINS:
        raise Forbidden("People of your email's domain do not sign in here.", code="sso_other_domain")


def _newcomer(email: str, claims: dict[str, str], invited: list[Invitation]) -> User:
    """Make a person who is invited, or one of the workspace and role that the operator has set; else refuse."""
    if invited:
        return invitations.newcomer(invited[0], claims["name"][:120], password=None)
    workspace = Workspace.objects.filter(slug=settings.OIDC_WORKSPACE).first()
    if settings.OIDC_NEW_PEOPLE == "invited" or workspace is None:
        raise Forbidden("Nobody has invited you yet. Ask an admin of your workspace.", code="not_invited")
    return members.admit(
        workspace, email, claims["name"][:120], [Role(settings.OIDC_NEW_PEOPLE)], by="single sign-on"
    ).user


@never_cache
@require_GET
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send the browser to the provider. A link and no form: the policy of our pages lets no form lead elsewhere."""
    adapter = _provider(request, provider_id)
    try:
        there: HttpResponse = adapter.get_provider().redirect(request, process="login", next_url=onward(request))
    except (requests.RequestException, OAuth2Error) as error:
        log.warning("Single sign-on cannot begin: %s", _loggable(error))
        raise Unreachable("The provider of single sign-on does not answer. Try again later.") from error
    return there


@never_cache
@require_GET
def end(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take the browser back from the provider and sign the person in."""
    answer: HttpResponse = OAuth2CallbackView.adapter_view(_provider(request, provider_id))(request)
    return answer


def _provider(request: HttpRequest, provider_id: str) -> Provider:
    if provider_id != PROVIDER or not settings.OIDC_ISSUER:
        raise Http404
    return Provider(request, provider_id)
