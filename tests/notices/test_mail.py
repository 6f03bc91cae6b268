"""Emails through a real mail server: who gets one, once, and what it can and cannot say."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, Membership, User, Workspace
from accounts.roles import Role
from approvals import attention, services
from approvals.models import Approval
from notices import inbox, sending
from notices.models import Delivery, Event, Notice
from tests.approvals.builders import Desk, a_rule, approve, wait
from tests.notices.builders import alert, ask, delivered, letters, named, send, spread
from tests.people import a_member, acting, signed_in_as
from tests.sink import Sink


def test_a_question_is_mailed_to_those_who_may_answer_it_and_to_nobody_else(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run)
    spread()
    assert named("approval_requested") == ["bob"]
    assert send() == 1
    [letter] = letters(sink)
    assert (letter["To"], letter["From"]) == ("bob@example.com", "baton@acme.example")
    assert letter["Subject"].startswith("[Acme] A question waits for you: Prospect outreach, run ")
    assert letter["List-Unsubscribe"] == "<https://baton.example/settings/notifications/>"
    text = letter.get_body(("plain",)).get_content()
    assert f"https://baton.example/approvals/{approval.pk}/" in text
    assert "Cannot be undone" in text
    html = letter.get_body(("html",)).get_content()
    assert f'<a href="https://baton.example/approvals/{approval.pk}/">' in html
    assert html.count("href=") == 2


def test_spreading_and_sending_again_tells_nobody_twice(desk: Desk, sink: Sink) -> None:
    ask(desk.run)
    for _ in range(3):
        spread()
        send()
    Event.objects.update(taken_at=None)
    spread()
    send()
    assert len(sink.mails) == 1
    assert Notice.objects.count() == 1


def test_a_question_that_falls_due_is_mailed_again(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run, expires=4 * 3_600)
    attention.attend_waking()
    spread()
    for passed in (timedelta(hours=2, minutes=1), timedelta(minutes=5)):
        send()
        wait(approval, passed)
        spread()
    send()
    [_, letter] = letters(sink)
    assert letter["To"] == "bob@example.com"
    assert f"/approvals/{approval.pk}/" in letter.get_body(("plain",)).get_content()
    assert (named("reminder"), named("approval_requested")) == (["bob"], ["bob"])


def test_a_question_that_is_passed_up_is_mailed_to_the_next_ones(desk: Desk, sink: Sink) -> None:
    mia = a_member(desk.team.workspace, "mia", Role.REVIEWER)
    mia_next = {"people": [mia.email], "within": 7_200}
    a_rule(desk.team.workspace, {"roles": ["manager"], "within": 3_600}, mia_next)
    approval = ask(desk.run, roles=["manager"], expires=86_400)
    attention.attend_waking()
    spread()
    send()
    before = len(sink.mails)
    wait(approval, timedelta(hours=1))
    spread()
    send()
    assert mia.email in {letter["To"] for letter in letters(sink)[before:]}
    assert "mia" in named("escalated")


def test_a_due_time_is_said_in_the_readers_zone(desk: Desk, sink: Sink) -> None:
    User.objects.filter(pk=desk.team.bob.pk).update(zone="Asia/Kathmandu")
    approval = ask(desk.run)
    spread()
    send()
    local = approval.expires_at.astimezone(User.objects.get(pk=desk.team.bob.pk).tzinfo)
    text = letters(sink)[0].get_body(("plain",)).get_content()
    assert f"Due: {local:%a %-d %b %Y, %H:%M} (Asia/Kathmandu)" in text


def test_a_members_end_before_the_sending_ends_what_they_are_told(desk: Desk, sink: Sink) -> None:
    ask(desk.run)
    spread()
    Membership.objects.filter(user=desk.team.bob).delete()
    send()
    assert sink.mails == []
    assert delivered() == [("dropped", 1)]


def test_a_deactivated_member_is_told_nothing(desk: Desk, sink: Sink) -> None:
    User.objects.filter(pk=desk.team.bob.pk).update(is_active=False)
    ask(desk.run)
    spread()
    send()
    assert (sink.mails, Notice.objects.count()) == ([], 0)


def without_content(desk: Desk) -> None:
    Workspace.objects.filter(pk=desk.team.workspace.pk).update(without_content=["manager"])


def test_who_sees_no_content_is_told_of_no_question_but_about_money(desk: Desk, sink: Sink) -> None:
    without_content(desk)
    ask(desk.run, roles=["reviewer", "manager"])
    ask(desk.run, kind="budget", action=None, roles=["manager"], payload={"add_usd": "2.00"}, title="$2 more")
    spread()
    assert named("approval_requested") == ["bob", "carol"]
    assert Notice.objects.get(user=desk.team.carol).approval == Approval.objects.get(kind="budget")


def test_what_waits_to_be_mailed_is_dropped_for_who_sees_no_content_any_more(desk: Desk, sink: Sink) -> None:
    ask(desk.run, roles=["manager"])
    spread()
    without_content(desk)
    send()
    assert (sink.mails, delivered()) == ([], [("dropped", 1)])


def test_a_question_that_is_answered_before_the_sending_is_not_mailed(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run)
    spread()
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    send()
    assert [mail["to"] for mail in sink.mails] == []
    assert delivered() == [("dropped", 1)]


def test_a_question_that_is_closed_by_now_is_told_to_nobody(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    spread()
    assert named("approval_requested") == []


HOSTILE = (
    "Urgent\r\nBcc: everyone@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example/login "
    "www.evil.example \u202egpj.exe\u0007 <!channel> <a href='https://evil.example'>here</a>"
)


def test_what_a_model_wrote_makes_no_header_and_no_link(desk: Desk, sink: Sink) -> None:
    payload = {"tool": "email.send@1", "args": {"to": "ana@northwind.example", "subject": HOSTILE, "body": "x"}}
    desk.run.pipeline.name = "Out\r\nBcc: a@evil.example"
    desk.run.pipeline.save()
    ask(desk.run, payload=payload, title=HOSTILE)
    spread()
    assert send() == 1
    [letter] = letters(sink)
    assert letter["Bcc"] is None
    assert "Urgent" not in letter["Subject"]
    for kind in ("plain", "html"):
        text = letter.get_body((kind,)).get_content()
        assert "evil.example" not in text
        assert "https://evil" not in text
        assert not set("\u202e\u0007") & set(text)
        assert kind == "plain" or "<script" not in text
        assert "<a href='" not in text
        assert "Urgent" in text
    assert {mail["to"] for mail in sink.mails} == {"bob@example.com"}


@pytest.mark.parametrize("email", ["bob@example.com\r\nBcc: x@evil.example", "bob@example.com, x@evil.example"])
def test_an_address_that_is_none_reaches_nobody(desk: Desk, sink: Sink, email: str) -> None:
    User.objects.filter(pk=desk.team.bob.pk).update(email=email)
    ask(desk.run)
    spread()
    send()
    assert sink.mails == []
    assert delivered() == [("dead", 1)]


def test_a_server_that_puts_off_is_asked_again_later_and_the_id_stays(desk: Desk, sink: Sink) -> None:
    User.objects.filter(pk=desk.team.bob.pk).update(email="later@example.com")
    ask(desk.run)
    spread()
    send()
    assert delivered() == [("waiting", 1)]
    assert "451" in Delivery.objects.get().error
    assert send() == 0, "it has a rest first"
    User.objects.filter(pk=desk.team.bob.pk).update(email="bob@example.com")
    Delivery.objects.update(next_at=Now())
    assert send() == 1
    assert delivered() == [("sent", 2)]


def test_a_lost_acknowledgement_is_sent_again_under_the_same_id(desk: Desk, sink: Sink) -> None:
    User.objects.filter(pk=desk.team.bob.pk).update(email="silent@example.com")
    ask(desk.run)
    spread()
    send()
    Delivery.objects.update(next_at=Now())
    send()
    assert len(sink.mails) == 2
    assert len({mail["id"] for mail in sink.mails}) == 1


def test_after_the_last_try_a_delivery_is_dead_and_says_why(desk: Desk, sink: Sink, settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    ask(desk.run)
    spread()
    for _ in range(sending.TRIES + 2):
        Delivery.objects.filter(state="waiting").update(next_at=Now())
        send()
    assert delivered() == [("dead", sending.TRIES)]
    assert "cannot be reached" in Delivery.objects.get().error


def test_what_was_given_up_is_tried_again_under_the_same_id_by_an_admin_alone(
    desk: Desk, sink: Sink, settings: Settings
) -> None:
    live, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    ask(desk.run)
    spread()
    Delivery.objects.update(attempts=sending.TRIES - 1)
    send()
    (gone,) = Delivery.objects.all()
    again = f"/settings/notifications/deliveries/{gone.pk}/again/"
    dana, bob = signed_in_as(desk.team.dana), signed_in_as(desk.team.bob)
    assert again in dana.get("/settings/notifications/").content.decode()
    assert again not in bob.get("/settings/notifications/").content.decode()
    for client, status in ((bob, 403), (signed_in_as(desk.team.charlie), 404)):
        assert client.post(again).status_code == status
    assert delivered() == [("dead", sending.TRIES)]
    settings.EMAIL_URL = live
    assert dana.post(again).status_code == 302
    assert dana.post(again).status_code == 409
    entry = AuditEntry.objects.get(action="delivery_tried_again")
    assert (entry.target, entry.data) == (str(gone.pk), {"to": "bob@example.com"})
    assert send() == 1
    assert delivered() == [("sent", sending.TRIES + 1)]
    assert len(sink.mails) == 1
    assert dana.post(again).status_code == 409


def test_what_fails_again_after_its_last_try_is_given_up_at_once(desk: Desk, sink: Sink, settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    ask(desk.run)
    spread()
    Delivery.objects.update(attempts=sending.TRIES, state="dead", ended_at=Now())
    inbox.try_again(acting(desk.team.dana), Delivery.objects.get().pk)
    send()
    assert delivered() == [("dead", sending.TRIES + 1)]


def test_a_dead_server_is_tried_once_a_pass_however_much_waits(desk: Desk, sink: Sink, settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    for _ in range(5):
        ask(desk.run)
    spread()
    assert send() == 1
    assert sorted(delivered()) == [("waiting", 0)] * 4 + [("waiting", 1)]


def test_a_sender_that_died_with_one_in_hand_delays_it_and_another_sends_it_once(desk: Desk, sink: Sink) -> None:
    ask(desk.run)
    spread()
    held = sending._claim([])
    assert held is not None
    assert send() == 0, "it is in somebody's hands"
    Delivery.objects.update(next_at=F("next_at") - timedelta(seconds=sending.CLAIM_SECONDS))
    assert send() == 1
    sending._end(held, Delivery.State.DEAD, "what a sender that was thought dead found")
    assert delivered() == [("sent", 2)]
    assert len(sink.mails) == 1


def test_a_colleague_is_told_what_was_handed_to_them(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run, people=["carol@example.com"], roles=["reviewer"])
    spread()
    send()
    sink.mails.clear()
    services.assign(desk.actor("bob"), approval.pk, "carol@example.com")
    spread()
    send()
    assert named("assigned") == ["carol"]
    [letter] = letters(sink)
    assert "Bob handed you a question" in letter["Subject"]


def test_the_starter_hears_of_a_comment_and_the_writer_does_not(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run)
    services.comment(desk.actor("bob"), approval.pk, "Why this one? See https://evil.example")
    spread()
    assert named("comment") == ["alice"]
    send()
    letter = next(one for one in letters(sink) if one["To"] == "alice@example.com")
    text = letter.get_body(("plain",)).get_content()
    assert "Why this one?" in text
    assert "https://evil" not in text


def test_a_decision_waits_for_the_daily_email_of_the_runs_starter(desk: Desk, sink: Sink) -> None:
    approval = ask(desk.run)
    spread()
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    spread()
    assert named("decided") == ["alice"]
    notice = Notice.objects.get(kind="decided")
    assert notice.subject.startswith("Bob approved a question")
    assert notice.how == "digest"
    assert not notice.deliveries.exists()


def test_a_workspaces_budget_is_told_to_its_managers_and_a_runs_cap_to_its_starter(desk: Desk, sink: Sink) -> None:
    day = {"scope": "workspace", "period": "day", "period_start": "2026-11-20"}
    alert(desk.run, **day, at=0.8, spent_usd="40.00", cap_usd="50.00")
    alert(desk.run, **day, at=0.8, spent_usd="40.00", cap_usd="50.00")
    spread()
    assert named("budget_alert") == ["carol", "dana"]
    Notice.objects.all().delete()
    alert(desk.run, at=0.5, spent_usd="1.00", cap_usd="2.00")
    spread()
    assert named("budget_alert") == ["alice"]
    notice = Notice.objects.get()
    assert notice.subject.startswith("50% of a run's cap is used")
    assert notice.data["said"] == "$1.00 of $2.00 are spent."


def test_a_stranger_is_never_told(desk: Desk, sink: Sink) -> None:
    ask(desk.run, people=["charlie@example.com"])
    alert(desk.run, scope="workspace", period="day", period_start="2026-11-20", at=1, spent_usd="1", cap_usd="1")
    spread()
    send()
    assert not Notice.objects.filter(user=desk.team.charlie).exists()
    assert not any(mail["to"].startswith("charlie") for mail in sink.mails)
    assert acting(desk.team.charlie).workspace == desk.team.elsewhere
