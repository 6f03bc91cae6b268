"""Templates of the gallery as they come, run through the API on a real worker, with the trace they leave."""

import pytest

from runs.models import Note
from tests.faults.caller import Caller
from tests.faults.stage import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_one_agent_keeps_its_answer_in_the_notebook_once(stage: Stage) -> None:
    caller = Caller(stage, "one-agent")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    assert set(steps) == {"start", "answer", "result"}
    assert (steps["answer"]["meta"]["turns"], steps["answer"]["meta"]["tool_calls"]) == (2, 1)
    note = Note.objects.get(workspace=stage.team.workspace)
    assert note.text == run.output == steps["answer"]["output"]
    assert "selling online" in note.text.lower()
    spans = [span["name"] for span in caller.all_of(run, "spans") if span["path"] == "answer"]
    assert [name.split()[0] for name in spans].count("chat") == 2
    assert [name for name in spans if name.startswith("execute_tool")] == ["execute_tool notes.append"]


def test_the_votes_are_counted_and_the_most_win(stage: Stage) -> None:
    caller = Caller(stage, "vote")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    votes = {name: steps[name]["output"]["label"] for name in ("facts", "tone", "request")}
    assert votes == {"facts": "problem", "tone": "praise", "request": "problem"}
    assert steps["count"]["meta"]["tied"] is False
    assert (steps["ask"]["state"], steps["chosen"]["state"]) == ("skipped", "skipped")
    assert run.output["voted"]["label"] == "problem"
    assert {vote["value"]["label"]: vote["count"] for vote in run.output["voted"]["votes"]} == {
        "problem": 2,
        "praise": 1,
    }


def test_a_tied_vote_is_decided_by_a_person(stage: Stage) -> None:
    caller = Caller(stage, "vote")
    stage.worker("w1")
    run = caller.started(message="I love your boxes, but this one came late. Can you explain how that came about?")
    asked = caller.question(run)
    assert (asked["kind"], asked["path"]) == ("answer", "ask")
    assert [vote["count"] for vote in asked["show"]["votes"]] == [1, 1, 1]
    caller.decide(asked, {"decision": "answer", "payload": {"label": "question"}})
    run = caller.ended(run)
    steps = caller.steps(run)
    assert steps["count"]["meta"]["tied"] is True
    assert steps["voted"]["state"] == "skipped"
    assert run.output["chosen"]["label"] == steps["ask"]["output"]["label"] == "question"


def test_rows_are_loaded_once_and_only_when_approved(stage: Stage) -> None:
    caller = Caller(stage, "data-pipeline")
    stage.worker("w1")
    run = caller.started()
    asked = caller.question(run)
    rows = asked["payload"]["rows"]
    assert [row["name"] for row in rows] == ["Maya Lindqvist", "Sam Okafor", "Jo Park"]
    assert all(row["note"].startswith("Spring fair: ") for row in rows)
    assert not Note.objects.exists()
    caller.decide(asked, {"decision": "approve", "payload_hash": asked["payload_hash"]})
    run = caller.ended(run)
    notes = Note.objects.filter(book="crm").values_list("contact", "text")
    assert sorted(notes) == sorted((row["name"], row["note"]) for row in rows)
    assert run.output == {"result": {"rows": rows, "loaded": 3}}
    steps = caller.steps(run)
    assert {path for path in steps if "[" in path} == {f"load[{index}].log" for index in range(3)}
    assert steps["held"]["state"] == "skipped"


def test_rows_that_are_refused_are_not_loaded(stage: Stage) -> None:
    caller = Caller(stage, "data-pipeline")
    stage.worker("w1")
    run = caller.started()
    caller.decide(caller.question(run), {"decision": "reject", "reason": "These are not ours."})
    stage.wait(run)
    assert caller.steps(run)["load"]["state"] == "skipped"
    assert not Note.objects.exists()


def test_the_code_is_reviewed_until_it_is_good(stage: Stage) -> None:
    caller = Caller(stage, "code-change")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    rounds = steps["build"]["meta"]["rounds"]
    parts = [f"build#{entry['round']}.{name}" for entry in rounds for name in ("code", "tests", "review")]
    assert list(steps) == ["start", "requirements", "design", "build", *parts, "result"]
    scores = [steps[f"build#{entry['round']}.review"]["output"]["score"] for entry in rounds]
    assert steps["build"]["meta"]["ended"] == "until"
    assert scores[-1] >= 8 > max(scores[:-1], default=0)
    last = f"build#{len(rounds)}"
    made = {"code": steps[f"{last}.code"]["output"], "tests": steps[f"{last}.tests"]["output"]}
    assert run.output["change"] == made
    assert run.output["design"] == steps["design"]["output"]
    calls = [span["path"] for span in caller.all_of(run, "spans") if span["model"]]
    assert calls == ["requirements", "design", *parts]


def test_two_write_to_one_board_and_the_first_has_the_position(stage: Stage) -> None:
    caller = Caller(stage, "blackboard")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    claims = {steps[name]["state"]: name for name in ("claim_for", "claim_against")}
    assert set(claims) == {"succeeded", "failed"}
    assert steps[claims["failed"]]["error"]["code"] == "board_conflict"
    assert {note["by"] for note in run.output["notes"]} == {"advocate", "sceptic"}
    assert run.output["position"] == steps[claims["succeeded"]]["output"]


def test_messages_wake_those_who_listen_until_it_is_quiet(stage: Stage) -> None:
    caller = Caller(stage, "message-bus")
    stage.worker("w1")
    run = caller.ended(caller.started())
    said = run.output["messages"]
    assert [line["by"] for line in said if line["turn"] == 1] == ["advocate", "sceptic"], "they listen to the task"
    assert "practitioner" in {line["by"] for line in said if line["turn"] == 2}, "a message woke who had not heard it"
    assert caller.steps(run)["talk"]["meta"]["ended"] == "quiet"


def test_leads_give_out_work_to_leads(stage: Stage) -> None:
    caller = Caller(stage, "nested-leads")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    assert {part["worker"] for part in run.output["parts"]} == {"market", "numbers"}
    assert all(part["status"] == "succeeded" for part in run.output["parts"])
    assert steps["lead>1.market>1.market_analyst"]["state"] == "succeeded"
    assert "stands between" not in run.output["answer"], "the built-in models read the task, not its frame"


def test_questions_are_answered_from_documents_with_true_quotations(stage: Stage) -> None:
    caller = Caller(stage, "document-questions")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    assert set(steps) == {"start", "find", "answer", "citations", "result", "doubtful"}
    assert (steps["result"]["state"], steps["doubtful"]["state"]) == ("succeeded", "skipped")
    answer = run.output["result"]["answer"]
    assert "“Everybody who works here full time has 28 days of holidays a year.” (holidays.md, lines" in answer
    assert "“Your team lead approves holidays within three working days.”" in answer
    spans = {span["name"]: span for span in caller.all_of(run, "spans")}
    found = spans["retrieval handbook"]
    assert (found["path"], found["attributes"]["gen_ai.data_source.id"]) == ("find", "handbook")
    assert [name for name in spans if name.startswith("chat")] == ["chat writer"]
    unanswered = caller.ended(caller.started(question="Who repairs the submarine?"))
    assert "do not say" in unanswered.output["result"]["answer"]
