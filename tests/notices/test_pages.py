"""The pages of notices: unread first, marked by a form and never by looking, nobody's but their reader's."""

from notices.models import Channel, Notice, Preference
from tests.approvals.builders import Desk
from tests.notices.builders import ask, spread
from tests.people import signed_in_as


def test_a_notice_is_read_by_opening_it_and_not_by_looking(desk: Desk) -> None:
    approval = ask(desk.run)
    spread()
    bob = signed_in_as(desk.team.bob)
    page = bob.get("/notices/").content.decode()
    assert "A question waits for you" in page
    assert "Send an email to ana@northwind.example" in page
    notice = Notice.objects.get()
    assert notice.read_at is None
    answer = bob.post(f"/notices/{notice.pk}/open/")
    assert (answer.status_code, answer["Location"]) == (302, f"/approvals/{approval.pk}/")
    notice.refresh_from_db()
    assert notice.read_at is not None
    approval.refresh_from_db()
    assert approval.state == "open"


def test_a_notice_can_neither_be_seen_nor_marked_by_others(desk: Desk) -> None:
    ask(desk.run)
    spread()
    notice = Notice.objects.get()
    for name in ("alice", "dana", "charlie"):
        client = signed_in_as(getattr(desk.team, name))
        assert "A question waits" not in client.get("/notices/").content.decode()
        assert client.post(f"/notices/{notice.pk}/read/").status_code == 404
        client.post("/notices/read/")
    notice.refresh_from_db()
    assert notice.read_at is None


def test_the_bell_counts_what_is_not_read(desk: Desk) -> None:
    ask(desk.run)
    ask(desk.run)
    spread()
    bob = signed_in_as(desk.team.bob)
    counts = bob.get("/counts/").content.decode()
    assert 'id="count-notices"' in counts
    assert '<span class="count">2<span class="sr"> not read' in counts
    bob.post("/notices/read/")
    assert " not read" not in bob.get("/counts/").content.decode()


def test_a_person_keeps_how_they_are_told(desk: Desk) -> None:
    bob = signed_in_as(desk.team.bob)
    bob.post("/settings/notifications/", {"approval_requested": "off", "comment": "nonsense", "hour": "6"})
    kept = list(Preference.objects.values_list("user__email", "kind", "how"))
    assert kept == [("bob@example.com", "approval_requested", "off")]
    assert '<option value="6" selected>06:00' in bob.get("/settings/notifications/").content.decode()


def test_only_an_admin_sees_channels_and_the_key_is_shown_once(desk: Desk) -> None:
    dana, bob = signed_in_as(desk.team.dana), signed_in_as(desk.team.bob)
    form = {"name": "Ops room", "kind": "webhook", "url": "https://ops.example/hook?token=s3cret"}
    shown = dana.post("/settings/notifications/channels/", form).content.decode()
    assert "The signing key of ops-room" in shown
    page = dana.get("/settings/notifications/").content.decode()
    assert "ops-room" in page
    assert "signing key of" not in page
    assert "s3cret" not in page
    assert "ops-room" not in bob.get("/settings/notifications/").content.decode()
    assert bob.post("/settings/notifications/channels/ops-room/test/").status_code == 403
    assert Channel.objects.get().kind == "webhook"


def test_a_refused_channel_is_shown_again_with_what_was_typed(desk: Desk) -> None:
    dana = signed_in_as(desk.team.dana)
    answer = dana.post(
        "/settings/notifications/channels/", {"name": "ops", "kind": "slack", "url": "https://u:p@x.example/"}
    )
    assert answer.status_code == 422
    assert "names no user" in answer.content.decode()
    assert 'value="ops"' in answer.content.decode()
