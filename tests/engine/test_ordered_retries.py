"""A person orders that something be tried again, at whatever moment: nothing breaks, sticks, or counts as enough."""

from typing import Any

import pytest

from runs.engine import budget
from runs.engine.facts import (
    CancelRequested,
    ChildEnded,
    ErrorClass,
    StepError,
    StepFailed,
    StepSucceeded,
    StopRequested,
)
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.playing import Fails, Player, a_run
from tests.engine.test_children import a_child, calling

ASKS = {"on_error": {"then": "ask_human"}}
QUIET = {"on_error": {"then": "skip"}}
MERGES = ("object", "list", "first", "prefer", "concat", "vote", "best_of", "synthesize")


def a_join(script: Any, **config: Any) -> Player:
    join = {"kind": "combine", "agent": "writer@1", "prompt": "Which?", **ASKS, **config}
    return a_run("start >> a, b >> join >> result", script, a=QUIET, b=QUIET, join=join)


@pytest.mark.parametrize("merge", MERGES)
def test_a_join_that_got_nothing_is_not_merged_because_somebody_says_retry(merge: str) -> None:
    player = a_join({"a": Fails(), "b": Fails()}, merge=merge).play()
    player.answer("retry")
    assert player.state("join") == "waiting"
    (question,) = player.asked()
    assert question["why"] == "join got 0 of its 2 inputs, which is not enough."
    player.answer("stop")
    assert player.run.error["code"] == "not_enough_inputs"


def test_a_join_that_got_too_little_still_has_too_little() -> None:
    player = a_join({"a": Fails()}, min_ok=2).play()
    player.crash(crashed=False)
    player.answer("retry")
    assert player.state("join") == "waiting"
    player.answer("use", {"b": "b"})
    assert player.play().run.state == "succeeded"


def test_a_join_whose_time_was_up_waits_for_as_long_again() -> None:
    player = a_join({}, wait_timeout="PT5S", on_timeout="fail")
    player.begin()
    player.finish("a")
    player.wait(6)
    player.answer("retry")
    assert player.state("join") == "pending"
    player.wait(4)
    player.finish("b")
    assert player.row("join")["output"] == {"a": "a", "b": "b"}


def test_a_join_that_is_complete_by_the_time_of_the_retry_goes_on() -> None:
    player = a_join({}, wait_timeout="PT5S", on_timeout="fail")
    player.begin()
    player.finish("a")
    player.wait(6)
    player.finish("b")
    player.answer("retry")
    assert player.play().run.state == "succeeded"
    assert player.row("join")["output"] == {"a": "a", "b": "b"}


def capped(path: str, config: dict[str, Any]) -> Player:
    """Return a run whose container has reached its cap with one of two parallel steps, while the other runs."""
    more = {"budget": {"max_llm_calls": 1}, **ASKS, **config}
    player = a_run(f"start >> {path} >> result", {"close": {"winner": "ann", "verdict": "So."}}, **{path: more})
    player.begin()
    first, second = sorted(player.open)
    budget.reserve(player.run, first, 10, 1)
    assert budget.admit(player.run, second, 10, 1)
    attempt = player.open.pop(second).attempt
    player.tell(StepFailed(second, attempt, StepError(ErrorClass.BUDGET, "step_cap", "It is used up.")))
    assert player.state(path) == "waiting"
    return player


CONTAINERS: dict[str, dict[str, Any]] = {
    "loop": {"kind": "repeat", "max_rounds": 2, "graph": a_graph("a; b")},
    "chat": {
        "kind": "team",
        "task": "Agree.",
        "mode": "debate",
        "members": ["ann@1", "ben@1"],
        "judge": "cem@1",
        "rounds": 1,
    },
}
NEWEST = {"loop": ("loop#1.a", "loop#1.b"), "chat": ("chat~1.speak_1", "chat~1.speak_2")}


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("path", list(CONTAINERS))
def test_a_retry_in_the_middle_of_a_round_or_turn_waits_for_its_end(path: str, *, crashes: bool) -> None:
    player = capped(path, CONTAINERS[path])
    still, failed = NEWEST[path]
    decision = player.answer("retry")
    assert not decision.starts, "what still runs is not started again"
    if crashes:
        player.crash(crashed=False)
    assert list(player.open) == [still]
    player.finish(still)
    assert failed in player.open, "what failed is tried again"
    player.play()
    assert player.run.state == "succeeded", player.states()


def test_a_repeat_that_could_not_begin_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.engine.instances.MAX_STEPS", 3)
    player = a_run("start >> loop >> result", loop={**CONTAINERS["loop"], **ASKS}).play()
    assert player.row("loop")["error"]["code"] == "too_many_steps"
    player.answer("retry")
    assert player.state("loop") == "waiting"
    monkeypatch.setattr("runs.engine.instances.MAX_STEPS", 100)
    player.answer("retry")
    assert player.play().run.state == "succeeded"


def lingering(drawing: str, script: Any, **nodes: Any) -> Player:
    """Return a run whose cancelled steps go on until their calls answer, as far as it goes before one does."""
    player = a_run(drawing, script, **nodes)
    player.lingers = True
    player.begin()
    return player


@pytest.mark.parametrize("crashes", [False, True])
def test_what_a_retry_starts_again_begins_when_its_cancelled_call_has_answered(*, crashes: bool) -> None:
    loop = {"kind": "repeat", "max_rounds": 1, "graph": a_graph("a; b"), **ASKS}
    player = lingering("start >> loop >> result", {"b": [Fails(), "b"]}, loop=loop)
    player.finish("loop#1.b")
    assert list(player.late) == ["loop#1.a"]
    player.answer("retry")
    assert (list(player.next), player.state("loop#1.a")) == (["loop#1.a"], "running")
    if crashes:
        player.crash()
    else:
        late = player.end_late("loop#1.a")
        assert not late.events, "its answer is not the new attempt's"
    again = player.open["loop#1.a"]
    assert (again.attempt, again.generation) == (2, 1), "nor is what the journal has of it"
    player.play()
    assert (player.run.state, player.row("loop#1.a")["attempt"]) == ("succeeded", 2)


def test_a_round_that_is_stopped_and_run_again_in_one_breath_gives_its_steps_new_attempts() -> None:
    player = capped("loop", CONTAINERS["loop"])
    player.lingers = True
    player.answer("retry")
    decision = player.tell(StopRequested("loop#1", "carol@example.com"))
    assert decision.cancels == ["loop#1.a"]
    assert [(start.path, start.attempt) for start in decision.starts if start.path == "loop#1.a"] == [("loop#1.a", 2)]
    player.end_late("loop#1.a")
    player.play()
    assert player.run.state == "succeeded", player.states()


def test_what_is_stopped_before_the_executor_had_it_never_gets_there() -> None:
    player = a_run("start >> a >> b >> result", b={"on_error": {"then": "skip"}})
    player.begin()
    decision = player.tell(player.outcome(player.open.pop("a")), StopRequested("b", "carol@example.com"))
    assert (decision.starts, decision.cancels, player.state("b")) == ([], [], "cancelled")
    late = a_run("start >> a >> b >> result")
    late.begin()
    decision = late.tell(late.outcome(late.open.pop("a")), CancelRequested("carol@example.com"))
    assert (decision.starts, decision.cancels, decision.run) == ([], [], "cancelled")


DEEP: dict[str, dict[str, Any]] = {
    "each": {"kind": "each", "over": ["x"]},
    "repeat": {"kind": "repeat", "max_rounds": 1},
}


def nested(inner: str, graph: str, **nodes: Any) -> Player:
    """Return a run with a container in a round beside whose steps `b` fails once, as far as it goes by itself."""
    deep = {**DEEP[inner], "graph": a_graph(graph, **nodes)}
    loop = {"kind": "repeat", "max_rounds": 1, "graph": a_graph("deep; b", deep=deep), **ASKS}
    return lingering("start >> loop >> result", {"b": [Fails(), "b"]}, loop=loop)


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("inner", list(DEEP))
def test_what_ran_in_a_container_of_a_round_is_not_taken_for_what_runs_in_its_second_try(
    inner: str, *, crashes: bool
) -> None:
    """Its steps are new ones, whose attempts and generations count on from where the earlier ones had come."""
    player = nested(inner, "a")
    player.finish("loop#1.b")
    (path,) = player.late
    if crashes:
        player.crash()
    player.answer("retry")
    again = player.open[path] if crashes else player.next[path]
    assert (again.attempt, again.generation) == (2, 1)
    if not crashes:
        assert not player.end_late(path).events
    player.play()
    assert player.run.state == "succeeded"


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("inner", list(DEEP))
def test_a_question_in_a_container_of_a_round_is_another_one_in_its_second_try(inner: str, *, crashes: bool) -> None:
    player = nested(inner, "ask >> note", note={"kind": "board", "op": "append", "key": "log", "value": "noted"})
    path = str(player.asked()[0]["request"]).partition("!")[0]
    player.answer("answer", {"said": "yes"}, path=path)
    player.finish("loop#1.b")
    if crashes:
        player.crash()
    player.answer("retry")
    assert [question["request"] for question in player.asked()] == [f"{path}!2"]
    player.answer("answer", {"said": "again"}, path=path)
    player.crash(crashed=False)
    assert player.run.board.values["log"] == ["noted", "noted"], "what was changed in the first try is not forgotten"
    assert player.play().run.state == "succeeded"


MAIL = {"to": "bo@example.com"}


def mailing_items(graph: str = "send >> log", script: Any = None, **nodes: Any) -> Player:
    """Return a run with one item in which a mail went out, approved, and what comes after it failed."""
    letters = {"kind": "each", "over": ["x"], "graph": a_graph(graph, **nodes), **ASKS}
    player = a_run("start >> letters >> result", {"log": [Fails(), "logged"], **(script or {})}, letters=letters).play()
    player.answer("approve", path="letters[0]")
    return player.play()


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("graph", ["send >> log", "approve >> send >> log"])
def test_a_mail_that_went_out_in_an_item_is_not_asked_about_again(graph: str, *, crashes: bool) -> None:
    """The executor finds it in its journal; what it does not find there it asks about itself."""
    player = mailing_items(graph)
    asked = player.types().count("approval_requested")
    if crashes:
        player.crash(crashed=False)
    player.answer("retry")
    again = player.open["letters[0].send"]
    assert (again.attempt, again.input, dict(again.grants)) == (2, {"args": MAIL}, {})
    assert player.play().run.state == "succeeded"
    assert player.types().count("approval_requested") == asked
    if "approve" in graph:
        row = player.row("letters[0].approve")
        assert row["output"] == {"tool": "email.send@1", "args": MAIL}
        assert row["meta"] == {"done_before": "send"}


def a_mail_under_way() -> Player:
    """Return a run in whose item an approved mail is under way while what stood beside it failed: it is called off."""
    letters = {"kind": "each", "over": ["x"], "graph": a_graph("approve >> send; log"), **ASKS}
    player = lingering("start >> letters >> result", {"log": [Fails(), "logged"]}, letters=letters)
    player.answer("approve")
    player.finish("letters[0].log")
    assert (list(player.late), player.state("letters[0].send")) == (["letters[0].send"], "cancelled")
    return player


def approvals(player: Player) -> int:
    return len([one for one in player.events if one.type == "approval_requested" and one.path == "letters[0].approve"])


@pytest.mark.parametrize("crashes", [False, True])
def test_a_mail_that_went_out_after_its_step_was_cancelled_is_not_asked_about_again(*, crashes: bool) -> None:
    player = a_mail_under_way()
    player.end_late("letters[0].send")
    if crashes:
        player.crash()
    player.answer("retry", path="letters!")
    assert player.row("letters[0].approve")["meta"] == {"done_before": "send"}
    again = player.open["letters[0].send"]
    assert (again.attempt, again.input, dict(again.grants)) == (2, {"args": MAIL}, {}), "its journal has it"
    player.play()
    assert (player.run.state, approvals(player)) == ("succeeded", 1)


@pytest.mark.parametrize("crashes", [False, True])
def test_a_mail_that_goes_out_while_somebody_is_asked_about_it_again_takes_the_question_back(*, crashes: bool) -> None:
    player = a_mail_under_way()
    player.answer("retry", path="letters!")
    assert [question["request"] for question in player.asked()] == ["letters[0].approve!2"]
    late = player.late.copy()
    if crashes:  # of the run's owner in between: the call goes on in no worker, and another says what came of it
        player.crash()
        player.late |= late
    player.end_late("letters[0].send")
    assert player.asked() == []
    assert player.open["letters[0].send"].attempt == 2
    player.play()
    assert (player.run.state, approvals(player)) == ("succeeded", 2)


def test_a_mail_that_goes_out_while_somebody_is_asked_about_its_guard_leaves_that_question() -> None:
    """The guard could not ask in the second try, and a person is asked what to do about that: it is about no call."""
    send = {"args": {"to": "${steps.write.output}"}}
    approve = {"on_error": {"then": "ask_human"}}
    graph = a_graph("write >> approve >> send; write >> log", send=send, approve=approve)
    letters = {"kind": "each", "over": ["x"], "graph": graph, **ASKS}
    script = {"log": [Fails(), "logged"], "write": ["bo@example.com", "x" * 300_000]}
    player = lingering("start >> letters >> result", script, letters=letters)
    player.finish("letters[0].write")
    player.answer("approve")
    player.finish("letters[0].log")
    late = player.late.copy()
    player.answer("retry", path="letters!")
    player.finish("letters[0].write")
    assert [question["kind"] for question in player.asked()] == ["failure"]
    player.late |= late
    player.end_late("letters[0].send")
    assert [question["kind"] for question in player.asked()] == ["failure"]


def test_a_mail_that_did_not_go_out_after_all_asks_anew() -> None:
    player = a_mail_under_way()
    late = player.late.pop("letters[0].send")
    error = StepError(ErrorClass.TOOL_ERROR, "refused", "The server refused it.")
    player.tell(StepFailed(late.path, late.attempt, error))
    player.answer("retry", path="letters!")
    assert [question["request"] for question in player.asked()] == ["letters[0].approve!2"]


def test_what_went_out_late_is_noted_once_and_for_its_own_call_only() -> None:
    player = a_mail_under_way()
    late = player.late["letters[0].send"]
    player.end_late("letters[0].send")
    player.tell(StepSucceeded(late.path, late.attempt, "sent"))
    player.tell(StepSucceeded(late.path, late.attempt + 1, "sent"))
    (done,) = player.row("letters[0].send")["memo"]["done"].values()
    assert done == {"args": None}
    assert player.state("letters[0].send") == "cancelled", "its result is not used"


def test_a_mail_with_other_words_is_another_one_and_asks_anew() -> None:
    send = {"args": {"to": "${steps.write.output}"}}
    script = {"write": ["ann@example.com", "ben@example.com"]}
    player = mailing_items("write >> approve >> send >> log", script, send=send)
    player.answer("retry")
    player.finish("letters[0].write")
    assert [question["payload"]["args"] for question in player.asked()] == [{"to": "ben@example.com"}]
    player.answer("approve")
    again = player.open["letters[0].send"]
    assert (again.input["args"], list(again.grants.values())) == (
        {"to": "ben@example.com"},
        ["approval-of-letters[0].approve!2"],
    )


def test_a_mail_that_went_out_as_somebody_changed_it_is_the_same_mail() -> None:
    player = a_run(
        "start >> letters >> result",
        {"log": [Fails(), Fails(), "logged"]},
        letters={"kind": "each", "over": ["x"], "graph": a_graph("approve >> send >> log"), **ASKS},
    ).play()
    changed = {"tool": "email.send@1", "args": {"to": "cy@example.com"}}
    player.answer("approve", changed)
    player.play()
    for _ in range(2):
        player.answer("retry")
        assert player.row("letters[0].approve")["output"] == changed
        assert player.open["letters[0].send"].input["args"] == changed["args"]
        player.play()
    assert player.run.state == "succeeded"


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("inner", list(DEEP))
def test_a_mail_that_went_out_in_a_container_of_a_round_is_not_asked_about_again(inner: str, *, crashes: bool) -> None:
    player = nested(inner, "approve >> send")
    player.answer("approve", path="loop#1.deep")
    (path,) = (path for path in player.open if path.endswith("send"))
    player.finish(path)
    player.finish("loop#1.b")
    if crashes:
        player.crash(crashed=False)
    player.answer("retry")
    assert not player.asked()
    assert dict(player.open[path].grants) == {}
    assert player.play().run.state == "succeeded"


def test_what_went_out_in_the_second_try_of_a_round_counts_in_the_third_of_what_is_in_it() -> None:
    """A container that begins anew within a round that began anew knows what both earlier tries have done."""
    deep = {"kind": "each", "over": ["x"], "graph": a_graph("approve >> send >> log"), **ASKS}
    loop = {"kind": "repeat", "max_rounds": 1, "graph": a_graph("deep; b", deep=deep), **ASKS}
    script = {"b": [Fails(), "b"], "log": [Fails(), "logged"]}
    player = lingering("start >> loop >> result", script, loop=loop)
    player.answer("approve", path="loop#1.deep")
    player.finish("loop#1.b")
    player.answer("retry", path="loop!")
    path = "loop#1.deep[0].send"
    if path in player.late:
        player.end_late(path)
    while path not in player.open:
        player.answer("approve", path="loop#1.deep")
    player.finish(path)
    player.finish("loop#1.deep[0].log")
    asked = player.types().count("approval_requested")
    player.answer("retry", path="loop#1.deep")
    assert player.types().count("approval_requested") == asked, "the mail has gone out"
    assert player.play().run.state == "succeeded", player.states()


def test_a_run_that_ends_late_is_booked_at_the_step_that_took_the_place_of_its_own() -> None:
    deep = {"kind": "repeat", "max_rounds": 1, "graph": a_graph("call", call=calling())}
    loop = {"kind": "repeat", "max_rounds": 1, "graph": a_graph("deep; b", deep=deep), **ASKS}
    parent = a_document(a_graph("start >> loop >> result", loop=loop), id="parent")
    family = Family(parent, {"child": a_child()}, {"b": [Fails(), "b"]})
    root = family.root
    root.begin()
    root.finish("loop#1.b")
    root.answer("retry")
    path = "loop#1.deep#1.call"
    assert list(root.row(path)["memo"]["children"]["live"]) == ["1", "2"]
    spent = {"cost": 7, "tokens": 1, "calls": 1, "machine_ms": 0, "paid": 7}
    root.tell(ChildEnded(path, 1, "cancelled", spent=spent))
    row = root.row(path)
    assert (row["state"], row["attempt"], list(row["memo"]["children"]["live"])) == ("waiting", 2, ["2"])
    assert row["memo"]["children"]["spent"] == spent
    root.finish("loop#1.b")
    assert family.play().root.run.state == "succeeded"
