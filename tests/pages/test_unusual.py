"""Runs and hours that cost far more than usual stand on the page of costs, and lead to what is behind them."""

import datetime as dt
import re
from html import unescape

import pytest
from django.utils import timezone

from runs.models import Run
from runs.spending import booking
from tests.pages.builders import World, a_model_call, a_run_of
from tests.people import signed_in_as

pytestmark = pytest.mark.one_day


def paid(world: World, micros: int, at: dt.datetime, **fields: object) -> Run:
    run = a_run_of(world.pipeline, world.team, state="succeeded", finished_at=at, cost_micros=micros, **fields)
    Run.objects.filter(pk=run.pk).update(created_at=at)
    a_model_call(run, micros, start=at, end=at)
    return run


def a_month(world: World, today: dt.datetime) -> None:
    for number in range(1, 29):
        paid(world, 100_000, today - dt.timedelta(days=number))


@pytest.mark.parametrize("booked", [False, True])
def test_a_run_above_three_times_its_pipelines_median_is_named_with_what_is_usual(world: World, booked: bool) -> None:
    now = timezone.now()
    a_month(world, now)
    dear, usual = paid(world, 310_000, now), paid(world, 299_000, now)
    rehearsal = paid(world, 900_000, now, rehearsal=True)
    if booked:
        booking.book()
    carol = signed_in_as(world.team.carol)
    page = carol.get("/costs/").content.decode()
    listed = page.split('id="unusual-h"')[1].split("</section>")[0]
    assert f"/runs/{dear.pk}/" in listed
    assert "3.1 times the usual" in listed
    assert not any(f"/runs/{run.pk}/" in listed for run in (usual, rehearsal))
    other = carol.get("/costs/?tag=eu").content.decode()
    assert 'id="unusual-h"' not in other
    assert 'id="unusual-h"' not in carol.get("/costs/?model=demo/writer").content.decode()
    assert f"/runs/{dear.pk}/" not in signed_in_as(world.team.charlie).get("/costs/").content.decode()
    (row,) = [one for one in carol.get("/api/v1/costs/anomalies").json()["items"] if one["kind"] == "run"]
    assert (row["run"], row["cost_usd"], row["usual_usd"]) == (str(dear.pk), "0.31", "0.1")


@pytest.mark.parametrize("booked", [False, True])
def test_an_hour_above_its_band_leads_to_its_runs(world: World, booked: bool) -> None:
    now = timezone.now()
    a_month(world, now)
    runs = [paid(world, 250_000, now) for _ in range(2)]
    if booked:
        booking.book()
    carol = signed_in_as(world.team.carol)
    listed = carol.get("/costs/").content.decode().split('id="unusual-h"')[1].split("</section>")[0]
    found = re.search(r'href="(/costs/runs/[^"]+)" data-micros="500000"', listed)
    assert found
    assert "usually up to" in listed
    behind = carol.get(unescape(found[1])).content.decode()
    assert 'data-total="500000"' in behind
    assert all(f"/runs/{run.pk}/" in behind for run in runs)
    assert behind.count('data-part="250000"') == 2
    sheet = re.search(r'href="(/api/v1/costs/runs[^"]+)"', behind)
    assert sheet
    assert len(carol.get(unescape(sheet[1])).getvalue().decode().strip().splitlines()) == 3
    (row,) = [one for one in carol.get("/api/v1/costs/anomalies").json()["items"] if one["kind"] == "hour"]
    assert (row["cost_usd"], row["usual_usd"]) == ("0.5", "0.3")


@pytest.mark.parametrize("hour", ["noon", "2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_hour_that_is_none_of_the_period_is_refused(world: World, hour: str) -> None:
    answer = signed_in_as(world.team.carol).get("/api/v1/costs/runs", {"hour": hour})
    assert (answer.status_code, answer.json()["code"], answer.json()["where"]) == (422, "bad_time", "/hour")
