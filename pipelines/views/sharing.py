"""The form of for whom a pipeline is kept."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, Capability, actor_of, get, may, signed_in
from accounts.errors import Refused
from accounts.roles import Role, Share
from pipelines import sharing
from pipelines.models import Pipeline
from pipelines.sharing import Lists

WORDS = {
    Share.SEE: ("See it", "its draft, versions and prompts, and what its runs say"),
    Share.RUN: ("Run it", "start runs, by hand, by a program, by a trigger or from another pipeline"),
    Share.EDIT: ("Edit it", "change, publish, archive, and this page"),
}


@require_http_methods(["GET", "POST"])
@signed_in
def sharing_page(request: HttpRequest, slug: str) -> HttpResponse:
    actor = actor_of(request)
    pipeline = get(Pipeline, actor, slug=slug)
    refused = None
    lists = _posted(request.POST) if request.method == "POST" else sharing.read(actor, pipeline)
    if request.method == "POST":
        try:
            sharing.put(actor, pipeline, lists)
        except Refused as refusal:
            refused = refusal
        else:
            messages.success(request, "Saved: who may use this pipeline.")
            return redirect("pipeline-sharing", slug)
    context = _shown(actor, pipeline, lists) | {"refused": refused}
    return render(request, "pipelines/sharing.html", context, status=refused.status if refused else 200)


def _posted(posted: QueryDict) -> Lists:
    """Return the ticked roles and the addresses, which stand apart by commas or lines."""
    people = {share: _split(posted.get(f"{share}-people", "")) for share in Share}
    return Lists(*((*posted.getlist(f"{share}-role"), *people[share]) for share in Share))


def _split(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if one]


def _shown(actor: Actor, pipeline: Pipeline, lists: Lists) -> dict[str, object]:
    parts = [
        {
            "share": share.value,
            "title": WORDS[share][0],
            "about": WORDS[share][1],
            "roles": [(role.value, role in names) for role in Role if role is not Role.ADMIN],
            "people": "\n".join(name for name in names if name not in set(Role)),
        }
        for share, names in lists.by_share
    ]
    return {
        "pipeline": pipeline,
        "parts": parts,
        "is_kept": lists.is_kept,
        "may_change": may(actor, Capability.EDIT, pipeline),
    }
