"""The inbox and the decision page."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, actor_of, signed_in
from accounts.errors import Refused
from approvals import bulk, services
from approvals.filters import Filters
from approvals.models import Approval
from approvals.views import desk, items, question, standing
from approvals.views.answers import decision_from, fields_after, picked

Act = Callable[[Actor, UUID, QueryDict], object]
_ACTS: dict[str, tuple[Act, str]] = {
    "claim": (lambda actor, pk, posted: services.claim(actor, pk), "You are on it; the others see that."),
    "release": (lambda actor, pk, posted: services.release(actor, pk), "Given back to the team."),
    "hand-over": (lambda actor, pk, posted: services.assign(actor, pk, posted.get("user", "")), "Handed over."),
    "ask": (
        lambda actor, pk, posted: services.ask(actor, pk, posted.get("text", ""), posted.get("user", "")),
        "Asked. You are told when they answer.",
    ),
    "take-back": (lambda actor, pk, posted: services.take_back(actor, pk), "Taken back. Nothing has happened."),
    "comment": (lambda actor, pk, posted: services.comment(actor, pk, posted.get("text", "")), "Your comment stands."),
}
_DONE = {"approve": "Approved:", "reject": "Rejected:", "answer": "Answered:", "stop": "The run was told to stop:"}


@require_GET
@signed_in
def approvals(request: HttpRequest) -> HttpResponse:
    """The inbox; of a page that is open, `part=list` renews the list alone."""
    actor = actor_of(request)
    shown = desk.desk(actor, Filters.read(request.GET))
    if request.GET.get("part") == "list":
        return render(request, "approvals/_inbox.html", {"desk": shown})
    chosen = question.detail(actor, shown.first.pk) if shown.first else None
    return render(request, "approvals/inbox.html", {"desk": shown, "detail": chosen})


@require_POST
@signed_in
def approvals_bulk(request: HttpRequest) -> HttpResponse:
    """Answer several light questions; what was not decided is said one by one."""
    chosen, choice = picked(request.POST), request.POST.get("decision", "")
    outcomes = bulk.decide_each(actor_of(request), chosen, choice, request.POST.get("reason", ""))
    done = [one for one in outcomes if one.done]
    if len(done) == len(outcomes):
        is_held = any(one.approval and one.approval.held_until for one in done)
        later = " They happen in a moment; until then each can be taken back." if is_held else ""
        said = f"{_DONE.get(choice, 'Decided:')} {len(done)} questions, each recorded by itself.{later}"
        messages.success(request, said)
        return redirect(reverse("approvals") + Filters.read(request.POST).address)
    context = {"outcomes": outcomes, "done": done, "approving": choice == "approve"}
    return render(request, "approvals/bulk.html", context, status=200 if done else 409)


@require_http_methods(["GET", "POST"])
@signed_in
def approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    if request.method == "POST":
        return _decide(request, approval_id)
    detail = question.detail(actor_of(request), approval_id)
    page = "approvals/_pane.html" if getattr(request, "htmx", False) else "approvals/approval.html"
    return render(request, page, {"detail": detail})


@require_GET
@signed_in
def stands(request: HttpRequest, approval_id: UUID) -> JsonResponse:
    """How a question stands now, for the page that shows it."""
    return JsonResponse(standing.standing(actor_of(request), approval_id))


@require_GET
@signed_in
def asks_of_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What waits for a person in one run, for its page."""
    return render(request, "approvals/_asks.html", {"items": items.of_run(actor_of(request), run_id)})


@require_POST
@signed_in
def act(request: HttpRequest, approval_id: UUID, name: str) -> HttpResponse:
    """Claim, give back, hand over or comment: what people do about a question without answering it."""
    do, said = _ACTS[name]
    try:
        do(actor_of(request), approval_id, request.POST)
    except Refused as refused:
        detail = question.detail(actor_of(request), approval_id)
        context = {"detail": detail, "refused": refused, "typed": request.POST}
        return render(request, "approvals/approval.html", context, status=refused.status)
    messages.success(request, said)
    return redirect("approval", approval_id)


def _decide(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Hand the answer to the one door; what it refuses is said on the page, with what was typed still there."""
    actor = actor_of(request)
    detail = question.detail(actor, approval_id)
    try:
        decision = decision_from(detail, request.POST)
        decided = services.decide(actor, approval_id, decision)
    except Refused as refused:
        fields = fields_after(detail, request.POST)
        context = {"detail": detail, "refused": refused, "typed": request.POST, "fields": fields}
        return render(request, "approvals/approval.html", context, status=refused.status)
    messages.success(request, f"{_said(decided, decision.decision)} {detail.item.sentence}")
    if decided.held_until:
        return redirect("approval", approval_id)
    return redirect("approval", detail.next) if detail.next else redirect("approvals")


def _said(decided: Approval, choice: str) -> str:
    if decided.held_until:
        return "Approved; it happens in a moment, and until then you can take it back:"
    if decided.state == decided.State.OPEN:
        return "Noted, it needs more approvals:"
    return _DONE.get(choice, "Decided:")
