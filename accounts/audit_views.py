"""The audit log as a page and as a table for spreadsheets."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import audit_log, paging, sheets
from accounts.access import Capability, actor_of, require, signed_in
from accounts.audit_log import Wanted
from accounts.models import User


@never_cache
@require_GET
@signed_in
def audit_page(request: HttpRequest) -> HttpResponse:
    """The audit log, narrowed by its address; with `check`, whether its chain is whole."""
    actor, wanted = actor_of(request), Wanted.read(request.GET)
    page = paging.page(audit_log.entries(actor, wanted), request.GET.get("cursor"), 50, "-seq")
    context = {
        "wanted": wanted,
        "lines": [(entry, audit_log.said(entry)) for entry in page["items"]],
        "next": page["next"],
        "people": User.objects.filter(memberships__workspace=actor.workspace).order_by("email"),
        "state": audit_log.checked(actor) if request.GET.get("check") else None,
    }
    return render(request, "accounts/audit.html", context)


@require_GET
@signed_in
def audit_sheet(request: HttpRequest) -> StreamingHttpResponse:
    """The same entries for a spreadsheet."""
    actor, wanted = actor_of(request), Wanted.read(request.GET)
    require(actor, Capability.EXPORT)
    return sheets.of_rows("audit", audit_log.COLUMNS, audit_log.entries(actor, wanted), audit_log.row)
