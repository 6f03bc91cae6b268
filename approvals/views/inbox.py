"""The inbox and the decision page."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, actor_of, signed_in
from accounts.errors import Refused
from approvals import services
from approvals.views import desk
from approvals.views.answers import decision_from

Act = Callable[[Actor, UUID, QueryDict], object]
_ACTS: dict[str, tuple[Act, str]] = {
    "claim": (lambda actor, pk, posted: services.claim(actor, pk), "You are on it; the others see that."),
    "release": (lambda actor, pk, posted: services.release(actor, pk), "Given back to the team."),
    "hand-over": (lambda actor, pk, posted: services.assign(actor, pk, posted.get("user", "")), "Handed over."),
    "comment": (lambda actor, pk, posted: services.comment(actor, pk, posted.get("text", "")), "Your comment stands."),
}
VIEWS = {"mine": "Mine", "team": "Team", "all": "All"}
_DONE = {"approve": "Approved:", "reject": "Rejected:", "answer": "Answered:", "stop": "The run was told to stop:"}


@require_GET
@signed_in
def approvals(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    view = request.GET.get("view", "mine")
    shown = desk.desk(actor, view if view in VIEWS else "mine")
    chosen = desk.detail(actor, shown.first.pk) if shown.first else None
    return render(request, "approvals/inbox.html", {"desk": shown, "detail": chosen, "views": VIEWS})


@require_http_methods(["GET", "POST"])
@signed_in
def approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    if request.method == "POST":
        return _decide(request, approval_id)
    detail = desk.detail(actor_of(request), approval_id)
    page = "approvals/_pane.html" if getattr(request, "htmx", False) else "approvals/approval.html"
    return render(request, page, {"detail": detail})


@require_GET
@signed_in
def asks_of_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What waits for a person in one run, for its page."""
    return render(request, "approvals/_asks.html", {"items": desk.of_run(actor_of(request), run_id)})


@require_POST
@signed_in
def act(request: HttpRequest, approval_id: UUID, name: str) -> HttpResponse:
    """Claim, give back, hand over or comment: what people do about a question without answering it."""
    do, said = _ACTS[name]
    try:
        do(actor_of(request), approval_id, request.POST)
    except Refused as refused:
        detail = desk.detail(actor_of(request), approval_id)
        context = {"detail": detail, "refused": refused, "typed": request.POST}
        return render(request, "approvals/approval.html", context, status=refused.status)
    messages.success(request, said)
    return redirect("approval", approval_id)


def _decide(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Hand the answer to the one door; what it refuses is said on the page, with what was typed still there."""
    actor = actor_of(request)
    detail = desk.detail(actor, approval_id)
    try:
        decision = decision_from(detail, request.POST)
        decided = services.decide(actor, approval_id, decision)
    except Refused as refused:
        context = {"detail": detail, "refused": refused, "typed": request.POST}
        return render(request, "approvals/approval.html", context, status=refused.status)
    settled = decided.state != decided.State.OPEN
    said = _DONE.get(decision.decision, "Decided:") if settled else "Noted, it needs more approvals:"
    messages.success(request, f"{said} {detail.item.sentence}")
    return redirect("approval", detail.next) if detail.next else redirect("approvals")
