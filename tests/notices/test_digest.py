"""The daily email: once a day, at the person's hour, whatever their clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from approvals import services
from notices import digest, hours, wishes
from notices.models import Digest, How, Kind, Notice
from notices.wishes import Wishes
from runs.models import Span
from tests.approvals.builders import Desk, approve
from tests.notices.builders import ask, letters, send, spread
from tests.sink import Sink

pytestmark = pytest.mark.one_day

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("after", "hour", "moment"),
    [
        ("2026-03-28T08:00", 2, "2026-03-29T01:00"),  # 02:00 is left out: it strikes at 03:00 summer time
        ("2026-03-29T01:00", 2, "2026-03-30T00:00"),
        ("2026-03-28T07:00", 8, "2026-03-29T06:00"),
        ("2026-10-24T12:00", 2, "2026-10-25T00:00"),  # 02:00 comes twice: the first counts
        ("2026-10-25T00:00", 2, "2026-10-26T01:00"),
        ("2026-10-25T00:30", 2, "2026-10-26T01:00"),
    ],
)
def test_an_hour_strikes_once_a_day_through_the_change_of_clocks(after: str, hour: int, moment: str) -> None:
    found = hours.next_digest(BERLIN, hour, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@given(
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "UTC"]
    ),
    st.integers(0, 23),
    st.integers(0, 4 * 365 * 24 * 60),
)
def test_each_local_day_has_one_digest(zone: str, hour: int, start: int) -> None:
    local, moment, days = ZoneInfo(zone), datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=start), []
    for _ in range(400):
        found = hours.next_digest(local, hour, moment)
        assert found is not None
        assert found > moment
        moment = found
        days.append(moment.astimezone(local).date())
    assert len(set(days)) == 400
    assert (days[-1] - days[0]).days == 399


def due(user: User) -> None:
    Digest.objects.filter(user=user).update(next_at=Now() - timedelta(minutes=1))


def everybody() -> None:
    digest.enrol()


def test_a_day_has_one_digest_however_often_the_hour_is_found(desk: Desk, sink: Sink) -> None:
    everybody()
    ask(desk.run)
    for _ in range(3):
        due(desk.team.bob)
        digest.write_due()
        send()
    [letter] = [one for one in letters(sink) if "Your day" in one["Subject"]]
    text = letter.get_body(("plain",)).get_content()
    assert letter["To"] == "bob@example.com"
    assert "1 question waits for you" in text
    assert "Prospect outreach" in text
    assert Digest.objects.get(user=desk.team.bob).next_at > timezone.now()


def test_when_there_is_nothing_to_say_no_digest_comes(desk: Desk, sink: Sink) -> None:
    everybody()
    for person in (desk.team.alice, desk.team.bob, desk.team.carol):
        due(person)
    digest.write_due()
    send()
    assert sink.mails == []


def test_what_was_left_for_the_digest_is_in_it_once(desk: Desk, sink: Sink) -> None:
    everybody()
    approval = ask(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval))
    spread()
    due(desk.team.alice)
    digest.write_due()
    send()
    [letter] = letters(sink)
    assert letter["To"] == "alice@example.com"
    assert "Bob approved a question" in letter.get_body(("plain",)).get_content()
    Notice.objects.filter(kind="digest").update(key="digest:of-yesterday")
    due(desk.team.alice)
    digest.write_due()
    send()
    assert len(sink.mails) == 1


def test_a_manager_reads_what_yesterday_cost_and_others_do_not(desk: Desk, sink: Sink) -> None:
    everybody()
    run, noon = desk.run, hours.day_before(ZoneInfo("UTC"), timezone.now())[0] + timedelta(hours=12)
    for number, (at, cost) in enumerate([(noon, 1_250_000), (noon, None), (noon - timedelta(days=1), 9_000_000)]):
        Span.objects.create(
            workspace=run.workspace,
            pipeline=run.pipeline,
            run=run,
            span_id=f"{number:016x}",
            name="chat",
            kind="client",
            start=at,
            end=at,
            model="demo/writer",
            cost_micros=cost,
        )
    for person in (desk.team.alice, desk.team.bob, desk.team.carol):
        due(person)
    digest.write_due()
    send()
    [letter] = letters(sink)
    assert letter["To"] == "carol@example.com"
    told = letter.get_body(("plain",)).get_content()
    assert "$1.25, and 1 calls of unknown price" in told
    assert f"{run.pipeline.name}: $1.25" in told
    assert "The day before: $9" in told
    assert f"/costs/?from={noon.date()}&to={noon.date()}" in told


def test_nobody_who_left_gets_a_digest(desk: Desk, sink: Sink) -> None:
    everybody()
    ask(desk.run)
    User.objects.filter(pk=desk.team.bob.pk).update(is_active=False)
    due(desk.team.bob)
    digest.write_due()
    send()
    assert sink.mails == []


def test_each_chooses_for_themselves_how_they_are_told(desk: Desk, sink: Sink) -> None:
    bob = desk.actor("bob")
    wishes.put(bob, Wishes({Kind.ASKED: How.OFF}, None))
    ask(desk.run)
    spread()
    send()
    assert sink.mails == []
    assert Notice.objects.get().user == desk.team.bob
    assert Digest.objects.get(user=desk.team.bob).next_at is None
    assert wishes.of(desk.actor("carol")).kinds[Kind.ASKED] == How.NOW
