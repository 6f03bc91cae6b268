"""The pages of publishing, of versions and of what lies between two of them."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import actor_of, signed_in
from accounts.errors import NotFound, Refused
from pipelines import version_pages as pages


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def publish(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What publishing would change; a POST publishes, or says in place what stands in its way."""
    refused = None
    if request.method == "POST":
        try:
            version = pages.publish_draft(actor_of(request), slug, request.POST)
        except Refused as refusal:
            refused = _shown(refusal)
        else:
            return _done(request, slug, f"Version {version.number} is published.")
    page = pages.publish_page(actor_of(request), slug, request.POST)
    template = "pipelines/_publish.html" if getattr(request, "htmx", False) else "pipelines/publish.html"
    return render(request, template, {"page": page, "refused": refused}, status=refused.status if refused else 200)


@require_GET
@signed_in
def versions(request: HttpRequest, slug: str) -> HttpResponse:
    return _versions(request, slug)


@require_GET
@signed_in
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    page = pages.compare_page(actor_of(request), slug, request.GET)
    return render(request, "pipelines/compare.html", {"page": page})


@require_GET
@signed_in
def download(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """A version's document as a file."""
    document = pages.version_json(actor_of(request), slug, number)
    response = JsonResponse(document, json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{slug}-v{number}.json"'
    return response


@require_POST
@signed_in
def roll_back(request: HttpRequest, slug: str, number: int) -> HttpResponseBase:
    try:
        version = pages.roll_back(actor_of(request), slug, number, request.POST)
    except Refused as refused:
        return _versions(request, slug, _shown(refused))
    return _done(request, slug, f"Version {number} runs again, as version {version.number}. The draft is unchanged.")


@require_POST
@signed_in
def edit_from(request: HttpRequest, slug: str, number: int) -> HttpResponseBase:
    try:
        pages.edit_from(actor_of(request), slug, number, request.POST)
    except Refused as refused:
        return _versions(request, slug, _shown(refused))
    messages.success(request, f"The draft now says what version {number} says. Undo brings back what it said before.")
    return redirect("pipeline", slug)


@require_POST
@signed_in
def split(request: HttpRequest, slug: str) -> HttpResponseBase:
    try:
        pages.share_runs(actor_of(request), slug, request.POST)
    except Refused as refused:
        return _versions(request, slug, _shown(refused))
    return _done(request, slug, "New runs are shared between two versions from now on.")


@require_POST
@signed_in
def end_split(request: HttpRequest, slug: str) -> HttpResponseBase:
    try:
        pages.end_sharing(actor_of(request), slug, request.POST)
    except Refused as refused:
        return _versions(request, slug, _shown(refused))
    return _done(request, slug, "All new runs get the published version again.")


def _versions(request: HttpRequest, slug: str, refused: Refused | None = None) -> HttpResponse:
    page = pages.versions_page(actor_of(request), slug, request.GET.get("cursor"))
    context = {"page": page, "refused": refused}
    return render(request, "pipelines/versions.html", context, status=refused.status if refused else 200)


def _shown(refused: Refused) -> Refused:
    """Return a refusal that the page says in place; what is absent has no page to say it on."""
    if isinstance(refused, NotFound):
        raise refused
    return refused


def _done(request: HttpRequest, slug: str, said: str) -> HttpResponseBase:
    messages.success(request, said)
    if getattr(request, "htmx", False):
        return HttpResponse(headers={"HX-Redirect": reverse("versions", args=[slug])})
    return redirect("versions", slug)
