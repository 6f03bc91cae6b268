"""A person's sessions: shown to them alone, ended one by one or all but one, with their sockets."""

import time
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts import sessions, socket_access
from accounts.models import AuditEntry, BrowserSession
from accounts.session_store import UNKNOWN_SECONDS
from accounts.socket_access import Knock
from tests.people import Team, a_team, rested, signed_in_as

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1"
CHROME = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/128.0.0.0 Safari/537.36"

pytestmark = pytest.mark.usefixtures("site_addresses")


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    for person in (made.alice, made.bob):
        person.set_password(PASSWORD)
        person.save()
    return made


def signed_in(name: str = "alice", agent: str = FIREFOX, address: str = "192.0.2.1") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    assert client.post("/login/", {"email": f"{name}@example.com", "password": PASSWORD})["Location"] == "/"
    return client


def inside(client: Client) -> bool:
    return client.get("/api/v1/members").status_code == 200


def follows(client: Client, workspace: str = "acme") -> bool:
    [answer] = socket_access.answers([Knock(client.cookies["sessionid"].value, "", workspace)])
    return answer != socket_access.SIGN_IN_AGAIN


def test_each_sign_in_is_shown_to_its_person_alone(team: Team) -> None:
    here, _, _ = signed_in(), signed_in(agent=SAFARI, address="192.0.2.2"), signed_in("bob")
    shown = here.get("/account/").context["sessions"]
    assert [(one.device, one.address, one.is_this) for one in shown] == [
        ("Firefox on Windows", "192.0.2.1", True),
        ("Safari on iPhone", "192.0.2.2", False),
    ]


def test_everywhere_else_means_all_others_with_their_sockets_and_also_what_no_list_shows(team: Team) -> None:
    here, there, unlisted, bobs = signed_in(), signed_in(), signed_in_as(team.alice), signed_in("bob")
    assert all(follows(client) for client in (here, there, unlisted, bobs))
    assert here.post("/account/sessions/end-others/")["Location"] == "/account/"
    assert [inside(client) for client in (here, there, unlisted, bobs)] == [True, False, False, True]
    assert [follows(client) for client in (here, there, unlisted, bobs)] == [True, False, False, True]
    assert len(here.get("/account/").context["sessions"]) == 1
    assert inside(signed_in())
    entry = AuditEntry.objects.filter(action="other_sessions_ended").get()
    assert (entry.actor, entry.workspace) == ("alice@example.com", team.workspace)
    assert here.post("/account/sessions/end-others/").status_code == 302
    assert inside(here)


def test_an_operator_signs_somebody_out_everywhere_or_everybody(team: Team) -> None:
    here, there, bobs = signed_in(), signed_in_as(team.alice), signed_in("bob")
    said = StringIO()
    call_command("end_sessions", "Alice@example.com", stdout=said)
    assert said.getvalue() == "1 person is signed out everywhere, API tokens too.\n"
    assert [inside(client) for client in (here, there, bobs)] == [False, False, True]
    assert not follows(here)
    call_command("end_sessions", "--everybody", stdout=said)
    assert not inside(bobs)
    told = AuditEntry.objects.filter(action="sessions_ended").values_list("actor", flat=True)
    assert list(told).count("alice@example.com") == 2
    with pytest.raises(CommandError, match="nobody with the email nobody@"):
        call_command("end_sessions", "nobody@example.com")
    with pytest.raises(CommandError):
        call_command("end_sessions")


def test_one_session_is_ended_by_itself(team: Team) -> None:
    here, there = signed_in(), signed_in(agent=SAFARI)
    [other] = [one for one in here.get("/account/").context["sessions"] if not one.is_this]
    assert signed_in("bob").post(f"/account/sessions/{other.id}/end/").status_code == 404
    assert inside(there)
    here.post(f"/account/sessions/{other.id}/end/")
    assert [inside(client) for client in (here, there)] == [True, False]
    assert not follows(there)
    assert AuditEntry.objects.get(action="session_ended").target == "Safari on iPhone"


def test_who_only_found_a_session_ends_no_others(team: Team) -> None:
    here, there = signed_in(), signed_in(agent=SAFARI)
    [other] = [one for one in here.get("/account/").context["sessions"] if not one.is_this]
    rested(here)
    for address in ("/account/sessions/end-others/", f"/account/sessions/{other.id}/end/"):
        assert here.post(address)["Location"] == "/login/again/?next=%2Faccount%2F"
    assert inside(there)
    here.post("/login/again/", {"password": PASSWORD, "next": "/account/"})
    here.post(f"/account/sessions/{other.id}/end/")
    assert not inside(there)
    assert inside(here)


def test_signing_out_takes_the_session_off_the_list(team: Team) -> None:
    here, there = signed_in(), signed_in()
    there.post("/logout/")
    assert len(here.get("/account/").context["sessions"]) == 1
    assert BrowserSession.objects.count() == 1


def test_an_expired_session_is_not_shown(team: Team) -> None:
    here, there = signed_in(), signed_in()
    key = there.cookies["sessionid"].value
    Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert len(here.get("/account/").context["sessions"]) == 1


def test_a_session_rests_two_weeks_and_lives_thirty_days_however_much_it_is_used(team: Team) -> None:
    here = signed_in()
    assert days_left(here) == 14
    use(here, began=timedelta(days=20))
    assert days_left(here) == 10
    assert inside(here)
    assert follows(here)
    use(here, began=timedelta(days=31))
    assert not inside(here)
    assert not follows(here)


def days_left(client: Client) -> int:
    ends = Session.objects.get(session_key=client.session.session_key).expire_date
    return round((ends - timezone.now()) / timedelta(days=1))


def use(client: Client, began: timedelta) -> None:
    """Have the session used some minutes after it was last, as if it had begun so long ago."""
    session = client.session
    session[sessions.BEGAN] = int(time.time() - began.total_seconds())
    session[sessions.SEEN] -= sessions.EVERY
    session.save()
    client.get("/account/")


def test_what_nobody_has_signed_in_to_ends_within_minutes_and_is_swept(team: Team) -> None:
    """Whoever asks for a passkey or fails with one leaves a row before anything is proven."""
    for number in range(3):
        stranger = Client()
        asked = {"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}
        stranger.get("/login/passkey/", headers=asked)
        if number:
            stranger.post("/login/passkey/", {"credential": "{}"})
        assert int(stranger.cookies["sessionid"]["max-age"]) == UNKNOWN_SECONDS
    ends = Session.objects.values_list("expire_date", flat=True)
    assert len(ends) == 3
    assert max(ends) <= timezone.now() + timedelta(seconds=UNKNOWN_SECONDS)
    here = signed_in()
    assert days_left(here) == 14
    Session.objects.update(expire_date=F("expire_date") - timedelta(seconds=UNKNOWN_SECONDS))
    sessions.sweep()
    assert set(Session.objects.values_list("session_key", flat=True)) == {here.session.session_key}


def test_a_browser_that_signs_in_after_it_asked_for_a_passkey_stays_signed_in(team: Team) -> None:
    here = Client()
    here.get("/login/passkey/", headers={"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"})
    here.post("/login/", {"email": "alice@example.com", "password": PASSWORD})
    assert days_left(here) == 14
    assert int(here.cookies["sessionid"]["max-age"]) > 13 * 86_400
    here.post("/logout/")
    assert not Session.objects.exists()


def test_what_has_ended_is_swept_away_with_its_line(team: Team) -> None:
    here, there = signed_in(), signed_in()
    key = there.cookies["sessionid"].value
    Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    sessions.sweep()
    assert [one.session for one in BrowserSession.objects.all()] == [here.session.session_key]
    assert set(Session.objects.values_list("session_key", flat=True)) == {here.session.session_key}
    assert inside(here)


def test_when_it_was_seen_is_noted_once_in_minutes(team: Team) -> None:
    here = signed_in()
    BrowserSession.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    here.get("/account/")
    assert BrowserSession.objects.get().seen_at < timezone.now() - timedelta(minutes=59)
    session = here.session
    session[sessions.SEEN] -= sessions.EVERY
    session.save()
    here.get("/account/")
    assert BrowserSession.objects.get().seen_at > timezone.now() - timedelta(minutes=1)


def test_a_changed_password_ends_the_others_as_before(team: Team) -> None:
    here = signed_in()
    here.post("/account/sessions/end-others/")
    team.alice.refresh_from_db()
    team.alice.set_password("another")
    team.alice.save()
    assert not inside(here)


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (CHROME, "Chrome on macOS"),
        (f"{CHROME} Edg/128.0", "Edge on macOS"),
        ("curl/8.0", "A browser"),
        ("", "A browser"),
    ],
)
def test_a_device_is_named_as_people_name_it(agent: str, said: str) -> None:
    assert sessions.device(agent) == said
