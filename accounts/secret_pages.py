"""The pages of a workspace's secrets: a new one, another value for one, an end to one. No answer holds a value."""

from dataclasses import dataclass, field

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from pydantic import ValidationError

from accounts import safe
from accounts.access import Actor, Capability, actor_of, require, scoped, signed_in
from accounts.errors import Refused
from accounts.models import Secret
from accounts.onward import back
from accounts.schemas import NewSecret
from accounts.secrets import MOST_CHARACTERS

_WRONG = {
    "name": "Use lower-case letters, digits, hyphens and underscores, at most 63, beginning with a letter or digit.",
    "hosts": "Name at most 50 hosts, one a line, without https:// and without a path: api.example.com.",
    "value": f"Paste the value here: 1 to {MOST_CHARACTERS:,} characters.",
}


@dataclass(frozen=True, slots=True)
class SecretForm:
    """What is shown of a form: never the value. `errors` are sentences by the name of the input."""

    name: str = ""
    hosts: str = ""
    errors: dict[str, str] = field(default_factory=dict)


@sensitive_post_parameters("value")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new secret; a POST keeps it."""
    actor, form = _keeper(request), SecretForm()
    if request.method == "POST":
        form = _written(actor, request.POST.get("name", "").strip(), request, is_new=True)
        if not form.errors:
            messages.success(request, f"{form.name} is kept. Its value is not shown again.")
            return back(actor, "connections")
    return render(request, "accounts/secret_new.html", {"form": form}, status=422 if form.errors else 200)


@sensitive_post_parameters("value")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def secret(request: HttpRequest, name: str) -> HttpResponse:
    """One secret with what uses it; a POST replaces its value."""
    actor = _keeper(request)
    line = safe.line(actor, name)
    form = SecretForm(name, "\n".join(line.hosts))
    if request.method == "POST":
        form = _written(actor, name, request, is_new=False)
        if not form.errors:
            messages.success(request, f"{name} has its new value from now on.")
            return back(actor, "secret", name)
    return render(request, "accounts/secret.html", {"line": line, "form": form}, status=422 if form.errors else 200)


@require_POST
@signed_in
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Forget a secret that nothing uses; else its page says what does."""
    actor = _keeper(request)
    line = safe.line(actor, name)
    try:
        safe.forget(actor, name, unless_used=True)
    except Refused as refused:
        context = {"line": line, "form": SecretForm(name, "\n".join(line.hosts)), "refused": refused}
        return render(request, "accounts/secret.html", context, status=refused.status)
    messages.success(request, f"{name} is removed.")
    return back(actor, "connections")


def _keeper(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.SECRETS)
    return actor


def _written(actor: Actor, name: str, request: HttpRequest, *, is_new: bool) -> SecretForm:
    """Write what was posted; return the form, with errors where nothing was written."""
    hosts = request.POST.get("hosts", "")
    errors = _taken(actor, name) if is_new else {}
    try:
        given = NewSecret(name=name, value=_pasted(request), hosts=hosts.lower().split())
        if not errors:
            safe.write(actor, given.name, given.value, given.hosts)
    except ValidationError as error:  # its own words would quote the value
        errors = {**_wrong(error), **errors}
    except Refused:
        errors = {"value": _WRONG["value"]}
    return SecretForm(name, hosts, errors)


def _wrong(error: ValidationError) -> dict[str, str]:
    places = [str(one["loc"][0]) for one in error.errors(include_input=False, include_context=False)]
    return {place: _WRONG[place] for place in places}


def _taken(actor: Actor, name: str) -> dict[str, str]:
    if "\0" in name or not scoped(Secret, actor).filter(name=name).exists():
        return {}
    return {"name": f"There is already a secret {name}. Open it to replace its value, or choose another name."}


def _pasted(request: HttpRequest) -> str:
    """Return the value without the blanks around it, which nobody means, and with the line ends that were pasted."""
    return request.POST.get("value", "").replace("\r\n", "\n").strip()
