"""What stands on whose desk, in which order."""

from itertools import product
from typing import Any

import pytest

from accounts.models import Membership
from accounts.roles import Role
from approvals import inbox, policy, questions, services
from approvals.models import Approval
from tests.approvals.builders import Desk, a_desk, a_question, a_run, an_approval, approve, fall_due
from tests.people import a_member, acting

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def test_the_next_due_comes_first_and_what_never_expires_last(desk: Desk) -> None:
    late, never, soon = (an_approval(desk.run, expires=seconds) for seconds in (900, None, 60))
    assert list(inbox.open_for(desk.actor("bob"))) == [soon, late, never]


def test_what_is_decided_withdrawn_or_past_its_time_is_not_on_the_desk(desk: Desk) -> None:
    decided, due, left = an_approval(desk.run), an_approval(desk.run), an_approval(desk.run)
    services.decide(desk.actor("bob"), decided.pk, approve(decided))
    fall_due(due)
    assert list(inbox.open_for(desk.actor("bob"))) == [left]
    assert [a.pk for a in inbox.just_decided(desk.actor("erin"))] == [decided.pk]


def test_a_stranger_sees_nothing(desk: Desk) -> None:
    an_approval(desk.run)
    charlie = desk.actor("charlie")
    assert not inbox.everything(charlie).exists()
    assert inbox.counts(charlie) == inbox.Counts(0, 0, 0, 0, 0)


def test_mine_is_what_waits_for_me_and_nobody_else_holds(desk: Desk) -> None:
    bob, ben = desk.actor("bob"), acting(a_member(desk.team.workspace, "ben", Role.REVIEWER))
    free, claimed, handed = an_approval(desk.run), an_approval(desk.run), an_approval(desk.run)
    services.claim(bob, claimed.pk)
    services.assign(bob, handed.pk, "ben@example.com")
    assert set(inbox.mine(bob)) == {free, claimed}
    assert set(inbox.mine(ben)) == {free, handed}
    assert set(inbox.team(ben)) == {free, claimed, handed}


def test_what_i_approved_waits_for_others_not_for_me(desk: Desk) -> None:
    bob = desk.actor("bob")
    approval = an_approval(desk.run, min_approvals=2)
    services.decide(bob, approval.pk, approve(approval))
    assert not inbox.mine(bob).exists()
    assert list(inbox.team(bob)) == [approval]


def test_the_figures_agree_with_the_lists(desk: Desk) -> None:
    bob = desk.actor("bob")
    an_approval(desk.run, expires=60)
    an_approval(desk.run, expires=3 * 86_400)
    a_question(desk.run, "answer", expires=None)
    a_question(desk.run, "budget")
    services.claim(acting(a_member(desk.team.workspace, "ben", Role.REVIEWER)), an_approval(desk.run).pk)
    counted = inbox.counts(bob)
    assert counted == inbox.Counts(mine=3, team=4, all=5, due_today=1, cannot_be_undone=2)
    assert (counted.mine, counted.team) == (inbox.mine(bob).count(), inbox.team(bob).count())


def test_what_every_page_counts_is_what_the_list_shows(desk: Desk) -> None:
    for person in (desk.team.alice, desk.team.bob, desk.team.carol):
        actor = acting(person)
        assert inbox.waiting(actor) == inbox.mine(actor).count() == inbox.counts(actor).mine, person


def test_the_figures_take_two_queries(desk: Desk, django_assert_num_queries: Any) -> None:
    bob = desk.actor("bob")
    with django_assert_num_queries(2):
        inbox.counts(bob)


def test_an_approval_knows_its_neighbours_among_mine(desk: Desk) -> None:
    bob = desk.actor("bob")
    first, second, third = (an_approval(desk.run, expires=60 * n) for n in (1, 2, 3))
    assert inbox.neighbours(first, bob) == inbox.Place(1, 3, None, second.pk)
    assert inbox.neighbours(second, bob) == inbox.Place(2, 3, first.pk, third.pk)
    services.decide(bob, second.pk, approve(second))
    assert inbox.neighbours(second, bob) == inbox.Place(0, 2, None, first.pk)


def test_the_desk_lists_exactly_what_the_rules_allow(desk: Desk) -> None:
    """Every kind, audience and set of roles: the condition in SQL says what `policy.may_answer` says."""
    editor = a_member(desk.team.workspace, "eve", Role.REVIEWER)
    other = a_run(desk.team.workspace, desk.team.dana, editor)
    audiences: list[dict[str, Any]] = [
        {"roles": []},
        {"roles": ["manager"]},
        {"roles": ["composer", "admin"]},
        {"roles": [], "people": ["dana@example.com", "eve@example.com"]},
        {"roles": [], "not_starter": False},
    ]
    for run, kind, audience in product((desk.run, other), policy.CHOICES, audiences):
        a_question(run, kind, **audience)
    sets = [[role] for role in Role] + [[Role.ADMIN, Role.REVIEWER], [Role.MANAGER, Role.COMPOSER], list(Role)]
    for who, roles in product((desk.team.dana, desk.team.alice, editor), sets):
        Membership.objects.filter(user=who).update(roles=[str(role) for role in roles])
        actor = acting(who)
        person = questions.person_of(actor)
        allowed = {a for a in Approval.objects.all() if policy.may_answer(questions.question_of(a), person) is None}
        assert set(inbox.team(actor)) == allowed, (who.email, roles)
