"""Invitations and new passwords, from the form through a worker's letter to the link."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import attempts, invitations
from accounts.models import AuditEntry, Invitation, Letter, Membership, User
from notices import doorkeeper
from tests.people import Team, a_person, a_team, signed_in_as
from tests.sink import Sink
from tests.web_role import as_the_web

PASSWORD = "correct horse battery"
JSON = {"Accept": "application/json"}


@pytest.fixture
def team(transactional_db: None, sink: Sink, settings: Any) -> Team:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return a_team()


def link(sink: Sink) -> str:
    """Have letters sent, and return the path of the last one's link."""
    doorkeeper.send_due()
    found = re.findall(r"https://baton\.example(/\S+)", sink.mails[-1]["text"].replace("=\r\n", "").replace("=\n", ""))
    return str(found[0])


def invite(team: Team, email: str = "frank@example.com", role: str = "reviewer") -> None:
    answer = signed_in_as(team.dana).post("/people/invite/", {"email": email, "role": role})
    assert answer["Location"] == "/people/?workspace=acme"


def test_an_invited_person_chooses_a_password_and_is_in(team: Team, sink: Sink) -> None:
    invite(team)
    place, client = link(sink), Client()
    assert sink.mails[-1]["to"] == "frank@example.com"
    assert "Dana" in client.get(place).content.decode()
    assert "too short" in client.post(place, {"name": "Frank", "password": "short"}).content.decode()
    assert client.post(place, {"name": "Frank", "password": PASSWORD})["Location"] == "/"
    assert client.get("/api/v1/members").status_code == 200
    made = Membership.objects.get(user__email="frank@example.com")
    assert (made.roles, made.user.name) == (["reviewer"], "Frank")
    acts = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert acts == ["member_invited", "invitation_accepted", "signed_in"]
    again = Client().get(place, headers=JSON)
    assert (again.status_code, again.json()["code"]) == (410, "invitation_ended")


def test_the_web_lets_people_in_as_its_own_database_role(team: Team, sink: Sink) -> None:
    with as_the_web():
        invite(team)
    place = link(sink)
    with as_the_web():
        assert Client().get(place).status_code == 200
        assert Client().post(place, {"name": "Frank", "password": PASSWORD})["Location"] == "/"
        assert Client().post("/password/forgot/", {"email": "frank@example.com"}).status_code == 200
    renewed = link(sink)
    with as_the_web():
        answer = Client().post(renewed, {"password": "another long password"})
    assert answer["Location"] == "/login/"
    acts = ["member_invited", "invitation_accepted", "signed_in", "password_reset"]
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == acts


def test_a_known_person_signs_in_first_and_nobody_else_uses_their_link(team: Team, sink: Sink) -> None:
    team.charlie.set_password(PASSWORD)
    team.charlie.save()
    invite(team, "charlie@example.com")
    place = link(sink)
    Client().post(place, {"password": "another long password"})
    signed_in_as(team.bob).post(place)
    assert not Membership.objects.filter(user=team.charlie, workspace=team.workspace).exists()
    team.charlie.refresh_from_db()
    assert team.charlie.check_password(PASSWORD)
    assert signed_in_as(team.charlie).post(place)["Location"] == "/?workspace=acme"
    assert Membership.objects.get(user=team.charlie, workspace=team.workspace).roles == ["reviewer"]


@pytest.mark.parametrize("how", ["expired", "withdrawn", "replaced", "another mark"])
def test_an_invitation_that_ended_opens_nothing(team: Team, sink: Sink, how: str) -> None:
    invite(team)
    place = link(sink)
    made = Invitation.objects.get()
    if how == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif how == "withdrawn":
        signed_in_as(team.dana).post(f"/people/invitations/{made.pk}/withdraw/")
    elif how == "replaced":
        invite(team)
    else:
        place = place.replace(invitations.mark_of(made), "x" * 43)
    assert Client().post(place, {"password": PASSWORD}, headers=JSON).status_code == 410
    assert not User.objects.filter(email="frank@example.com").exists()


def test_only_an_admin_invites_and_withdraws(team: Team) -> None:
    for person in (team.alice, team.bob, team.carol, team.erin):
        answer = signed_in_as(person).post("/people/invite/", {"email": "f@example.com", "role": "admin"}, headers=JSON)
        assert answer.status_code == 403
    assert not Invitation.objects.exists()
    twice = signed_in_as(team.dana).post("/people/invite/", {"email": "bob@example.com", "role": "admin"}, headers=JSON)
    assert twice.json()["code"] == "already_member"


def test_an_invitation_withdrawn_before_it_was_sent_is_not_sent(team: Team, sink: Sink) -> None:
    invite(team)
    signed_in_as(team.dana).post(f"/people/invitations/{Invitation.objects.get().pk}/withdraw/")
    doorkeeper.send_due()
    assert sink.mails == []
    assert Letter.objects.get().state == Letter.State.DROPPED


def test_a_password_is_changed_once_by_whoever_has_the_mailbox(team: Team, sink: Sink) -> None:
    team.alice.set_password("an older password")
    team.alice.save()
    before = signed_in_as(team.alice)
    Client().post("/password/forgot/", {"email": "Alice@Example.com"})
    place = link(sink)
    assert Client().get(place).status_code == 200
    assert "too common" in Client().post(place, {"password": "password123456"}).content.decode()
    assert Client().post(place, {"password": PASSWORD})["Location"] == "/login/"
    assert before.get("/api/v1/members").status_code == 401
    assert Client().post("/login/", {"email": "alice@example.com", "password": PASSWORD})["Location"] == "/"
    assert AuditEntry.objects.filter(action="password_reset", workspace=team.workspace).exists()
    used = Client().post(place, {"password": "yet another password"}, headers=JSON)
    assert (used.status_code, used.json()["code"]) == (410, "link_ended")


def test_the_letter_says_how_long_its_link_holds(team: Team, sink: Sink, settings: Any) -> None:
    Client().post("/password/forgot/", {"email": "alice@example.com"})
    place = link(sink)
    assert "holds for ten minutes" in sink.mails[-1]["text"]
    assert settings.PASSWORD_RESET_TIMEOUT == 600
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().get(place, headers=JSON).json()["code"] == "link_ended"


def test_known_and_unknown_emails_get_one_answer_with_the_same_work(team: Team, sink: Sink) -> None:
    User.objects.filter(pk=team.bob.pk).update(is_active=False)
    only_there = a_person("grace")
    SocialAccount.objects.create(user=only_there, provider="sso", uid="g")
    seen = []
    for email in ("alice@example.com", "nobody@example.com", "bob@example.com", "grace@example.com"):
        with CaptureQueriesContext(connection) as queries:
            answer = Client(REMOTE_ADDR="192.0.2.9").post("/password/forgot/", {"email": email})
        text = re.sub(r'nonce="[^"]*"', "", answer.content.decode()).replace(email, "…")
        seen.append((answer.status_code, text, len(queries)))
    assert seen[0] == seen[1] == seen[2] == seen[3]
    doorkeeper.send_due()
    assert [mail["to"] for mail in sink.mails] == ["alice@example.com"]


def test_asking_often_sends_one_letter_and_then_waits(team: Team, sink: Sink) -> None:
    for _ in range(attempts.MOST):
        assert Client().post("/password/forgot/", {"email": "alice@example.com"}).status_code == 200
    assert Client().post("/password/forgot/", {"email": "bob@example.com"}).status_code == 429
    doorkeeper.send_due()
    assert len(sink.mails) == 1


def test_a_dead_mail_server_gets_the_letter_later(team: Team, sink: Sink, settings: Any) -> None:
    working, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    invite(team)
    assert doorkeeper.send_due() == 1
    letter = Letter.objects.get()
    assert (letter.state, letter.tries) == (Letter.State.WAITING, 1)
    assert doorkeeper.send_due() == 0
    settings.EMAIL_URL = working
    Letter.objects.update(next_at=timezone.now())
    assert doorkeeper.send_due() == 1
    assert Letter.objects.get().state == Letter.State.SENT
    assert len(sink.mails) == 1


def test_a_removed_member_is_gone_and_the_page_says_who_is_here(team: Team) -> None:
    dana = signed_in_as(team.dana)
    dana.post("/people/remove/", {"email": "bob@example.com"})
    shown = dana.get("/people/").content.decode()
    assert "alice@example.com" in shown
    assert not Membership.objects.filter(user=team.bob).exists()
    assert "Invite somebody" not in signed_in_as(team.alice).get("/people/").content.decode()
