"""What was spent is the same whether it is read from the daily books, from the spans or from both."""

import datetime as dt
import random
import re
import zoneinfo
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from django.utils import timezone

from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.models import Pipeline, PipelineVersion
from runs.models import LedgerEntry, Run, RunDay, Span, SpendDay, SpendHour, SpendVisit, Step, StepDay
from runs.spending import DIMENSIONS, Question, Spending, ask, booking, counts, retention
from runs.spending.checking import check
from tests.people import Team, a_team

pytestmark = pytest.mark.django_db
ZONE = zoneinfo.ZoneInfo("Asia/Kathmandu")  # a quarter of an hour beside the others
START = dt.datetime(2026, 11, 1, tzinfo=ZONE)
DAYS = 6
WHOLE = (START, START + dt.timedelta(days=DAYS))
CUT = (START + dt.timedelta(hours=31, minutes=7), START + dt.timedelta(days=4, hours=3))
_numbers = count(1)


@pytest.fixture
def team() -> Team:
    made = a_team()
    made.workspace.zone = ZONE.key
    made.workspace.save(update_fields=["zone"])
    return made


def a_history(team: Team, dice: random.Random, runs: int) -> None:
    """Make runs of two pipelines, some over several days, with calls that cost, fail, are unpriced, lost or saved."""
    pipelines = [Pipeline.objects.create(workspace=team.workspace, slug=f"p{k}", name="P") for k in (1, 2)]
    versions = [
        PipelineVersion.objects.create(pipeline=one, number=1, hash="", document={}, lock={}) for one in pipelines
    ]
    for _ in range(runs):
        which = dice.randrange(2)
        run = Run.objects.create(
            workspace=team.workspace,
            pipeline=pipelines[which],
            version=versions[which],
            number=next(_numbers),
            state=dice.choice(["succeeded", "succeeded", "failed", "cancelled", "running"]),
            owner=dice.choice([None, None, None, "w1"]),
            tags=dice.choice([[], ["eu"], ["eu", "big"], ["big", "eu"]]),
            started_by=dice.choice([team.alice, team.bob, None]),
            rehearsal=dice.random() < 0.2,
            via=dice.choice(["", "form", "test", "trigger:monday"]),
            reason=dice.choice([None, "budget_exceeded"]),
            cost_micros=dice.randrange(9000),
            unconfirmed_micros=dice.choice([0, 7]),
        )
        began = START + dt.timedelta(minutes=dice.randrange(DAYS * 24 * 60))
        Run.objects.filter(pk=run.pk).update(created_at=began)
        for _ in range(dice.randrange(6)):
            began += dt.timedelta(minutes=dice.choice([1, 1, 1, 1500]))
            a_call(run, dice, began)


def a_call(run: Run, dice: random.Random, at: dt.datetime) -> None:
    node, model, number = dice.choice(["write", "edit"]), dice.choice(["m/small", "m/large"]), next(_numbers)
    agent = dice.choice(["writer@1", "writer@2", None])
    status = dice.choice(["ok", "ok", "ok", "error"])
    path = dice.choice([f"{node}[{number}]", f"loop#1.{node}", f"loop#2.{node}", f"each[0].loop#13.{node}"])
    if dice.random() < 0.4 and not Step.objects.filter(run=run, path=path).exists():
        Step.objects.create(run=run, path=path, node=node, kind="agent", state=dice.choice(["succeeded", "cancelled"]))
    Span.objects.create(
        run=run, workspace=run.workspace, pipeline=run.pipeline, span_id=f"{number:016x}", name="chat", kind="client",
        path=path, node=node, agent=agent, model=model, status=status,
        start=at - dt.timedelta(seconds=2), end=at,
        input_tokens=dice.randrange(900), output_tokens=dice.choice([None, 7]),
        cost_micros=None if status == "error" else dice.choice([None, dice.randrange(5000)]),
        again=dice.choice([None, None, "retry", "repair"]),
    )  # fmt: skip
    if dice.random() < 0.3:
        kind = dice.choice(["unconfirmed", "cache_hit"])
        LedgerEntry.objects.create(
            run=run, kind=kind, path=f"{node}@1", call=f"{node}@1/{number}", model=model, at=at,
            amount_micros=dice.randrange(1, 900),
        )  # fmt: skip


Row = tuple[Mapping[str, Any], Mapping[str, int]]


def rows_of(workspace: Workspace) -> list[tuple[dt.datetime, Any, Row]]:
    """Return (moment, run, (dimensions, figures)) of every call and entry, as plain Python sees them."""
    found: list[tuple[dt.datetime, Any, Row]] = []
    for span in Span.objects.filter(workspace=workspace, model__isnull=False).select_related("run__pipeline"):
        figures = {
            "cost": span.cost_micros or 0, "priced": span.cost_micros is not None, "calls": 1,
            "unpriced": span.cost_micros is None and span.status == "ok", "failed_calls": span.status != "ok",
            "input_tokens": span.input_tokens or 0, "output_tokens": span.output_tokens or 0,
            "retried": (span.cost_micros or 0) * (span.again == "retry"),
            "repaired": (span.cost_micros or 0) * (span.again == "repair"),
            "unused": (span.cost_micros or 0) * (waste_of(span) == "unused"),
            "looped": (span.cost_micros or 0) * (waste_of(span) == "looped"),
            "milliseconds": round((span.end - span.start).total_seconds() * 1000),
        }  # fmt: skip
        place = {"agent": span.agent, "step": span.node, "model": span.model}
        found.append((span.end, span.run_id, (place | of_run(span.run) | day_of(span.end), figures)))
    for entry in LedgerEntry.objects.filter(run__workspace=workspace).select_related("run__pipeline"):
        step = entry.path.partition("@")[0]
        figures = {"unconfirmed" if entry.kind == "unconfirmed" else "saved": entry.amount_micros or 0}
        place = {"agent": None, "step": step, "model": entry.model}
        found.append((entry.at, entry.run_id, (place | of_run(entry.run) | day_of(entry.at), figures)))
    return found


def waste_of(span: Span) -> str:
    """Return what the first asking of a call was good for in a run that succeeded."""
    if span.again or span.run.state != "succeeded":
        return ""
    step = Step.objects.filter(run=span.run, path=span.path).first()
    if step and step.state != "succeeded":
        return "unused"
    return "looped" if re.search(r"#(?!1\.)", span.path or "") else ""


def of_run(run: Run) -> dict[str, Any]:
    ended = run.state in ("succeeded", "failed", "cancelled")
    is_rehearsal = run.rehearsal and run.via in ("", "form")
    trigger = "rehearsal" if is_rehearsal else run.via or ("person" if run.started_by else "program")
    return {
        "pipeline": run.pipeline.slug, "tag": run.tags or [None], "trigger": trigger,
        "person": run.started_by and run.started_by.email, "outcome": run.state if ended else "running",
    }  # fmt: skip


def day_of(moment: dt.datetime) -> dict[str, str]:
    return {"day": moment.astimezone(ZONE).date().isoformat()}


def has(own: Any, wanted: Any) -> bool:
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(value in own if isinstance(own, list) else own == value for value in values)


def expected(
    rows: Sequence[tuple[dt.datetime, Any, Row]], by: Sequence[str], time: tuple[Any, Any], only: Mapping[str, Any]
) -> dict[Any, Spending]:
    sums: dict[Any, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    runs: dict[Any, set[Any]] = defaultdict(set)
    for at, run, (place, figures) in rows:
        matches = all(has(place[name], value) for name, value in only.items())
        if not (time[0] <= at < time[1] and matches):
            continue
        keys: list[tuple[Any, ...]] = [()]
        for name in by:
            values = place[name] if name == "tag" else [place[name]]
            keys = [(*key, value) for key in keys for value in values]
        for key in keys:
            runs[key].add(run)
            for name, value in figures.items():
                sums[key][name] += value
    answer = {}
    for key, found in sums.items():
        priced, cost = found.pop("priced", 0), found.pop("cost", 0)
        answer[key] = Spending(cost=None if found["unpriced"] and not priced else cost, runs=len(runs[key]), **found)
    return answer


QUESTIONS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    *[((name,), {}) for name in DIMENSIONS],
    ((), {}),
    (("agent", "step"), {}),
    (("model", "day"), {}),
    (("step", "model", "tag"), {"outcome": "failed"}),
    (("pipeline", "day"), {"agent": "writer@1"}),
    (("person",), {"tag": "eu", "step": "write"}),
    (("agent", "model"), {"person": None, "pipeline": "p1"}),
    (("outcome",), {"tag": None, "trigger": "rehearsal"}),
    (("day",), {"person": "alice@example.com", "model": "m/large", "agent": None}),
    (("step",), {"pipeline": "nowhere"}),
    (("model",), {"pipeline": ("p1", "nowhere"), "agent": "writer@2", "tag": ("big", None)}),
    (("day",), {"person": ("bob@example.com", None), "outcome": ("failed", "cancelled")}),
]


def agrees(team: Team) -> None:
    counts_agree(team)
    rows = rows_of(team.workspace)
    for by, only in QUESTIONS:
        for time in (WHOLE, CUT):
            answer = ask(Question(team.workspace, by, *time, ZONE, only))
            assert dict(answer.lines) == expected(rows, by, time, only), (by, only, time)
            assert answer.total == expected(rows, (), time, only).get((), Spending()), (by, only, time)


def counts_agree(team: Team) -> None:
    """Every count of runs is what the runs themselves say."""
    for only in ({}, {"is_child": False, "rehearsal": False}):
        for first in (None, START.date() + dt.timedelta(days=2)):
            expected: dict[Any, list[Run]] = defaultdict(list)
            for run in Run.objects.filter(workspace=team.workspace):
                day = run.created_at.astimezone(ZONE).date()
                if (first is None or day >= first) and not (only and (run.parent_id or run.rehearsal)):
                    expected[run.pipeline_id, day, run.state].append(run)
            found = counts.count(counts.Runs(team.workspace, first, only), ("pipeline", "day", "state"))
            assert found == {
                key: counts.Count(
                    runs=len(runs),
                    cost=sum(run.cost_micros for run in runs),
                    peak=max(run.cost_micros for run in runs),
                    unconfirmed=sum(run.unconfirmed_micros for run in runs),
                    capped=sum(run.state == "failed" and "budget" in (run.reason or "") for run in runs),
                )
                for key, runs in expected.items()
            }


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_the_same_before_during_and_after_booking(team: Team, seed: int) -> None:
    dice = random.Random(seed)
    a_history(team, dice, 40)
    agrees(team)
    booking.book_some()
    assert SpendDay.objects.exists()
    assert not Run.objects.filter(booked_at__isnull=False, state="running").exists()
    agrees(team)
    a_history_goes_on(team, dice)
    agrees(team)
    booking.book()
    agrees(team)
    assert check(team.workspace).different == []


def books_of(team: Team) -> list[list[Any]]:
    tables = (SpendDay, SpendVisit, RunDay, StepDay, SpendHour)
    rows = [table.objects.filter(workspace=team.workspace).values_list() for table in tables]
    return [sorted((row[1:] for row in table), key=repr) for table in rows]


@pytest.mark.parametrize("seed", range(2))
def test_books_made_run_by_run_are_those_made_at_once(team: Team, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a_history(team, random.Random(seed), 40)
    Run.objects.filter(owner="w1").update(owner=None)
    Run.objects.update(llm_calls=3)
    while booking.book_some(1):
        pass
    by_run = books_of(team)
    assert all(by_run[:3]), "the history has days, runs over several days, and counts"
    booking.rebuild(team.workspace)
    assert books_of(team) == by_run
    monkeypatch.setattr(booking, "CALLS_AT_ONCE", 7)  # three runs of three calls each
    booking.rebuild(team.workspace)
    assert books_of(team) == by_run
    agrees(team)


def test_a_batch_ends_with_the_run_that_brings_it_to_its_calls(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    a_history(team, random.Random(8), 12)
    Run.objects.update(llm_calls=1_000, state="succeeded", owner=None)
    monkeypatch.setattr(booking, "CALLS_AT_ONCE", 10)
    assert booking.book_some() == 1, "one run alone is booked, however many its calls"
    Run.objects.update(llm_calls=4)
    assert booking.book_some() == 3


def a_history_goes_on(team: Team, dice: random.Random) -> None:
    """Runs that were under way make more calls and end."""
    for run in Run.objects.filter(booked_at=None):
        a_call(run, dice, START + dt.timedelta(minutes=dice.randrange(DAYS * 24 * 60)))
    Run.objects.filter(booked_at=None, state="running").update(state="succeeded")
    Run.objects.filter(owner="w1").update(owner=None)


def test_other_days_after_a_change_of_zone_are_exact_at_once_and_then_booked_anew(team: Team) -> None:
    a_history(team, random.Random(9), 30)
    team.workspace.zone = "UTC"
    team.workspace.save(update_fields=["zone"])
    booking.book()
    team.workspace.zone = ZONE.key
    team.workspace.save(update_fields=["zone"])
    agrees(team)
    booking.book()
    agrees(team)
    assert check(team.workspace).different == []


def test_the_check_names_a_line_that_the_spans_do_not_bear_out_and_a_rebuild_mends_it(team: Team) -> None:
    a_history(team, random.Random(3), 30)
    booking.book()
    line = SpendDay.objects.filter(cost__gt=0).first()
    assert line
    SpendDay.objects.filter(pk=line.pk).update(cost=line.cost + 1)
    different = check(team.workspace).different
    assert [text.split()[0] for text in different] == [line.day.isoformat()]
    booking.rebuild(team.workspace)
    assert check(team.workspace).different == []
    agrees(team)


def test_the_check_compares_with_the_ledger(team: Team) -> None:
    a_history(team, random.Random(4), 5)
    for span in Span.objects.exclude(cost_micros=None):
        LedgerEntry.objects.create(
            run=span.run, kind="settled", path="x@1", call=span.span_id, model="m",
            amount_micros=span.cost_micros, at=span.end,
        )  # fmt: skip
    booking.book()
    assert check(team.workspace).is_right
    LedgerEntry.objects.filter(kind="settled", amount_micros__gt=0)[:1].get().delete()
    found = check(team.workspace)
    assert not found.is_right
    assert found.told[0] > found.ledger[0]


def test_retention_removes_events_and_spans_and_no_answer_changes(team: Team) -> None:
    a_history(team, random.Random(5), 30)
    booking.book()
    Run.objects.exclude(booked_at=None).update(finished_at=timezone.now() - dt.timedelta(days=40))
    kept = Run.objects.exclude(booked_at=None).first()
    assert kept
    Run.objects.filter(pk=kept.pk).update(finished_at=timezone.now() - dt.timedelta(days=20))
    before = {str(by): ask(Question(team.workspace, by, *WHOLE, ZONE, only)) for by, only in QUESTIONS}
    retention.sweep()
    assert not Run.objects.exclude(trimmed_at=None).exists(), "nobody said that anything may go"
    team.workspace.keep_days = 30
    team.workspace.save(update_fields=["keep_days"])
    retention.sweep()
    gone = Run.objects.exclude(trimmed_at=None)
    assert gone.count() == Run.objects.exclude(booked_at=None).count() - 1
    assert kept not in gone
    assert not Span.objects.filter(run__in=gone).exists()
    after = {str(by): ask(Question(team.workspace, by, *WHOLE, ZONE, only)) for by, only in QUESTIONS}
    assert after == before
    booking.rebuild(team.workspace)
    assert {str(by): ask(Question(team.workspace, by, *WHOLE, ZONE, only)) for by, only in QUESTIONS} == before
    counts_agree(team)
    assert check(team.workspace).different == []
    sealed = SpendDay.objects.filter(is_sealed=True, calls__gt=0).earliest("day").day
    noon = dt.datetime(sealed.year, sealed.month, sealed.day, 12, tzinfo=ZONE)
    with pytest.raises(Invalid, match="only whole days"):
        ask(Question(team.workspace, (), noon, WHOLE[1], ZONE))
