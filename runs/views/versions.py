"""What runs add to the pages of versions: fragments that those pages fetch, since pipelines know nothing of runs."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import actor_of, signed_in
from runs import outcomes


@require_GET
@signed_in
def figures(request: HttpRequest, slug: str, low: int, high: int) -> HttpResponse:
    """How the runs of each version in a range of numbers went."""
    found = outcomes.by_number(actor_of(request), slug, low, high)
    return render(request, "runs/_version_figures.html", {"outcomes": found, "slug": slug})


@require_GET
@signed_in
def compared(request: HttpRequest, slug: str, older: str, newer: str) -> HttpResponse:
    found = outcomes.compared(actor_of(request), slug, older, newer)
    return render(request, "runs/_version_compared.html", {"compared": found, "slug": slug})


@require_GET
@signed_in
def publishing(request: HttpRequest, slug: str) -> HttpResponse:
    """The last test run of the draft, the runs under way, and how the draft compares with what runs now."""
    found = outcomes.publishing(actor_of(request), slug)
    return render(request, "runs/_version_publishing.html", {"found": found, "compared": found.compared, "slug": slug})
