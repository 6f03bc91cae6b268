"""What the engine's events put on the desk."""

from datetime import UTC, datetime, timedelta

import pytest

from approvals import handlers
from pipelines.graph.canonical import digest
from runs import dispatch, effects
from runs.effects import Close, Insert, RunFacts
from runs.engine.decision import Event
from tests.approvals.builders import EMAIL, asked

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ALICE, BOB, RUN = (
    "0190aaaa-0000-7000-8000-00000000000a",
    "0190aaaa-0000-7000-8000-00000000000b",
    "0190aaaa-0000-7000-8000-0000000000ff",
)


def facts(**changes: object) -> RunFacts:
    known = {"id": RUN, "workspace_id": "w", "pipeline_id": "p", "version_id": "v"}
    return RunFacts(**{**known, "started_by": ALICE, "editors": (BOB,), "now": NOW, **changes})


def row_of(**changes: object) -> dict[str, object]:
    [row] = handlers.ask(Event("approval_requested", "send", asked(**changes)), facts())
    assert isinstance(row, Insert)
    assert row.table == "approvals_approval"
    return dict(row.row)


def test_the_apps_handlers_and_its_deadline_job_are_registered() -> None:
    rows = effects.rows_for([Event("approval_requested", "send", asked())], facts())
    assert [row.table for row in rows if isinstance(row, Insert)] == ["approvals_approval", "notices_event"]
    assert effects.rows_for([Event("step_started", "send", {})], facts()) == []
    assert "expire_due" in [job.__name__ for job in dispatch.poll_jobs()]


def test_a_request_becomes_an_open_row_bound_to_its_payload() -> None:
    row = row_of(request="send#1", expires=90)
    assert row["state"] == "open"
    assert (row["run_id"], row["path"], row["request"]) == (RUN, "send", "send#1")
    assert (row["payload"], row["payload_hash"]) == (EMAIL, digest(EMAIL))
    assert row["expires_at"] == (NOW + timedelta(seconds=90)).isoformat()


def test_the_same_request_names_the_same_row_and_another_names_another() -> None:
    assert row_of(request="send#1")["id"] == row_of(request="send#1")["id"] == handlers.id_of(RUN, "send#1")
    assert row_of(request="send#1")["id"] != row_of(request="send#2")["id"]


@pytest.mark.parametrize(
    ("kind", "not_starter", "barred"),
    [
        ("approve", True, [ALICE, BOB]),
        ("approve", False, [ALICE, BOB]),
        ("edit", False, [ALICE, BOB]),
        ("failure", False, [ALICE, BOB]),
        ("budget", False, [ALICE, BOB]),
        ("outcome_unknown", False, [ALICE, BOB]),
        ("answer", True, [ALICE, BOB]),
        ("answer", False, []),
    ],
)
def test_only_a_plain_question_may_go_to_the_starter(kind: str, not_starter: bool, barred: list[str]) -> None:
    assert row_of(kind=kind, not_starter=not_starter)["barred"] == barred


def test_a_run_that_a_schedule_started_bars_only_the_editors() -> None:
    [row] = handlers.ask(Event("approval_requested", "send", asked()), facts(started_by=None))
    assert isinstance(row, Insert)
    assert row.row["barred"] == [BOB]


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({"roles": []}, ["reviewer"]),
        ({"roles": ["manager"]}, ["manager"]),
        ({"roles": [], "people": ["Bob@Example.com"]}, []),
        ({"kind": "budget", "roles": ["reviewer"]}, ["manager"]),
        ({"kind": "budget", "roles": []}, ["manager"]),
    ],
)
def test_a_question_that_names_nobody_goes_to_the_kinds_own_role(changes: dict[str, object], roles: list[str]) -> None:
    assert row_of(**changes)["roles"] == roles


def test_people_are_kept_in_lower_case() -> None:
    assert row_of(people=["Bob@Example.com"])["people"] == ["bob@example.com"]


def test_an_event_of_few_words_still_makes_a_whole_row() -> None:
    [row] = handlers.ask(Event("approval_requested", None, {"request": "r", "kind": "answer"}), facts())
    assert isinstance(row, Insert)
    assert row.row["payload_hash"] == digest(None)
    assert (row.row["expires_at"], row.row["on_expire"], row.row["min_approvals"]) == (None, "reject", 1)


def test_overlong_values_are_cut_so_that_they_cannot_fail_the_runs_commit() -> None:
    row = row_of(title="x" * 5_000, roles=["r" * 99], people=["p" * 999], min_approvals=10**9, expires=1e300)
    assert [len(str(row["title"])), len(row["roles"][0]), len(row["people"][0])] == [300, 16, 254]  # type: ignore[index]
    assert row["min_approvals"] == 32_767
    assert datetime.fromisoformat(str(row["expires_at"])) <= NOW + timedelta(days=3_650)


def test_a_withdrawn_question_is_closed_and_the_desks_own_decisions_are_left_alone() -> None:
    withdrawn = Event("approval_decided", "send", {"request": "send#1", "decision": "cancelled"})
    approved = Event("approval_decided", "send", {"request": "send#1", "decision": "approve"})
    assert handlers.withdraw(withdrawn, facts()) == [Close(RUN, "send#1")]
    assert handlers.withdraw(approved, facts()) == []
