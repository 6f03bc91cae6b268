"""The pages of approval rules, calendars and absences."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, get, require, scoped, signed_in
from accounts.errors import Refused
from approvals import absences, policy, questions, rules
from approvals.models import Calendar, Rule
from approvals.views import policy_words, rule_form
from pipelines.models import Pipeline

FORM = ["GET", "POST"]


@require_GET
@signed_in
def rule_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    found = [
        (rule, policy_words.about(rule), policy_words.asked(rule)) for rule in rules.listed(actor).order_by("name")
    ]
    calendars = [(one, rule_form.day_rows(rule_form.typed_calendar(one))) for one in _calendars(actor)]
    context = {"rows": found, "calendars": calendars, "may_edit": actor.can(Capability.RULES)}
    return render(request, "approvals/rules.html", context)


@require_http_methods(FORM)
@signed_in
def rule(request: HttpRequest, rule_id: UUID | None = None) -> HttpResponse:
    """The form of a rule; a POST saves it, or shows again what was typed and why it cannot be saved."""
    actor = actor_of(request)
    require(actor, Capability.RULES)
    known = get(rules.listed(actor), actor, pk=rule_id) if rule_id else None
    levels = len(known.levels) if known else 0
    if request.method == "GET":
        typed = rule_form.typed_rule(known) if known else {"approvals": "1", "half": "on", "before": "1"}
        return _rule_page(request, actor, known, typed)
    try:
        saved = rules.put(actor, rule_form.rule_fields(request.POST.dict(), levels), known)
    except Refused as refused:
        return _rule_page(request, actor, known, request.POST.dict(), refused)
    messages.success(request, f"{saved.name} is about questions asked from now on.")
    return redirect("approval-rules")


@require_POST
@signed_in
def remove_rule(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    gone = get(Rule, actor, pk=rule_id)
    rules.remove(actor, gone)
    messages.success(request, f"{gone.name} is removed. Questions that are open keep it.")
    return redirect("approval-rules")


@require_http_methods(FORM)
@signed_in
def calendar(request: HttpRequest, name: str = "") -> HttpResponse:
    """The form of a calendar, as that of a rule."""
    actor = actor_of(request)
    require(actor, Capability.RULES)
    known = get(Calendar, actor, name=name) if name else None
    if request.method == "GET":
        typed = rule_form.typed_calendar(known) if known else {"zone": actor.user.zone}
        return _calendar_page(request, known, typed)
    try:
        saved = rules.put_calendar(actor, rule_form.calendar_fields(request.POST.dict()), known)
    except Refused as refused:
        return _calendar_page(request, known, request.POST.dict(), refused)
    messages.success(request, f"{saved.name} is saved.")
    return redirect("approval-rules")


@require_POST
@signed_in
def remove_calendar(request: HttpRequest, name: str) -> HttpResponse:
    actor = actor_of(request)
    gone = get(Calendar, actor, name=name)
    try:
        rules.remove_calendar(actor, gone)
    except Refused as refused:
        require(actor, Capability.RULES)
        return _calendar_page(request, gone, rule_form.typed_calendar(gone), refused)
    messages.success(request, f"{gone.name} is removed.")
    return redirect("approval-rules")


@require_http_methods(FORM)
@signed_in
def away(request: HttpRequest) -> HttpResponse:
    """Who is away, and a form to say that one will be; the days are those of the person's own zone."""
    actor = actor_of(request)
    refused = None
    if request.method == "POST":
        try:
            made = absences.add(actor, rule_form.absence_fields(request.POST, actor.user.tzinfo))
            messages.success(request, f"{made.delegate} answers for you while you are away.")
            return redirect("away")
        except Refused as error:
            refused = error
    context: dict[str, Any] = {"rows": absences.current(actor), "colleagues": _stand_ins(actor), "refused": refused}
    context |= {"typed": request.POST, "may_end": actor.can(Capability.MEMBERS)}
    return render(request, "approvals/away.html", context, status=refused.status if refused else 200)


@require_POST
@signed_in
def end_absence(request: HttpRequest, absence_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    absences.end(actor, get(absences.current(actor), actor, pk=absence_id))
    messages.success(request, "The absence is over.")
    return redirect("away")


def _stand_ins(actor: Actor) -> list[Any]:
    found = questions.members(actor.workspace)
    able = (user for user, person in found if user != actor.user and policy.is_decider(person.roles))
    return sorted(able, key=str)


def _calendars(actor: Actor) -> Any:
    return scoped(Calendar, actor).order_by("name")


def _rule_page(
    request: HttpRequest, actor: Actor, known: Rule | None, typed: dict[str, str], refused: Refused | None = None
) -> HttpResponse:
    context = {
        "rule": known,
        "typed": typed,
        "levels": rule_form.level_rows(typed, len(known.levels) if known else 0),
        "pipelines": scoped(Pipeline, actor).filter(archived_at=None).order_by("name"),
        "calendars": _calendars(actor),
        "refused": refused,
    }
    return render(request, "approvals/rule.html", context, status=refused.status if refused else 200)


def _calendar_page(
    request: HttpRequest, known: Calendar | None, typed: dict[str, str], refused: Refused | None = None
) -> HttpResponse:
    context = {"calendar": known, "typed": typed, "days": rule_form.day_rows(typed), "refused": refused}
    return render(request, "approvals/calendar.html", context, status=refused.status if refused else 200)
