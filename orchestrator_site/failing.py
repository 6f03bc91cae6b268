"""What is answered where Baton itself fails: that the database is away, where it is that; else that it is our fault."""

import sys

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template import loader

from accounts.errors import Refused
from accounts.middleware import is_program
from runs.store import is_transient


class DatabaseAway(Refused):
    """Nobody knows yet whether what was asked for has been done."""

    code, status, retry_after = "database_away", 503, 5

    def __init__(self) -> None:
        super().__init__(
            "Baton cannot reach its database just now. Try again in a moment; where you changed something, look first "
            "whether it was done."
        )


class Failed(Refused):
    code, status = "internal", 500

    def __init__(self) -> None:
        super().__init__("Something went wrong here. It has been written to the log.")


def named(error: BaseException | None) -> Refused:
    """Return what is said of a failure; Django's errors have the driver's as their cause."""
    cause = getattr(error, "__cause__", None)
    return DatabaseAway() if cause is not None and is_transient(cause) else Failed()


def page(request: HttpRequest) -> HttpResponseBase:
    """Answer a request that failed outside of the API; a page is made without any question to the database."""
    refused = named(sys.exc_info()[1])
    if is_program(request):
        return JsonResponse(refused.answer(), status=refused.status, headers=refused.headers)
    template = "_error.html" if getattr(request, "htmx", False) else "500.html"
    context = {"code": refused.code, "message": refused.message, "status": refused.status}
    answer = loader.get_template(template).render(context)
    return HttpResponse(answer, status=refused.status, headers=refused.headers)
