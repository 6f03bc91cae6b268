"""The first run: three questions, and the template that their answers lead to."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import Capability, actor_of, signed_in
from accounts.ids import new_id
from pipelines import gallery
from pipelines.gallery.needs import Consent, Way, needs_of
from pipelines.gallery.ranking import GOALS, Answers, Candidate, Proposal, propose
from pipelines.views.gallery import Card, card_of

NOTHING = "nothing"
WAYS = [(Way.MAIL, "Mail", "mail"), (Way.CRM, "CRM", "contact"), (Way.WEB, "Web", "globe")]
CONSENTS = [
    (Consent.NOBODY, "Nobody", "It works through to the end."),
    (Consent.BEFORE, "A person, before it acts", "Nothing is sent or written without a yes."),
    (Consent.PLAN, "A person, before work begins", "They read the plan first."),
    (Consent.UNSURE, "A person, when in doubt", "Only where the agents do not agree."),
]


@dataclass(frozen=True, slots=True)
class Offer:
    proposal: Proposal
    card: Card


@require_GET
@signed_in
def start(request: HttpRequest) -> HttpResponse:
    """The three questions with what they lead to; the answers stand in the address. For htmx the proposal alone."""
    answers = _answers(request.GET)
    offers = [_offer(one) for one in propose(map(_candidate, gallery.templates()), answers)]
    context = {
        "answers": answers,
        "goals": GOALS.items(),
        "ways": WAYS,
        "consents": CONSENTS,
        "nothing": answers.ways == frozenset(),
        "best": offers[0] if answers.are_there else None,
        "others": offers[1:],
        "form": new_id().hex,
        "may_use": actor_of(request).can(Capability.EDIT),
    }
    fragment = bool(getattr(request, "htmx", False))
    return render(request, "pipelines/_proposal.html" if fragment else "pipelines/start.html", context)


def _answers(given: QueryDict) -> Answers:
    """Return the answers; whatever is no answer counts as not given. "Nothing" beside a way is not meant."""
    ways = frozenset(Way(way) for way in given.getlist("leaves") if way in list(Way))
    said = bool(ways) or NOTHING in given.getlist("leaves")
    consent = given.get("yes", "")
    goal = given.get("goal", "")
    return Answers(
        text=given.get("want", "")[:500],
        goal=goal if goal in GOALS else "",
        ways=ways if said else None,
        consent=Consent(consent) if consent in list(Consent) else None,
    )


def _candidate(one: gallery.Template) -> Candidate:
    needs = needs_of(one.name)
    return Candidate(one.name, one.goal, one.words, f"{one.title} {one.summary}", needs.ways, needs.consent)


def _offer(one: Proposal) -> Offer:
    return Offer(one, card_of(gallery.template(one.name)))
