"""What a person approves is what runs, once (engine.md §5)."""

from typing import Any

import pytest

from pipelines.graph.canonical import digest
from runs.engine.facts import Answered, CancelRequested, StepBlocked
from tests.engine.playing import Fails, Player, a_run

EMAIL = {"to": "${input.to}", "body": "${steps.write.output}"}
SEND = {"kind": "tool", "tool": "email.send@1", "args": EMAIL}
CHAIN = "start >> write >> approve >> send >> result"


def an_email(**nodes: Any) -> Player:
    return a_run(CHAIN, {"write": "Dear Bo"}, input={"to": "bo@example.com"}, **{"send": SEND, **nodes}).play()


def test_a_guard_asks_for_exactly_the_call_that_will_run() -> None:
    player = an_email()
    (question,) = player.asked()
    call = {"tool": "email.send@1", "args": {"to": "bo@example.com", "body": "Dear Bo"}}
    assert question["payload"] == call
    assert question["payload_hash"] == digest(call)
    assert question["action"] == {"tool": "email.send@1", "effect": "irreversible"}
    assert question["trust"] == {"/args/to": "user", "/args/body": "model"}
    assert question["roles"] == ["reviewer"]
    assert question["not_starter"] is True
    assert question["expires"] == 259_200.0
    assert player.run.state == "waiting"
    assert player.last.idle


def test_the_approved_call_runs_under_its_grant() -> None:
    player = an_email()
    player.answer("approve")
    (start,) = player.started[1:]
    assert start.input == {"args": {"to": "bo@example.com", "body": "Dear Bo"}}
    assert start.grants == {digest({"tool": "email.send@1", **start.input}): "approval-of-approve!1"}
    approved = player.row("approve")
    assert approved["output"]["args"]["body"] == "Dear Bo"
    assert (approved["meta"]["decision"], approved["meta"]["who"]) == ("approve", "bob@example.com")
    assert player.play().run.state == "succeeded"


def test_an_edited_call_runs_as_edited_and_only_so() -> None:
    player = an_email()
    edited = {"tool": "email.send@1", "args": {"to": "bo@example.com", "body": "Dear Bo, hello"}}
    player.answer("approve", edited, payload_hash=digest(edited))
    start = player.started[-1]
    assert start.input == {"args": edited["args"]}
    assert start.grants == {digest(edited): "approval-of-approve!1"}
    assert start.trust["/args/body"] == "user"


@pytest.mark.parametrize(
    "forged",
    [
        {"tool": "shop.order@1", "args": {"to": "bo@example.com", "body": "Dear Bo"}},
        {"tool": "email.send@1", "args": {}, "connection": "other"},
        "anything",
    ],
)
def test_an_approval_of_something_else_allows_nothing(forged: Any) -> None:
    player = an_email()
    player.answer("approve", forged)
    assert player.paths_started() == ["write"]
    assert player.run.error["class"] == "denied"


def test_an_approval_whose_digest_does_not_fit_allows_nothing() -> None:
    player = an_email()
    player.answer("approve", player.asked()[0]["payload"], payload_hash="sha256:0")
    assert player.paths_started() == ["write"]
    assert player.run.error["code"] == "payload_changed"


def test_a_rejection_goes_its_own_way() -> None:
    drawing = "start >> write >> approve >> send >> result; approve:rejected >> tell >> result"
    player = a_run(drawing, input={"to": "bo@example.com"}, send=SEND).play()
    player.answer("reject", reason="Too long")
    assert player.row("approve")["meta"]["reason"] == "Too long"
    assert player.play().paths_started() == ["write", "tell"]
    assert player.run.state == "succeeded"


def test_what_changed_after_the_approval_is_asked_about_again() -> None:
    args = {"to": "bo@example.com", "body": "${steps.polish.output | default('draft')}"}
    player = a_run(
        "start >> approve >> polish >> send >> result", {"polish": "polished"}, send={**SEND, "args": args}
    ).play()
    player.answer("approve")
    player.play()
    (question,) = player.asked()
    assert question["request"] == "send!1"
    assert question["payload"]["args"]["body"] == "polished"
    assert player.paths_started() == ["polish"]


def test_an_unguarded_irreversible_action_asks_by_the_documents_policy() -> None:
    policy = {"irreversible": {"roles": ["manager"], "min_approvals": 2, "expires": "PT1H"}}
    player = a_run("start >> send >> result", document={"approvals": policy}).play()
    (question,) = player.asked()
    assert (question["kind"], question["roles"], question["min_approvals"]) == ("approve", ["manager"], 2)
    assert question["expires"] == 3_600.0
    assert not player.started
    player.answer("approve")
    assert player.paths_started() == ["send"]


@pytest.mark.parametrize("decision", ["reject", "expire"])
def test_a_refused_action_fails_denied(decision: str) -> None:
    player = a_run("start >> send >> result").play()
    player.answer(decision, reason="Not today")
    assert not player.started
    assert (player.run.state, player.run.error["class"]) == ("failed", "denied")
    assert "Not today" in player.run.error["message"]


def test_a_reversible_action_asks_nobody() -> None:
    assert a_run("start >> log >> result").play().paths_started() == ["log"]


def test_two_actions_need_two_approvals_even_for_the_same_call() -> None:
    same = {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}}
    player = a_run("start >> approve >> send >> again >> result", send=same, again=same).play()
    player.answer("approve")
    player.play()
    assert [question["request"] for question in player.asked()] == ["again!1"]


def test_a_retry_of_what_may_not_be_repeated_needs_a_new_approval() -> None:
    player = an_email(send={**SEND, "on_error": {"then": "ask_human"}})
    player.script["send"] = [Fails("timeout"), "sent"]
    player.answer("approve")
    player.play()
    player.answer("retry", path="send")
    (question,) = player.asked()
    assert question["kind"] == "approve"
    assert player.paths_started() == ["write", "send"]
    player.answer("approve")
    assert player.started[-1].grants == {question["payload_hash"]: f"approval-of-{question['request']}"}
    assert player.play().run.state == "succeeded"


def test_silence_is_never_consent() -> None:
    player = an_email(approve={"kind": "human", "guards": "send", "on_expire": "default", "default": "sent anyway"})
    player.answer("expire")
    assert player.row("approve")["ports"] == ["approved"]
    assert [question["request"] for question in player.asked()] == ["send!1"]
    assert player.paths_started() == ["write"]


@pytest.mark.parametrize(("wired", "port"), [(True, "expired"), (False, "rejected")])
def test_silence_takes_the_expired_way_where_there_is_one(wired: bool, port: str) -> None:
    player = a_run(
        CHAIN + ("; approve:expired >> late >> result" if wired else ""), send=SEND, input={"to": "b"}
    ).play()
    player.answer("expire")
    assert player.row("approve")["ports"] == [port]


def test_an_escalated_question_goes_to_the_next_ones_once() -> None:
    approve = {
        "kind": "human",
        "guards": "send",
        "on_expire": "escalate",
        "escalate_to": ["manager", "dana@example.com"],
    }
    player = an_email(approve=approve)
    player.answer("expire")
    (question,) = player.asked()
    assert (question["request"], question["roles"], question["people"]) == (
        "approve!2",
        ["manager"],
        ["dana@example.com"],
    )
    player.answer("expire")
    assert player.row("approve")["ports"] == ["rejected"]


def test_each_question_of_a_step_begins_with_its_own_rule() -> None:
    """That one was escalated says nothing of the next: it goes to those whom the rule names, and may escalate too."""
    policy = {"irreversible": {"roles": ["reviewer"], "on_expire": "escalate"}}
    call = {"tool": "email.send@1", "args": {"to": "bo@example.com"}}
    other = {"tool": "email.send@1", "args": {"to": "cy@example.com"}}
    wishes = [StepBlocked("do", 1, "approve", one, "Send", "It cannot be undone.") for one in (call, other)]
    player = a_run("start >> do >> result", {"do": wishes}, do={"agent": "doer@1"}, document={"approvals": policy})
    player.begin()
    player.finish("do")
    first = player.asked()[0]["roles"]
    player.answer("expire")
    assert player.asked()[0]["roles"] == [*first, "manager"]
    player.answer("approve")
    player.finish("do")
    assert player.asked()[0]["roles"] == first
    player.answer("expire")
    (question,) = player.asked()
    assert (question["roles"], question["on_expire"]) == ([*first, "manager"], "reject")
    player.answer("expire")
    assert not player.asked()


def test_an_answer_is_the_steps_output() -> None:
    ask = {"kind": "human", "mode": "answer", "form": {"type": "object"}, "not_starter": False, "show": {"a": 1}}
    player = a_run("start >> ask >> result", ask=ask, result={"kind": "output", "value": "${steps.ask.output.name}"})
    player.play()
    (question,) = player.asked()
    assert (question["kind"], question["not_starter"], question["show"]) == ("answer", False, {"a": 1})
    assert player.row("ask")["wait_reason"] == "answer"
    player.answer("answer", {"name": "Ann"})
    assert player.run.output == "Ann"


def test_an_edit_without_an_action_gives_the_edited_content() -> None:
    edit = {"kind": "human", "mode": "edit", "show": {"text": "${steps.write.output}"}}
    player = a_run("start >> write >> look >> result", {"write": "Draft"}, look=edit)
    player.play()
    assert player.asked()[0]["payload"] == {"text": "Draft"}
    player.answer("approve", {"text": "Better"})
    assert player.row("look")["output"] == {"text": "Better"}


def test_what_a_person_edits_may_be_about_a_tool_without_being_a_call() -> None:
    """What a Person step shows is the author's: only what guards an action is a call of which the tool must stand."""
    look = {"kind": "human", "mode": "edit", "show": {"tool": "hammer", "size": 3}}
    player = a_run("start >> look >> result", look=look, result={"kind": "output", "value": "${steps.look.output}"})
    player.begin()
    player.answer("approve", {"tool": "saw", "size": 4})
    assert player.run.output == {"tool": "saw", "size": 4}


def test_an_answer_counts_once_and_only_for_its_question() -> None:
    player = an_email()
    stale = Answered("approve!9", "x", "approve")
    assert not player.tell(stale, Answered("nobody!1", "x", "approve"), Answered("write!1", "x", "approve")).events
    player.answer("approve")
    again = player.tell(Answered("approve!1", "y", "reject"))
    assert not again.events
    assert player.paths_started() == ["write", "send"]


def test_a_cancelled_run_takes_its_questions_back() -> None:
    player = an_email()
    player.tell(CancelRequested("alice"))
    assert not player.asked()
    assert player.events[-1].payload["state"] == "cancelled"
    decided = [event for event in player.events if event.type == "approval_decided"]
    assert [event.payload["decision"] for event in decided] == ["cancelled"]
    assert not player.tell(Answered("approve!1", "x", "approve")).events


def test_a_question_survives_a_restart() -> None:
    player = an_email()
    player.crash()
    assert player.run.state == "waiting"
    assert not player.last.events
    player.answer("approve")
    player.crash()
    assert player.started[-1].grants
    assert player.play().run.state == "succeeded"


CALL = {"tool": "email.send@1", "args": {"to": "bo@example.com"}}


def an_agent_that_wants_to_send(**more: Any) -> Player:
    def blocked(start: Any) -> Any:
        if start.grants or start.denials or start.outcomes:
            return "done"
        return StepBlocked(start.path, start.attempt, "approve", CALL, "Send an email", "It cannot be undone.", **more)

    return a_run("start >> act >> result", {"act": blocked}).play()


def test_an_agent_goes_on_in_the_same_attempt_with_its_grant() -> None:
    player = an_agent_that_wants_to_send(trust={"/args/to": "model"})
    (question,) = player.asked()
    assert (question["kind"], question["payload"], question["trust"]) == ("approve", CALL, {"/args/to": "model"})
    assert player.row("act")["wait_reason"] == "approval"
    player.answer("approve")
    start = player.started[-1]
    assert (start.attempt, start.grants, start.edits) == (1, {digest(CALL): "approval-of-act!1"}, {})
    assert player.play().run.state == "succeeded"


def test_an_agent_is_told_what_was_edited_or_refused() -> None:
    edited = {**CALL, "args": {"to": "ann@example.com"}}
    player = an_agent_that_wants_to_send()
    player.answer("approve", edited)
    assert player.started[-1].grants == {digest(edited): "approval-of-act!1"}
    assert player.started[-1].edits == {digest(CALL): edited}
    player = an_agent_that_wants_to_send()
    player.answer("reject", reason="Wrong person")
    assert (player.started[-1].attempt, player.started[-1].denials) == (1, {digest(CALL): "Wrong person"})
    assert player.started[-1].grants == {}


def test_a_new_attempt_of_an_agent_has_no_grants() -> None:
    player = an_agent_that_wants_to_send()
    player.script["act"] = [Fails("transient"), "done"]
    player.answer("approve")
    player.play()
    assert [(start.attempt, bool(start.grants)) for start in player.started] == [(1, False), (1, True), (2, False)]


def a_lost_call(kind: str = "send") -> Player:
    def lost(start: Any) -> Any:
        if start.outcomes:
            return "sent after all"
        return StepBlocked(
            start.path, start.attempt, "outcome_unknown", CALL, "Did it go?", "It is not known.", call="c1"
        )

    drawing = "start >> send >> result" if kind == "send" else "start >> act >> result"
    player = a_run(drawing, {kind: lost}).play()
    if kind == "send":
        player.answer("approve")
        player.play()
    assert player.asked()[0]["kind"] == "outcome_unknown"
    assert player.row(kind)["wait_reason"] == "outcome_unknown"
    return player


def test_a_person_says_what_a_lost_call_did() -> None:
    player = a_lost_call()
    player.answer("use", {"id": 7})
    assert player.row("send")["output"] == {"id": 7}
    assert player.run.state == "succeeded"
    agent = a_lost_call("act")
    agent.answer("use", {"id": 7})
    assert agent.started[-1].outcomes == {"c1": {"decision": "use", "output": {"id": 7}}}
    assert agent.started[-1].attempt == 1


def test_a_lost_action_is_sent_again_only_with_an_approval_of_its_own() -> None:
    player = a_lost_call()
    started = len(player.started)
    player.answer("retry")
    assert len(player.started) == started, "whoever says that it did not happen has not approved it"
    (question,) = player.asked()
    assert (question["kind"], question["payload_hash"]) == ("approve", digest(CALL))
    player.answer("approve")
    start = player.started[-1]
    assert start.outcomes == {"c1": {"decision": "retry"}}
    assert start.grants == {digest(CALL): f"approval-of-{question['request']}"}
    assert player.play().run.state == "succeeded"


def test_a_lost_action_whose_repetition_is_refused_is_not_sent() -> None:
    player = a_lost_call()
    started = len(player.started)
    player.answer("retry")
    player.answer("reject", reason="Once was enough")
    assert (len(player.started), player.run.state) == (started, "failed")


def test_an_agent_s_lost_call_is_sent_again_only_with_an_approval_of_its_own() -> None:
    player = an_agent_that_wants_to_send()
    player.script["act"] = [
        StepBlocked("act", 1, "outcome_unknown", CALL, "Did it go?", "It is not known.", call="c1"),
        StepBlocked("act", 1, "approve", CALL, "Send?", "It cannot be undone."),
        "sent after all",
    ]
    player.answer("approve")
    player.play()
    player.answer("retry")
    start = player.started[-1]
    assert (start.attempt, start.outcomes, start.grants) == (1, {"c1": {"decision": "retry"}}, {})
    player.play()
    (question,) = player.asked()
    assert question["kind"] == "approve"
    player.answer("approve")
    assert player.started[-1].grants == {digest(CALL): f"approval-of-{question['request']}"}
    assert player.play().run.state == "succeeded"


@pytest.mark.parametrize(
    ("decision", "reason"), [("skip", "no_result"), ("stop", "step_failed"), ("expire", "step_failed")]
)
def test_a_lost_call_may_end_the_step_or_the_run(decision: str, reason: str) -> None:
    player = a_lost_call()
    player.answer(decision)
    assert (player.run.state, player.run.reason) == ("failed", reason)


def test_two_guards_must_have_approved_the_same() -> None:
    second = {"kind": "human", "guards": "send"}
    drawing = "start >> write >> approve >> second >> send >> result"

    def both(edit: Any) -> Player:
        player = a_run(drawing, {"write": "Dear Bo"}, input={"to": "bo@example.com"}, send=SEND, second=second).play()
        player.answer("approve", edit)
        player.answer("approve")
        return player

    assert both(None).paths_started() == ["write", "send"]
    disputed = both({"tool": "email.send@1", "args": {"to": "eve@example.com"}})
    assert disputed.paths_started() == ["write"]
    assert disputed.asked()[0]["request"] == "send!1"


@pytest.mark.parametrize("answer", ["reject", "expire"])
def test_what_one_guard_refused_another_cannot_let_out(answer: str) -> None:
    """Side by side, one arrow is enough for the action to begin; the consent of one guard alone is not."""
    second = {"kind": "human", "guards": "send", "on_expire": "default"}
    drawing = "start >> write >> approve, second >> send >> result"
    player = a_run(drawing, {"write": "Dear Bo"}, input={"to": "bo@example.com"}, send=SEND, second=second).play()
    player.answer("approve", path="approve")
    player.answer(answer, path="second")
    assert player.paths_started() == ["write"]
    assert [question["request"] for question in player.asked()] == ["send!1"], "somebody has to decide between them"


def test_a_guard_that_nobody_was_asked_at_bars_nothing() -> None:
    route = {"kind": "decide", "routes": [{"port": "big", "when": "false"}], "otherwise": "small"}
    second = {"kind": "human", "guards": "send"}
    drawing = "start >> route; route:big >> second >> send; route:small >> approve >> send >> result"
    player = a_run(drawing, input={"to": "bo@example.com"}, route=route, second=second).play()
    player.answer("approve")
    assert player.paths_started() == ["send"]
