"""The pages of prices and of what-if: what is known, what is not, and nothing that rewrites what was booked."""

import datetime as dt
import re
from typing import Any

import pytest
from django.utils import timezone

from pipelines.graph.lock import Price
from pipelines.library import connections
from pipelines.library.connections import ConnectionFields
from pipelines.models import Connection, PriceChange
from runs import price_list, what_if
from runs.models import LedgerEntry, Run, Span, SpendDay
from runs.spending import Spending, booking
from tests.pages.builders import World
from tests.people import acting, bearer, signed_in_as

pytestmark = [pytest.mark.django_db, pytest.mark.one_day]
TYPED = {"model": "local/tiny", "input": "1", "output": "$2", "reason": "New list"}


@pytest.fixture
def local(world: World) -> Connection:
    Span.objects.all().delete()
    return connections.create(acting(world.team.dana), ConnectionFields("local", base_url="http://127.0.0.1:9/v1"))


def called(world: World, model: str, micros: int | None, at: dt.datetime | None = None, **fields: Any) -> None:
    at, run = at or timezone.now(), world.run
    given = {"input_tokens": 1_000_000, "output_tokens": 100_000, "status": "ok", **fields}
    Span.objects.create(
        run=run, workspace=run.workspace, pipeline=run.pipeline, span_id=f"p{Span.objects.count()}", name="chat",
        model=model, start=at, end=at, cost_micros=micros, **given,
    )  # fmt: skip


def last_month(world: World, day: int) -> dt.datetime:
    return price_list.months(world.team.workspace, timezone.now())[0][0] + dt.timedelta(days=day - 1, hours=12)


def test_an_unknown_model_stands_first_with_its_calls_until_it_has_a_price(world: World, local: Connection) -> None:
    for _ in range(3):
        called(world, "local/tiny", None)
    carol = signed_in_as(world.team.carol)
    page = carol.get("/costs/prices/").content.decode()
    assert "Unknown prices" in page
    assert '<b class="num">3</b> calls this month, counted as unknown and never as $0' in page
    assert signed_in_as(world.team.bob).get("/costs/prices/").content.decode().count("Set a price") == 0
    assert carol.post("/costs/prices/set/", {**TYPED, "reason": ""}).status_code == 422
    assert carol.post("/costs/prices/set/", {**TYPED, "input": "much"}).status_code == 422
    assert signed_in_as(world.team.bob).post("/costs/prices/set/", TYPED).status_code == 403
    assert carol.post("/costs/prices/set/", {**TYPED, "model": "ghost/tiny"}).status_code == 404
    assert carol.post("/costs/prices/set/", TYPED).status_code == 302
    page = carol.get("/costs/prices/").content.decode()
    assert "Unknown prices" not in page
    assert "New list" in page
    line = next(one for one in price_list.listed(acting(world.team.bob), timezone.now()) if one.ref == "local/tiny")
    assert (line.source, line.price, line.spending.unpriced) == ("own", Price(1_000_000, 2_000_000), 3)


def test_a_price_is_typed_for_a_moment_of_the_workspaces_clock(world: World, local: Connection) -> None:
    type(world.team.workspace).objects.filter(pk=world.team.workspace.pk).update(zone="Asia/Kathmandu")
    carol, day = signed_in_as(world.team.carol), timezone.now().date() + dt.timedelta(days=40)
    assert carol.post("/costs/prices/set/", {**TYPED, "from": f"{day}T05:45"}).status_code == 302
    assert PriceChange.objects.get().from_at == dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    assert "from" in carol.get("/costs/prices/").content.decode()
    local.refresh_from_db()
    assert local.prices == {}
    for wrong in ("2020-01-01T00:00", "soon"):
        assert carol.post("/costs/prices/set/", {**TYPED, "from": wrong}).status_code == 422


def test_a_price_is_taken_back_with_a_reason(world: World, local: Connection) -> None:
    carol = signed_in_as(world.team.carol)
    carol.post("/costs/prices/set/", TYPED)
    assert "Take it back" in carol.get("/costs/prices/set/?model=local/tiny").content.decode()
    posted = {"model": "local/tiny", "reason": ""}
    assert carol.post("/costs/prices/withdraw/", posted).status_code == 422
    assert carol.post("/costs/prices/withdraw/", {**posted, "reason": "Nobody knows"}).status_code == 302
    local.refresh_from_db()
    assert local.prices == {}


def test_a_report_of_past_calls_says_what_would_change_and_changes_nothing(world: World, local: Connection) -> None:
    called(world, "local/tiny", 500_000)
    called(world, "local/tiny", 0)
    called(world, "local/other", None)
    signed_in_as(world.team.carol).post("/costs/prices/set/", TYPED)
    Run.objects.filter(pk=world.run.pk).update(state="succeeded", owner=None, finished_at=timezone.now())
    booking.book()
    before = [list(model.objects.order_by("pk").values()) for model in (Span, SpendDay, LedgerEntry, Run)]
    assert any(before[1]), "the calls are in the books"
    tiny, other = price_list.repriced(
        acting(world.team.bob), price_list.months(world.team.workspace, timezone.now())[1]
    )
    assert (tiny.at_today, tiny.difference) == (2_400_000, 1_900_000), "two million in at $1, 0.2 million out at $2"
    assert (other.at_today, other.difference) == (None, None)
    page = signed_in_as(world.team.bob).get("/costs/prices/past/").content.decode()
    assert "+$1.90" in page
    assert "unknown price" in page
    assert [list(model.objects.order_by("pk").values()) for model in (Span, SpendDay, LedgerEntry, Run)] == before


def test_what_calls_of_unknown_price_would_have_differed_by_is_unknown(world: World, local: Connection) -> None:
    called(world, "local/tiny", 500_000)
    called(world, "local/tiny", None)
    signed_in_as(world.team.carol).post("/costs/prices/set/", TYPED)
    (tiny,) = price_list.repriced(acting(world.team.bob), price_list.months(world.team.workspace, timezone.now())[1])
    assert (tiny.spending.cost, tiny.at_today, tiny.difference) == (500_000, 2_400_000, None)
    page = signed_in_as(world.team.bob).get("/costs/prices/past/").content.decode()
    assert '<td class="r">unknown</td>' in page
    assert "1 model with an unknown price" in page
    assert re.search(r"<td>Known prices</td>.*\$0\.00.*\$0\.00", page)


def test_a_month_on_another_model_is_a_range_around_the_same_tokens(world: World, local: Connection) -> None:
    signed_in_as(world.team.carol).post("/costs/prices/set/", TYPED)
    for day, tokens in enumerate((100_000, 200_000, 300_000, 400_000, 500_000), start=1):
        called(world, "openai/x", 900_000, last_month(world, day), input_tokens=tokens, output_tokens=0)
    calls = Span.objects.count()
    headers = bearer(world.team.bob, world.team.workspace)
    answer = signed_in_as(world.team.bob).get("/api/v1/what-if?to=local/tiny", headers=headers).json()
    found = answer["range"]
    assert (found["low_usd"], found["same_tokens_usd"], found["high_usd"]) == ("1", "1.5", "2")
    assert (found["booked_usd"], found["calls"], found["days"]) == ("4.5", 5, 5)
    page = signed_in_as(world.team.bob).get("/costs/what-if/?to=local/tiny").content.decode()
    for said in ("$1.00", "$2.00", "$1.50"):
        assert said in page
    assert Span.objects.count() == calls, "no call is made"
    assert signed_in_as(world.team.bob).get("/costs/what-if/?to=local/ghost").status_code == 422
    assert (
        "No such calls" in signed_in_as(world.team.bob).get("/costs/what-if/?to=local/tiny&month=this").content.decode()
    )
    assert (
        signed_in_as(world.team.charlie).get(f"/costs/what-if/?to=demo/echo&pipeline={world.pipeline.slug}").status_code
        == 404
    )


def test_what_calls_of_unknown_price_cost_stays_unknown_beside_the_range(world: World, local: Connection) -> None:
    called(world, "local/tiny", None, last_month(world, 3))
    page = signed_in_as(world.team.bob).get("/costs/what-if/?to=demo/echo").content.decode()
    assert "unknown price" in page
    assert "the two figures do not compare" in page


@pytest.mark.parametrize(
    ("tokens", "low", "high"),
    [([], 0, 0), ([7], 7, 7), ([1, 9], 2, 18), ([1, 2, 3, 4], 4, 16), ([1, 2, 3, 4, 5], 10, 20)],
)
def test_the_range_is_that_of_the_quartiles_of_days(tokens: list[int], low: int, high: int) -> None:
    days = [Spending(input_tokens=one, calls=1) for one in tokens]
    assert what_if.spread(Price(1_000_000, 0), days, len(tokens)) == (low, high)
