"""Three answers lead to the template that fits, with reasons; what a template needs is read off its document."""

import pytest

from pipelines import gallery
from pipelines.gallery.needs import Consent, Way, needs_of
from pipelines.gallery.ranking import GOALS, Answers, Candidate, propose
from pipelines.views.start import _candidate

NOTHING: frozenset[Way] = frozenset()
BOTH = frozenset({Way.MAIL, Way.CRM})
CANDIDATES = [_candidate(one) for one in gallery.templates()]


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        (Answers("Write to new customers and log it", "Sell", BOTH, Consent.BEFORE), "prospect-outreach"),
        (Answers("an email to prospects", "", frozenset({Way.MAIL}), None), "prospect-outreach"),
        (Answers("reply to complaints of customers", "Support", NOTHING, Consent.UNSURE), "message-triage"),
        (Answers("blog articles about our bakery", "Create", NOTHING, Consent.NOBODY), "content-pipeline"),
        (Answers("rewriting a draft until a critic likes it", "Create"), "review-loop"),
        (Answers("plan a project", "", None, Consent.PLAN), "planned-work"),
        (Answers("sorting messages by label", "", None, Consent.UNSURE), "vote"),
        (Answers("compare several suppliers", "Research"), "portfolio-review"),
        (Answers("citations from sources", "Research"), "research-lead"),
        (Answers("contacts from a fair into the CRM", "", frozenset({Way.CRM}), Consent.BEFORE), "data-pipeline"),
        (Answers("fix a bug in our software", ""), "code-change"),
        (Answers("", "Decide"), "debate"),
        (Answers(), "one-agent"),
    ],
)
def test_the_answers_lead_to_a_template(answers: Answers, best: str) -> None:
    assert propose(CANDIDATES, answers)[0].name == best


def test_a_proposal_says_why_and_what_is_missing() -> None:
    (best, *_) = propose(CANDIDATES, Answers("answer customers", "Support", frozenset({Way.MAIL}), Consent.BEFORE))
    assert best.name == "support-desk"
    assert best.reasons[:2] == (
        "It is made to answer people.",
        "It is about “answer” and “customers”, as you wrote.",
    )
    assert best.gaps == ()
    (best, *_) = propose(CANDIDATES, Answers("blog articles", "Create", frozenset({Way.MAIL}), Consent.BEFORE))
    assert best.gaps == (
        "It does not use mail yet: add a step for it.",
        "It asks nobody yet: add a Person step.",
    )


def test_what_acts_unasked_comes_last() -> None:
    quiet = Candidate("quiet", "Sell", (), "", NOTHING, frozenset())
    loud = Candidate("loud", "Sell", (), "", BOTH, frozenset({Consent.BEFORE}))
    (first, *others) = propose([loud, quiet], Answers(goal="Sell", ways=NOTHING))
    assert (first.name, [one.name for one in others]) == ("quiet", ["loud"])
    (only,) = propose([loud], Answers(goal="Sell", ways=NOTHING))
    assert only.gaps == ("It writes to the CRM and sends email: take that step out.",)


def test_there_are_at_most_two_alternatives_and_the_second_fits_half_as_well() -> None:
    assert len(propose(CANDIDATES, Answers(goal="Create"))) == 3
    assert [one.name for one in propose(CANDIDATES, Answers())] == ["one-agent"]
    best, nearest = propose(CANDIDATES, Answers("email to a customer", "Sell", BOTH))
    assert 0 < 2 * nearest.score < best.score


def test_equal_candidates_keep_their_order() -> None:
    twins = [Candidate(name, "Create", (), "", NOTHING, frozenset()) for name in ("a", "b", "c")]
    assert [one.name for one in propose(twins, Answers(goal="Create"))] == ["a", "b", "c"]


def test_every_template_has_a_goal_that_is_offered() -> None:
    assert {one.goal for one in gallery.templates()} == set(GOALS)


@pytest.mark.parametrize(
    ("name", "says", "consent"),
    [
        ("one-agent", ["Writes in your notebook"], set()),
        ("prospect-outreach", ["Sends email", "Writes to the CRM"], {Consent.BEFORE}),
        ("data-pipeline", ["Writes to the CRM"], {Consent.BEFORE}),
        ("planned-work", [], {Consent.PLAN}),
        ("vote", [], {Consent.UNSURE}),
        ("debate", [], set()),
    ],
)
def test_what_a_template_needs_is_read_off_its_document(name: str, says: list[str], consent: set[Consent]) -> None:
    needs = needs_of(name)
    assert [action.says for action in needs.actions] == says
    assert needs.consent == consent
    assert needs.providers == ()
    assert needs.cap_micros


def test_only_what_cannot_be_undone_needs_approval() -> None:
    assert {action.says: action.approved for action in needs_of("prospect-outreach").actions} == {
        "Sends email": True,
        "Writes to the CRM": False,
    }


def test_a_template_needs_what_the_pipelines_need_that_it_starts() -> None:
    below = {member.name for member in needs_of("company-analysis").members}
    assert {member.name for member in needs_of("portfolio-review").members} >= below
