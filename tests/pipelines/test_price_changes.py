"""Prices with the moment from which they hold: written once, never dated back, taken over when their moment comes."""

import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.errors import Forbidden, Invalid, NotFound
from accounts.models import AuditEntry
from pipelines.graph.lock import Price
from pipelines.library import connections, price_changes, prices
from pipelines.library.connections import ConnectionFields
from pipelines.library.price_changes import PriceFields
from pipelines.models import Connection, PriceChange
from tests.people import Team, acting

pytestmark = pytest.mark.django_db
TINY = {"tiny": {"input_per_million": "1", "output_per_million": "2", "context_window": 8000}}


@pytest.fixture
def local(team: Team) -> Connection:
    fields = ConnectionFields("local", base_url="http://127.0.0.1:9/v1", prices=TINY)
    return connections.create(acting(team.dana), fields)


def said(team: Team) -> list[tuple[str, int | None, int | None, bool]]:
    rows = price_changes.history(acting(team.alice))
    return [(row.model, row.input, row.output, row.own) for row in reversed(rows)]


def come(change: PriceChange) -> None:
    """Let the moment of a change come, by the database's clock: it was said a day ago."""
    with connection.cursor() as cursor:
        cursor.execute("set session_replication_role = replica")
        cursor.execute(
            "update pipelines_pricechange set from_at = clock_timestamp(), at = now() - interval '1 day' where id = %s",
            [change.pk],
        )
        cursor.execute("set session_replication_role = origin")


def test_a_price_holds_at_once_and_its_window_stays(team: Team, local: Connection) -> None:
    change = price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "3", "4", "0.5", reason="New list"))
    local.refresh_from_db()
    assert prices.price(team.workspace, "local/tiny") == Price(3_000_000, 4_000_000, 500_000)
    assert prices.window_among({"local": local}, "local/tiny") == 8000
    assert (change.from_at, change.own, change.reason) == (change.at, True, "New list")
    assert said(team) == [("tiny", 1_000_000, 2_000_000, True), ("tiny", 3_000_000, 4_000_000, True)]
    entry = AuditEntry.objects.get(action="price.set")
    assert (entry.target, entry.data["reason"]) == ("local/tiny", "New list")


def test_a_later_price_waits_for_its_moment(team: Team, local: Connection) -> None:
    tomorrow = timezone.now() + dt.timedelta(days=1)
    fields = PriceFields("tiny", "3", "4", from_at=tomorrow, reason="From the new contract")
    change = price_changes.set_price(acting(team.carol), local, fields)
    price_changes.apply_due()
    assert prices.price(team.workspace, "local/tiny") == Price(1_000_000, 2_000_000)
    assert price_changes.to_come(acting(team.alice)) == [change]
    come(change)
    price_changes.apply_due()
    assert prices.price(team.workspace, "local/tiny") == Price(3_000_000, 4_000_000)
    assert price_changes.to_come(acting(team.alice)) == []


def test_a_price_that_was_said_after_the_later_one_came_is_not_undone_by_it(team: Team, local: Connection) -> None:
    tomorrow = timezone.now() + dt.timedelta(days=1)
    come(
        price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "3", "4", from_at=tomorrow, reason="a"))
    )
    price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "5", "6", reason="b"))
    price_changes.apply_due()
    assert prices.price(team.workspace, "local/tiny") == Price(5_000_000, 6_000_000)


def test_a_word_that_is_taken_back_leaves_the_packaged_price_or_none(team: Team, local: Connection) -> None:
    own = connections.create(acting(team.dana), ConnectionFields("openai", prices={"gpt-5-mini": TINY["tiny"]}))
    price_changes.withdraw(acting(team.carol), own, "gpt-5-mini", "Back to the list")
    assert prices.price(team.workspace, "openai/gpt-5-mini") == Price(250_000, 2_000_000, 25_000)
    price_changes.withdraw(acting(team.carol), local, "tiny", "Nobody knows")
    assert prices.price(team.workspace, "local/tiny") is None
    assert said(team)[2:] == [("gpt-5-mini", 250_000, 2_000_000, False), ("tiny", None, None, False)]
    with pytest.raises(Invalid):
        price_changes.withdraw(acting(team.carol), local, "tiny", "again")


def test_every_way_to_a_price_leaves_a_line(team: Team, local: Connection) -> None:
    dearer = {"tiny": {"input_per_million": "7", "output_per_million": "2"}}
    connections.set_prices(acting(team.carol), local, dearer)
    connections.set_prices(acting(team.carol), local, dearer)
    local.refresh_from_db()
    connections.change(acting(team.dana), local, ConnectionFields("local", base_url=local.base_url))
    assert said(team) == [
        ("tiny", 1_000_000, 2_000_000, True),
        ("tiny", 7_000_000, 2_000_000, True),
        ("tiny", None, None, False),
    ]
    connections.create(acting(team.dana), ConnectionFields("other", base_url=local.base_url, prices=dearer))
    connections.remove(acting(team.dana), Connection.objects.get(name="other"))
    assert said(team)[3:] == [("tiny", 7_000_000, 2_000_000, True), ("tiny", None, None, False)]


def test_a_price_that_another_admin_set_meanwhile_is_not_undone_without_a_line(team: Team, local: Connection) -> None:
    """Both had the connection open when the first one saved."""
    stale = Connection.objects.get(pk=local.pk)
    price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "5", "6", reason="New list"))
    connections.change(acting(team.dana), stale, ConnectionFields("local", base_url=local.base_url, prices=TINY))
    assert said(team)[1:] == [("tiny", 5_000_000, 6_000_000, True), ("tiny", 1_000_000, 2_000_000, True)]
    price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "7", "8", reason="Newer"))
    connections.set_prices(acting(team.carol), stale, TINY)
    assert said(team)[3:] == [("tiny", 7_000_000, 8_000_000, True), ("tiny", 1_000_000, 2_000_000, True)]


def test_a_connection_that_another_admin_removed_is_not_brought_back(team: Team, local: Connection) -> None:
    stale = Connection.objects.get(pk=local.pk)
    connections.remove(acting(team.dana), local)
    acts = (
        lambda: connections.change(acting(team.dana), stale, ConnectionFields("local")),
        lambda: connections.set_prices(acting(team.carol), stale, TINY),
        lambda: connections.remove(acting(team.dana), stale),
        lambda: price_changes.set_price(acting(team.carol), stale, PriceFields("tiny", "1", "2", reason="why")),
        lambda: price_changes.withdraw(acting(team.carol), stale, "tiny", "why"),
    )
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert not Connection.objects.filter(name="local").exists()


@pytest.mark.django_db(transaction=True)
def test_whoever_changes_a_connection_waits_for_the_one_who_is_at_it(team: Team, local: Connection) -> None:
    stale = Connection.objects.get(pk=local.pk)

    def replace() -> None:
        try:
            connections.change(
                acting(team.dana), stale, ConnectionFields("local", base_url=local.base_url, prices=TINY)
            )
        finally:
            connection.close()

    thread = threading.Thread(target=replace)
    with transaction.atomic():
        price_changes.set_price(acting(team.carol), local, PriceFields("tiny", "5", "6", reason="New list"))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(20)
    assert [line[1] for line in said(team)] == [1_000_000, 5_000_000, 1_000_000]


@pytest.mark.parametrize(
    ("fields", "code", "where"),
    [
        ({"reason": " "}, "reason_needed", "/reason"),
        ({"from_at": timezone.now() - dt.timedelta(seconds=1)}, "dated_back", "/from"),
        ({"from_at": timezone.now() + dt.timedelta(days=900)}, "invalid", "/from"),
        ({"input_per_million": "-1"}, "invalid", "/input_per_million"),
        ({"output_per_million": "one"}, "invalid", "/output_per_million"),
        ({"cached_input_per_million": "9"}, "invalid", "/cached_input_per_million"),
        ({"model": ""}, "invalid", "/model"),
        ({"model": "x" * 129}, "invalid", "/model"),
        ({"model": "a\x00b"}, "invalid", "/model"),
    ],
)
def test_a_price_that_cannot_be_is_refused(
    team: Team, local: Connection, fields: dict[str, str], code: str, where: str
) -> None:
    given = {"model": "tiny", "input_per_million": "1", "output_per_million": "2", "reason": "why", **fields}
    before = PriceChange.objects.count()
    with pytest.raises(Invalid) as refused:
        price_changes.set_price(acting(team.carol), local, PriceFields(**given))  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.where) == (code, where)
    assert PriceChange.objects.count() == before


def test_only_managers_set_prices(team: Team, local: Connection) -> None:
    for person in (team.alice, team.bob, team.erin):
        with pytest.raises(Forbidden):
            price_changes.set_price(acting(person), local, PriceFields("tiny", "1", "2", reason="why"))
        with pytest.raises(Forbidden):
            price_changes.withdraw(acting(person), local, "tiny", "why")


def test_nobody_rewrites_or_dates_back_what_a_model_cost(team: Team, local: Connection) -> None:
    rows = PriceChange.objects.all()
    for change in (lambda: rows.update(input=0), rows.delete):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    back = timezone.now() - dt.timedelta(hours=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceChange.objects.create(
            workspace=team.workspace, connection="local", model="tiny", input=1, output=1, from_at=back
        )
