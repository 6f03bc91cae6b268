"""Every number of the pages of costs leads to the runs that sum to it, to the micro-dollar."""

import datetime as dt
import random
import re
from html import unescape

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone

from pipelines.models import Budget
from runs import beyond, dashboards, stacks
from runs.models import LedgerEntry, Run, Span, Step
from runs.spending import booking, drill, retention
from runs.views import costs
from tests.pages.builders import World, a_model_call, a_run_of
from tests.people import signed_in_as

pytestmark = pytest.mark.one_day

_LINK = re.compile(r'href="(/costs/runs/[^"]+)"[^>]* data-(?:micros|count)="(-?\d+)"')
_BEYOND = re.compile(r'href="(/costs/beyond/[^"]+)" data-micros="(-?\d+)"')
_REASON = re.compile(r'data-part="(-?\d+)"><a class="amount" href="(/costs/reasons/[^"]+)"')
_TOTAL, _PART = re.compile(r'data-total="(-?\d+)"'), re.compile(r'data-part="(-?\d+)"')
_DAY, _NEXT = re.compile(r'href="(/costs/runs/[^"]+)" data-part="(-?\d+)"'), re.compile(r'rel="next" href="([^"]+)"')


def a_workload(world: World, runs: int = 45) -> None:
    """Make runs of two months with retries, repairs, loops, unused steps, lost calls, kept results, failures."""
    dice = random.Random(11)
    for number in range(runs):
        state = dice.choice(["succeeded", "succeeded", "failed", "cancelled", "running"])
        tags = dice.choice([[], ["eu"], ["eu", "big & <b>"]])
        ended = timezone.now() if state != "running" else None
        reason = "budget_exceeded" if state == "failed" and number % 2 else None
        via = dice.choice(["form", "api", "trigger:monday"])
        run = a_run_of(
            world.pipeline, world.team, state=state, tags=tags, finished_at=ended, reason=reason, via=via,
            started_by=dice.choice([world.team.alice, None]),
        )  # fmt: skip
        began = timezone.now() - dt.timedelta(days=dice.choice([0, 3, 27, 28, 40]))
        Run.objects.filter(pk=run.pk).update(created_at=began)
        for path in ("research", "loop#2.write", "branch"):
            Step.objects.create(run=run, path=path, node=path, kind="agent", state="succeeded")
        Step.objects.filter(run=run, path="branch").update(state="cancelled")
        for _ in range(dice.randrange(1, 5)):
            the_call(run, dice, began)


def the_call(run: Run, dice: random.Random, at: dt.datetime) -> Span:
    path = dice.choice(["research", "loop#2.write", "loop#2.write", "branch"])
    node, status = path.rpartition(".")[2], dice.choice(["ok", "ok", "ok", "error"])
    if dice.random() < 0.5:
        kind, key = dice.choice(["unconfirmed", "cache_hit"]), f"{path}@1/{dice.random()}"
        LedgerEntry.objects.create(
            run=run, kind=kind, path=f"{path}@1", call=key, model="demo/writer", at=at,
            amount_micros=dice.randrange(1, 9000),
        )  # fmt: skip
    micros = None if status == "error" else dice.choice([None, *(dice.randrange(1, 900_000) for _ in range(5))])
    return a_model_call(
        run, micros, path=path, node=node, status=status, start=at, end=at, agent=dice.choice(["writer@1", None]),
        model=dice.choice(["demo/writer", "demo/<judge>"]), again=dice.choice([None, None, "retry", "repair"]),
    )  # fmt: skip


def links(browser: Client, address: str) -> dict[str, int]:
    answer = browser.get(address)
    assert answer.status_code == 200, answer.content
    return {unescape(href): int(number) for href, number in _LINK.findall(answer.content.decode())}


def summed(browser: Client, address: str) -> tuple[int, int]:
    """Return what the page behind a number says it is, and what its runs sum to over all of its pages and days."""
    text = browser.get(address).content.decode()
    (total,) = _TOTAL.findall(text)
    days = [(unescape(href), int(part)) for href, part in _DAY.findall(text)]
    for href, part in days:
        assert summed(browser, href) == (part, part), href
    parts = [int(part) for part in _PART.findall(text)]
    while following := _NEXT.search(text):
        text = browser.get(unescape(following.group(1))).content.decode()
        parts += [int(part) for part in _PART.findall(text)]
    return int(total), sum(parts)


def trimmed(world: World) -> None:
    """Let runs end on the day they began, and have retention remove the calls of those older than a month."""
    Run.objects.exclude(finished_at=None).update(finished_at=F("created_at"))
    booking.book()
    world.team.workspace.keep_days = 31
    world.team.workspace.save(update_fields=["keep_days"])
    retention.sweep()
    assert Run.objects.exclude(trimmed_at=None).exists()


@pytest.mark.parametrize("state", ["open", "booked", "trimmed"])
def test_every_number_is_the_sum_of_the_runs_it_leads_to(world: World, state: str) -> None:
    a_workload(world)
    Budget.objects.create(workspace=world.team.workspace, period="day", max_cost_micros=100)
    if state == "booked":
        booking.book()
    if state == "trimmed":
        trimmed(world)
    browser, today = signed_in_as(world.team.carol), timezone.now().date()
    month = f"from={today - dt.timedelta(days=45 if state == 'trimmed' else 27)}&to={today}"
    seen: dict[str, int] = {}
    for by in ("pipeline", "agent", "step", "model", "tag", "person", "trigger", "outcome"):
        seen |= links(browser, f"/costs/?{month}&by={by}")
    seen |= links(browser, f"/costs/chargeback/?{month}")
    seen |= links(browser, f"/costs/chargeback/?{month}&tag=eu&person={world.team.alice.email}")
    seen |= links(browser, f"/costs/?{month}&outcome=failed&outcome=cancelled&agent=(none)&by=step")
    figures = {figure for href in seen for figure in re.findall(r"(?:figure|begun)=(\w+)", href)}
    assert figures >= {"cost", "unconfirmed", "saved", "retried", "repaired", "unused", "looped", "rest"}
    assert figures >= {"all", "succeeded", "capped", "calls", "runs", "wasted", "tagged", "charged", "carried"}
    assert len(seen) > 60
    most = {href for href in seen if re.search("figure=(cost|calls|runs)", href)}
    followed = set(seen) - most | set(random.Random(1).sample(sorted(most), 30))
    for href, number in ((href, seen[href]) for href in sorted(followed)):
        assert summed(browser, href) == (number, number), href


def test_a_number_of_more_runs_than_can_be_read_is_the_sum_of_its_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_workload(world)
    monkeypatch.setattr(drill, "MOST_CALLS", 4)
    browser, today = signed_in_as(world.team.carol), timezone.now().date()
    month = f"from={today - dt.timedelta(days=27)}&to={today}"
    seen = links(browser, f"/costs/?{month}") | links(browser, f"/costs/chargeback/?{month}")
    cut = re.compile("figure=(wasted|charged|carried|tagged|calls)")
    followed = {href: number for href, number in seen.items() if cut.search(href)}
    assert len({cut.search(href)[1] for href in followed}) == 5  # type: ignore[index]
    pages = [browser.get(href).content.decode() for href in followed]
    assert sum("choose a day" in page for page in pages) > 3
    assert sum("choose a kind" in page for page in pages) == 1
    for href, number in followed.items():
        assert summed(browser, href) == (number, number), href


def test_values_put_together_are_listed_and_sum_to_their_line_in_each_column(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (stacks, dashboards, beyond):
        monkeypatch.setattr(module, "LISTED", 1)
    monkeypatch.setattr(costs, "PAGE", 2)
    a_workload(world)
    browser, today = signed_in_as(world.team.carol), timezone.now().date()
    month = f"from={today - dt.timedelta(days=27)}&to={today}"
    for by in ("step", "trigger", "tag"):
        page = browser.get(f"/costs/?{month}&by={by}").content.decode()
        found = {unescape(href): int(number) for href, number in _BEYOND.findall(page)}
        assert len(found) > 2, "the period and its columns"
        for href, number in found.items():
            assert summed(browser, href) == (number, number), href
            for inner, part in links(browser, href).items():
                assert summed(browser, inner) == (part, part), inner


def test_each_reason_of_a_change_is_the_sum_of_pipelines_and_models(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "PAGE", 1)
    a_workload(world)
    browser, today = signed_in_as(world.team.carol), timezone.now().date()
    page = browser.get(f"/costs/?from={today - dt.timedelta(days=20)}&to={today}").content.decode()
    found = [(unescape(href), int(part)) for part, href in _REASON.findall(page)]
    assert len(found) > 3
    for href, part in found:
        assert summed(browser, href) == (part, part), href
    behind = links(browser, found[0][0])
    assert behind
    for inner, number in behind.items():
        assert summed(browser, inner) == (number, number), inner


def test_reasons_and_values_not_listed_are_of_one_workspace_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beyond, "LISTED", 0)
    a_workload(world)
    month = f"from={timezone.now().date() - dt.timedelta(days=20)}&to={timezone.now().date()}"
    for place in ("/costs/reasons/", "/costs/beyond/", "/api/v1/costs/reasons"):
        ours, theirs = (
            signed_in_as(user).get(f"{place}?{month}&workspace=acme").content.decode()
            for user in (world.team.carol, world.team.charlie)
        )
        name = world.pipeline.slug if "api" in place else world.pipeline.name
        assert (name in ours, name in theirs) == (True, False), place


def test_what_is_no_number_of_the_pages_is_refused(world: World) -> None:
    browser = signed_in_as(world.team.carol)
    for query in ("figure=charged&over=never", "figure=charged&over=2999-01-01", "figure=charged&share=a%00b"):
        assert browser.get(f"/costs/runs/?{query}").status_code == 422, query
    assert browser.get("/costs/speed/runs/?pipeline=x&state=lost").status_code == 422
    assert browser.get("/costs/reasons/?factor=luck").status_code == 422
    assert browser.get("/costs/beyond/?at=2999-01-01").status_code == 422
    assert browser.get("/approvals/health/questions/?figure=lost").status_code == 422


_SPEED = re.compile(r'href="(/costs/speed/runs/[^"]+)" data-count="(\d+)"')


@pytest.mark.parametrize("is_booked", [False, True])
def test_how_many_ended_and_how_is_the_sum_of_the_runs_it_leads_to(world: World, is_booked: bool) -> None:
    now = timezone.now()
    Step.objects.all().delete()
    for state in ("succeeded", "succeeded", "failed", "cancelled"):
        run = a_run_of(world.pipeline, world.team, state=state, started_at=now, finished_at=now)
        for path in ("research", "loop#1.write", "loop#2.write"):
            Step.objects.create(
                run=run,
                path=path,
                node=path.rpartition(".")[2],
                kind="agent",
                state=state,
                started_at=now,
                finished_at=now,
            )
    if is_booked:
        booking.book()
    browser = signed_in_as(world.team.carol)
    page = browser.get("/costs/speed/").content.decode()
    seen = {unescape(href): int(number) for href, number in _SPEED.findall(page)}
    assert sorted(seen.values()) == [1, 1, 2, 2, 2, 4, 4, 4, 8]
    for href, number in seen.items():
        assert summed(browser, href) == (number, number), href
        address = re.search(r'href="(/api/v1/costs/slowest[^"]+)"', browser.get(href).content.decode())
        assert address
        sheet = browser.get(unescape(address[1])).getvalue().decode()
        assert sum(int(line.rpartition(",")[2]) for line in sheet.splitlines()[1:]) == number
