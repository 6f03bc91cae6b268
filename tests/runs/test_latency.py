"""How long runs and steps took, with waiting for people apart, is the same before and after it is booked."""

import datetime as dt
import re
from html import unescape

import pytest

from pipelines.models import Pipeline, PipelineVersion
from runs import speeds
from runs.models import Event, Run, Step, StepDay
from runs.spending import booking, latency, retention
from tests.people import Team, a_team, signed_in_as

pytestmark = pytest.mark.django_db
NOON = dt.datetime.now(dt.UTC).replace(hour=12, minute=0, second=0, microsecond=0) - dt.timedelta(days=60)
DAYS = (NOON.date(), NOON.date())


@pytest.fixture
def team() -> Team:
    return a_team()


def later(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def a_run(team: Team, number: int, state: str = "succeeded") -> Run:
    """Return a run of 100 s: 10 s of work, 60 s in which a person is waited for, 20 s of them beside a timer."""
    pipeline, _ = Pipeline.objects.get_or_create(workspace=team.workspace, slug="p", defaults={"name": "P"})
    version, _ = PipelineVersion.objects.get_or_create(
        pipeline=pipeline, number=1, defaults={"hash": "", "document": {}, "lock": {}}
    )
    run = Run.objects.create(
        workspace=team.workspace, pipeline=pipeline, version=version, number=number, state=state,
        started_at=NOON, finished_at=later(100),
    )  # fmt: skip
    write = a_step(run, "write", "agent", 10, 90)
    an_event(run, 1, "step_started", write, 10)
    an_event(run, 2, "step_waiting", write, 15, reason="approval")
    an_event(run, 3, "step_started", write, 75)
    an_event(run, 4, "step_succeeded", write, 90)
    pause = a_step(run, "loop#2.pause", "wait", 50, 80)
    an_event(run, 5, "step_waiting", pause, 50, reason="timer")
    an_event(run, 6, "step_succeeded", pause, 80)
    a_step(run, "loop", "repeat", 50, 80)
    a_step(run, "old", "agent", 0, 0.1, flags=["reused"])
    return run


def a_step(run: Run, path: str, kind: str, began: float, ended: float, **fields: object) -> Step:
    return Step.objects.create(
        run=run, path=path, node=path.rpartition(".")[2], kind=kind, port="done",
        started_at=later(began), finished_at=later(ended), **{"state": "succeeded", **fields},
    )  # fmt: skip


def an_event(run: Run, seq: int, type: str, step: Step, at: float, **payload: object) -> None:
    Event.objects.create(run=run, seq=seq, type=type, path=step.path, at=later(at), payload=payload)


def found(team: Team) -> dict[str, latency.Place]:
    return {place.node: place for place in latency.places(team.workspace, *DAYS)}


def about(seconds: float) -> object:
    return pytest.approx(seconds, rel=0.1)


def test_waiting_for_people_and_for_times_is_no_time_of_the_machine(team: Team) -> None:
    a_run(team, 1)
    for _ in range(2):
        places = found(team)
        assert set(places) == {"", "write", "pause"}, "what holds steps, and what was reused, took no time of its own"
        assert places["write"].work.p50 == about(20)
        assert places["write"].people.p95 == about(60)
        assert places["pause"].work.p50 == 0
        assert places["pause"].people.count == 0
        assert places[""].kind == "run"
        assert places[""].work.p50 == about(100 - 65), "the waits overlap: from 15 to 80"
        assert places[""].people.p50 == about(60)
        booking.book()
        assert StepDay.objects.exists()


def test_rates_and_ways_are_counted_and_other_days_and_pipelines_are_not(team: Team) -> None:
    for number, state in enumerate(["succeeded", "succeeded", "failed", "cancelled"]):
        a_run(team, number, state)
    booking.book_some(2)
    place = found(team)[""]
    assert (place.ended, place.share("succeeded"), place.share("failed")) == (4, 50, 25)
    assert found(team)["write"].ports == {"done": 4}
    assert latency.places(team.workspace, *DAYS, ["q"]) == []
    assert latency.places(team.workspace, NOON.date() + dt.timedelta(days=1), NOON.date() + dt.timedelta(days=40)) == []
    assert latency.places(team.elsewhere, *DAYS) == []


def test_retention_and_a_rebuild_change_no_time(team: Team) -> None:
    for number in range(3):
        a_run(team, number)
    booking.book()
    before = found(team)
    team.workspace.keep_days = 31
    team.workspace.save(update_fields=["keep_days"])
    retention.sweep()
    assert not Event.objects.exists()
    assert found(team) == before
    booking.rebuild(team.workspace)
    assert found(team) == before


# The runs behind a time


def test_the_runs_behind_a_time_are_those_of_its_step_the_slowest_first(team: Team) -> None:
    runs = [a_run(team, number) for number in range(3)]
    Run.objects.update(created_at=NOON)
    Step.objects.filter(run=runs[1], path="write").update(finished_at=later(95))
    spot = latency.Spot("p", "write", "agent")
    for _ in range(2):
        count, found, times = latency.behind(team.workspace, *DAYS, spot, (2, 0))
        assert (count, times) == (3, 3)
        assert [(one.run_id, one.times, one.seconds) for one in found[:1]] == [(runs[1].pk, 1, 25.0)]
        assert {one.seconds for one in latency.behind(team.workspace, *DAYS, spot, (2, 1))[1]} == {20.0}
        people = latency.Spot("p", "write", "agent", "people")
        assert {one.seconds for one in latency.behind(team.workspace, *DAYS, people, (9, 0))[1]} == {60.0}
        whole = latency.behind(team.workspace, *DAYS, latency.Spot("p", "", "run"), (9, 0))[1]
        assert [one.seconds for one in whole] == [35.0] * 3
        assert latency.by_day(team.workspace, *DAYS, spot) == {NOON.date(): 3}
        booking.book()
    assert latency.behind(team.elsewhere, *DAYS, spot, (9, 0)) == (0, [], 0)
    assert latency.behind(team.workspace, NOON.date(), NOON.date(), latency.Spot("q", "write", "agent"), (9, 0))[0] == 0


def test_a_page_of_speeds_leads_to_the_runs_behind_its_times(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [a_run(team, number) for number in range(3)]
    Run.objects.update(created_at=NOON)
    carol = signed_in_as(team.carol)
    days = f"from={NOON.date()}&to={NOON.date()}"
    page = carol.get(f"/costs/speed/?{days}").content.decode()
    links = [unescape(link) for link in re.findall(r'href="(/costs/speed/runs/[^"]+)"', page)]
    assert len(links) >= 6
    for link in links:
        listed = carol.get(link).content.decode()
        assert all(f"/runs/{run.pk}/" in listed for run in runs), link
    assert ">3</span> times: half under" in listed
    work = next(link for link in links if "step=write" in link and "part=work" in link)
    rows = carol.get(work.replace("/costs/speed/runs/", "/api/v1/costs/slowest")).json()["items"]
    assert [(row["seconds"], row["times"]) for row in rows] == [(20.0, 1)] * 3
    assert f"/runs/{runs[0].pk}/" not in signed_in_as(team.charlie).get(work).content.decode()
    monkeypatch.setattr(speeds, "MOST_TIMES", 2)
    wide = work.replace(f"to={NOON.date()}", f"to={NOON.date() + dt.timedelta(days=1)}")
    assert "choose a day" in carol.get(wide).content.decode()
    refused = carol.get(wide.replace("/costs/speed/runs/", "/api/v1/costs/slowest"))
    assert refused.json()["code"] == "too_many_lines"
    assert all(f"/runs/{run.pk}/" in carol.get(work).content.decode() for run in runs), "one day is always listed"


@pytest.mark.parametrize("query", ["", "pipeline=a&pipeline=b", "pipeline=(none)", "pipeline=p&part=dreams"])
def test_a_time_that_is_named_by_nothing_is_refused(team: Team, query: str) -> None:
    answer = signed_in_as(team.carol).get(f"/api/v1/costs/slowest?{query}")
    assert answer.status_code == 422
