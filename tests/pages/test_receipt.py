"""The page and the API of a run that a cap has stopped say what it paid for and what was refused."""

from typing import Any

import pytest

from runs.models import Call, Run
from tests.approvals.builders import an_approval
from tests.pages.builders import World, a_step
from tests.people import bearer, signed_in_as

ERROR = {
    "class": "budget",
    "code": "workspace_cap",
    "message": "The next call may cost $0.5; $0.1 is left.",
    "path": "send",
    "cap": {"cap": "budget:7:2026-11-20", "what": "cost", "limit": "1", "used": "0.9", "asked": "0.5", "path": "send"},
}


@pytest.fixture
def stopped(world: World) -> Run:
    a_step(world.run, "draft", "agent", state="succeeded", title="Draft it", cost_micros=300_000)
    for path, number in (("research", 1), ("draft", 1), ("draft", 2)):
        Call.objects.create(
            run=world.run,
            key=f"{path}@1/{number}",
            path=path,
            attempt=1,
            n=number,
            kind="model",
            name="demo/writer",
            state="finished",
            request_hash="sha256:0",
            idempotency_key=f"{path}/{number}",
            started_at=world.run.started_at,
        )
    Run.objects.filter(pk=world.run.pk).update(state="failed", reason="budget", error=ERROR, cost_micros=318_400)
    return Run.objects.get(pk=world.run.pk)


def test_the_receipt_names_the_cap_the_refused_call_and_what_each_step_cost(
    client: Any, world: World, stopped: Run
) -> None:
    headers = bearer(world.team.alice, world.team.workspace)
    found = client.get(f"/api/v1/runs/{stopped.pk}/receipt", headers=headers).json()
    assert found["steps"] == [
        {"path": "draft", "title": "Draft it", "cost_usd": "0.3", "calls": 2},
        {"path": "research", "title": "", "cost_usd": "0.0184", "calls": 1},
    ]
    assert found["stopped_by"] == {
        "scope": "workspace",
        "what": "cost",
        "limit": "1",
        "used": "0.9",
        "asked": "0.5",
        "path": "send",
        "code": "workspace_cap",
        "message": ERROR["message"],
    }


def test_the_page_shows_the_receipt_and_the_socket_brings_it(world: World, stopped: Run) -> None:
    alice = signed_in_as(world.team.alice)
    for address in (f"/runs/{stopped.pk}/", f"/runs/{stopped.pk}/changes?after=0"):
        shown = alice.get(address).content.decode()
        assert "The run stopped at its cap." in shown
        assert "$0.9 of the workspace’s $1 used or held, $0.5 refused" in shown
        assert "Draft it" in shown


def test_a_run_that_no_cap_has_stopped_has_a_receipt_without_one(client: Any, world: World) -> None:
    headers = bearer(world.team.alice, world.team.workspace)
    found = client.get(f"/api/v1/runs/{world.run.pk}/receipt", headers=headers).json()
    assert found["stopped_by"] is None
    assert [line["path"] for line in found["steps"]] == ["research"]
    assert "Receipt" not in signed_in_as(world.team.alice).get(f"/runs/{world.run.pk}/").content.decode()


def test_a_question_about_a_days_budget_says_whose_it_is(world: World) -> None:
    show = {"spent_usd": "0.9", "cap_usd": "1", "cap": "workspace_cap"}
    question = an_approval(world.run, kind="budget", roles=["manager"], payload={"add_usd": "0.5"}, show=show)
    shown = signed_in_as(world.team.carol).get(f"/approvals/{question.pk}/").content.decode()
    assert "The budget of the workspace is used up:" in shown
    assert "$0.9 of its $1 are spent or held" in shown
    own = an_approval(world.run, kind="budget", roles=["manager"], payload={"add_usd": "0.5"}, show={"cap": "run"})
    assert "The run stopped at its cap." in signed_in_as(world.team.carol).get(f"/approvals/{own.pk}/").content.decode()
