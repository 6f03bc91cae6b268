"""Channels through a real web server: signed, told once, and nothing said to those outside that need not be."""

import hashlib
import hmac

import pytest
from django.db.models.functions import Now

from accounts import secrets
from accounts.clock import database_now
from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import AuditEntry
from notices import channels, sending
from notices.channels import ChannelFields
from notices.models import Channel, Delivery, Event
from tests.approvals.builders import Desk
from tests.notices.builders import ask, delivered, requests, send, spread
from tests.sink import Sink

KEY = "a key of some length"


def a_channel(desk: Desk, sink: Sink, kind: str = "webhook", path: str = "/hook", **fields: object) -> Channel:
    secrets.put(desk.team.workspace, "ops", KEY if kind == "webhook" else f"{sink.url}{path}")
    url = f"{sink.url}{path}" if kind == "webhook" else ""
    return channels.create(desk.actor("dana"), ChannelFields("ops", kind, "ops", url, **fields))  # type: ignore[arg-type]


def mails_aside() -> None:
    Delivery.objects.filter(channel=None).delete()


def test_a_webhook_is_signed_over_time_nonce_and_body(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink)
    approval = ask(desk.run)
    spread()
    send()
    [effect] = sink.effects
    sent = effect["headers"]
    said = f"{sent['x-baton-timestamp']}.{sent['x-baton-nonce']}.{effect['body']}"
    assert sent["x-baton-signature"] == "v1=" + hmac.new(KEY.encode(), said.encode(), hashlib.sha256).hexdigest()
    [body] = requests(sink)
    assert (body["kind"], body["workspace"]) == ("approval_requested", "acme")
    assert (body["approval"], body["run"]) == (str(approval.pk), str(desk.run.pk))
    assert body["url"] == f"https://baton.example/approvals/{approval.pk}/"
    assert body["said"] is None


def test_the_words_of_a_question_leave_only_where_an_admin_says_so(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink)
    ask(desk.run)
    spread()
    send()
    assert "northwind" not in sink.effects[0]["body"]
    channels.change(desk.actor("dana"), "ops", ChannelFields("ops", "webhook", "ops", f"{sink.url}/hook", details=True))
    ask(desk.run)
    spread()
    send()
    assert "northwind" in sink.effects[1]["body"]


def test_slack_gets_text_and_blocks_that_call_nobody_and_link_to_us_alone(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, "slack", details=True)
    args = {"to": "ana@northwind.example", "subject": "<!channel> https://evil.example", "body": "x"}
    desk.run.pipeline.name = "<!here> sale"
    desk.run.pipeline.save()
    approval = ask(desk.run, payload={"tool": "email.send@1", "args": args})
    spread()
    send()
    [body] = requests(sink)
    assert body.keys() == {"text", "blocks"}
    assert "<" not in body["text"]
    assert "&lt;!here&gt; sale" in body["text"]
    texts = [body["blocks"][0]["text"], *body["blocks"][1]["elements"]]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert "https://evil" not in str(texts)
    [button] = body["blocks"][2]["elements"]
    assert button["url"] == f"https://baton.example/approvals/{approval.pk}/"
    assert "Cannot be undone" in str(texts)


def test_a_channel_is_told_once_under_one_key_and_a_new_nonce_each_try(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, path="/fail?status=503")
    ask(desk.run)
    for _ in range(3):
        spread()
        mails_aside()
        send()
    assert sink.effects == []
    Delivery.objects.update(next_at=Now())
    send()
    send()
    Event.objects.update(taken_at=None)
    spread()
    send()
    assert len(sink.effects) == 1
    assert sink.effects[0]["key"] == requests(sink)[0]["id"]
    assert next(one for one in delivered() if one[0] == "sent") == ("sent", 2)


def test_a_lost_answer_comes_again_with_the_same_id(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, path="/lose")
    ask(desk.run)
    spread()
    mails_aside()
    for _ in range(2):
        Delivery.objects.update(next_at=Now())
        send()
    assert len({effect["key"] for effect in sink.effects}) == 1
    assert len({effect["headers"]["x-baton-nonce"] for effect in sink.effects}) == 2


@pytest.mark.parametrize(("status", "after", "wait"), [(429, 77, 77), (503, 77, 77), (429, 1, sending.BACKOFF[0])])
def test_a_channel_that_asks_for_time_gets_it(desk: Desk, sink: Sink, status: int, after: int, wait: int) -> None:
    """One that asks for a second gets our own pause: it must not use up all tries within some seconds."""
    a_channel(desk, sink, path=f"/status?code={status}&after={after}")
    ask(desk.run)
    spread()
    mails_aside()
    asked = database_now()
    send()
    assert delivered() == [("waiting", 1)]
    assert wait <= (Delivery.objects.get().next_at - asked).total_seconds() < wait + 10


def test_a_refusal_is_final_and_the_channel_says_it(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, path="/status?code=410")
    ask(desk.run)
    spread()
    mails_aside()
    send()
    assert delivered() == [("dead", 1)]
    assert "answered 410" in Channel.objects.get().error


def test_the_guard_keeps_channels_from_private_addresses(desk: Desk, sink: Sink, settings: object) -> None:
    a_channel(desk, sink)
    settings.EGRESS_ALLOW = []  # type: ignore[attr-defined]
    ask(desk.run)
    spread()
    mails_aside()
    send()
    assert sink.effects == []
    assert "not a public address" in Channel.objects.get().error


@pytest.mark.parametrize(
    "address", ["http://slack.example/T0/SECRET", "https://s l/SECRET", "nonsense-SECRET", "ftp://x/SECRET"]
)
def test_an_error_never_shows_slacks_address(desk: Desk, sink: Sink, address: str) -> None:
    a_channel(desk, sink, "slack")
    secrets.put(desk.team.workspace, "ops", address)
    ask(desk.run)
    spread()
    mails_aside()
    send()
    error = Channel.objects.get().error
    assert error
    assert "SECRET" not in error + Delivery.objects.get().error


def test_a_test_reaches_only_its_channel_and_tells_nothing(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, events=())
    channels.try_out(desk.actor("dana"), "ops")
    spread()
    send()
    [body] = requests(sink)
    assert (body["kind"], body["data"]) == ("test", {})
    assert Channel.objects.get().sent_at
    assert sink.mails == []


def test_a_channel_hears_only_what_it_asked_for_and_of_its_own_workspace(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink, events=("budget_alert",))
    ask(desk.run)
    spread()
    assert not Delivery.objects.filter(channel__isnull=False).exists()


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "erin"])
def test_only_an_admin_makes_channels(desk: Desk, name: str) -> None:
    with pytest.raises(Forbidden):
        channels.create(desk.actor(name), ChannelFields("ops", "webhook", "ops", "https://x.example/"))


@pytest.mark.parametrize("url", ["", "x.example", "file:///etc/passwd", "https://u:p@x.example/", "https://x example/"])
def test_an_address_that_cannot_be_is_refused(desk: Desk, url: str) -> None:
    secrets.put(desk.team.workspace, "ops", KEY)
    with pytest.raises(Invalid) as refused:
        channels.create(desk.actor("dana"), ChannelFields("ops", "webhook", "ops", url))
    assert refused.value.code == "bad_channel"


def test_a_new_key_is_shown_once_and_kept_as_a_secret(desk: Desk) -> None:
    dana = desk.actor("dana")
    key = channels.add(dana, "ops", "webhook", "https://x.example/hook")
    assert secrets.reveal(desk.team.workspace.pk, "channel-ops") == key
    assert key not in str(list(AuditEntry.objects.values_list("data", flat=True)))
    with pytest.raises(Conflict):
        channels.add(dana, "ops", "webhook", "https://x.example/hook")
    assert secrets.reveal(desk.team.workspace.pk, "channel-ops") == key


def test_a_channel_that_goes_takes_what_was_to_be_sent_along(desk: Desk, sink: Sink) -> None:
    a_channel(desk, sink)
    ask(desk.run)
    spread()
    channels.remove(desk.actor("dana"), "ops")
    send()
    assert sink.effects == []
    assert sending.send_due() == 0
