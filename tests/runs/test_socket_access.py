"""Who may follow, asked about many at once: each gets the answer they would get alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import tokens
from accounts.ids import new_id
from accounts.models import ApiToken, Membership, User
from accounts.roles import Scope
from accounts.socket_access import NOT_YOURS, SIGN_IN_AGAIN
from runs.models import Run
from runs.socket_access import Knock, answers, knock
from tests.people import Team, a_member, a_team, signed_in_as
from tests.runs.builders import a_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def run(team: Team) -> Run:
    return a_run(team.workspace, team.alice)


def a_session(user: User) -> str:
    return str(signed_in_as(user).session.session_key)


def by_session(user: User, **wanted: Any) -> Knock:
    return Knock(a_session(user), "", **wanted)


def outcome(one: Knock) -> object:
    (answer,) = answers([one])
    return answer if isinstance(answer, int) else answer.user.email


def test_a_crowd_costs_four_queries(team: Team, run: Run, django_assert_num_queries: Any) -> None:
    people = [a_member(team.workspace, f"viewer-{number}") for number in range(30)]
    knocks = [by_session(person, run=run.pk) for person in people]
    knocks += [by_session(team.charlie, run=run.pk), Knock("forged", "", run=run.pk)]
    with django_assert_num_queries(4):
        found = answers(knocks)
    assert [answer if isinstance(answer, int) else answer.user for answer in found] == [
        *people,
        NOT_YOURS,
        SIGN_IN_AGAIN,
    ]


def test_each_hears_of_their_own_workspace_only(team: Team, run: Run) -> None:
    knocks = [by_session(who, workspace=slug) for who in (team.bob, team.charlie) for slug in ("acme", "globex", "no")]
    found = [answer if isinstance(answer, int) else answer.workspace.slug for answer in answers(knocks)]
    assert found == ["acme", NOT_YOURS, NOT_YOURS, NOT_YOURS, "globex", NOT_YOURS]
    assert outcome(by_session(team.charlie, run=run.pk)) == NOT_YOURS


def test_a_run_that_is_none_says_no_more_than_one_of_others(team: Team) -> None:
    assert outcome(by_session(team.bob, run=new_id())) == NOT_YOURS
    assert outcome(Knock("", "", run=new_id())) == SIGN_IN_AGAIN


def test_a_session_counts_as_it_is_now(team: Team, run: Run) -> None:
    one = by_session(team.bob, run=run.pk)
    assert outcome(one) == team.bob.email
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert outcome(one) == SIGN_IN_AGAIN
    Session.objects.update(expire_date=timezone.now() + timedelta(days=1))
    User.objects.filter(pk=team.bob.pk).update(is_active=False)
    assert outcome(one) == SIGN_IN_AGAIN
    User.objects.filter(pk=team.bob.pk).update(is_active=True, password="another")
    assert outcome(one) == SIGN_IN_AGAIN


def test_a_session_without_a_person_or_of_an_unknown_door_is_none(team: Team, run: Run) -> None:
    empty = SessionStore()
    empty.create()
    assert outcome(Knock(str(empty.session_key), "", run=run.pk)) == SIGN_IN_AGAIN
    other = SessionStore(a_session(team.bob))
    other[BACKEND_SESSION_KEY] = "elsewhere.Backend"
    other.save()
    assert outcome(Knock(str(other.session_key), "", run=run.pk)) == SIGN_IN_AGAIN


def test_a_member_without_roles_follows_and_one_who_left_does_not(team: Team, run: Run) -> None:
    one = by_session(a_member(team.workspace, "viewer"), run=run.pk)
    assert outcome(one) == "viewer@example.com"
    Membership.objects.filter(user__email="viewer@example.com").delete()
    assert outcome(one) == NOT_YOURS


def test_a_token_counts_more_than_the_session_beside_it(team: Team, run: Run) -> None:
    reading = tokens.create(team.carol, team.workspace, [Scope.READ])
    deciding = tokens.create(team.bob, team.workspace, [Scope.DECIDE])
    elsewhere = tokens.create(team.charlie, team.elsewhere, list(Scope))
    session = a_session(team.bob)
    knocks = [Knock(session, bare, run=run.pk) for bare in (reading, deciding, elsewhere, "baton_forged")]
    found = [answer if isinstance(answer, int) else answer.user for answer in answers(knocks)]
    assert found == [team.carol, NOT_YOURS, NOT_YOURS, SIGN_IN_AGAIN]
    ApiToken.objects.update(revoked_at=timezone.now())
    assert answers(knocks) == [SIGN_IN_AGAIN] * 4


@pytest.mark.parametrize("key", ["", "a b", "a\0b", "é" * 32, "a" * 5_000, "../x"])
def test_a_key_that_no_session_can_have_counts_as_none(key: str) -> None:
    cookie = f"{settings.SESSION_COOKIE_NAME}={key}".encode("latin-1", "replace")
    assert knock({"headers": [(b"cookie", cookie)]}).session == ""
