"""Whose words a value is, on every way it can take; and that nothing waives the approval of what cannot be undone."""

from typing import Any

import pytest

from runs.engine.facts import StepSucceeded
from tests.engine.building import a_graph
from tests.engine.playing import Player, a_run

AGENT = {"kind": "agent", "agent": "writer@1", "prompt": "Write."}
JUDGED = {"rule": "ai_rubric", "rubric": "Is it kind?", "model": "demo/echo"}
# Ways on which a model's words reach the expression on the right.
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "directly": ({}, "${steps.w.output}"),
    "a part": ({}, "${steps.w.output.body | default('x')}"),
    "with a default": ({}, "${steps.w.output | default('x')}"),
    "in a text": ({}, "Dear ${input.who}, ${steps.w.output}"),
    "what is known of it": ({}, "${steps.w.meta.model | default('x')}"),
    "transformed": ({"m": {"kind": "transform", "set": {"x": "steps.w.output"}}}, "${steps.m.output.x}"),
    "chosen by a condition": (
        {"m": {"kind": "transform", "set": {"x": "size(steps.w.output) > 3 ? 'a' : 'b'"}}},
        "${steps.m.output.x}",
    ),
    "merged": ({"m": {"kind": "combine", "merge": "concat"}}, "${steps.m.output}"),
    "voted": ({"m": {"kind": "combine", "merge": "vote"}}, "${steps.m.output}"),
    "judged best": ({"m": {"kind": "combine", "merge": "best_of", "agent": "writer@1"}}, "${steps.m.output}"),
    "checked": (
        {"m": {"kind": "check", "value": "${steps.w.output}", "rules": [{"rule": "length", "min": 1}]}},
        "${steps.m.output}",
    ),
    "routed": (
        {
            "m": {
                "kind": "decide",
                "mode": "ai",
                "model": "demo/echo",
                "value": "x",
                "otherwise": "done",
                "routes": [{"port": "done"}],
            }
        },
        "${steps.m.output.reason}",
    ),
    "a judge's reason": (
        {"m": {"kind": "check", "value": "fixed", "rules": [JUDGED]}},
        "${steps.m.meta.scores[0].reason}",
    ),
    "each": (
        {
            "m": {
                "kind": "each",
                "over": "${[steps.w.output]}",
                "graph": a_graph("t", t={"kind": "transform", "set": {"x": "item"}}),
            }
        },
        "${steps.m.output[0].x}",
    ),
    "repeated": (
        {
            "m": {
                "kind": "repeat",
                "max_rounds": 1,
                "graph": a_graph("t", t={"kind": "transform", "set": {"x": "steps.w.output"}}),
            }
        },
        "${steps.m.output.x}",
    ),
}
VERDICTS = {
    "m": lambda start: (
        StepSucceeded(start.path, start.attempt, {"verdicts": [{"score": 1, "reason": "words", "finding": ""}]})
        if start.node.kind == "check"
        else StepSucceeded(
            start.path, start.attempt, {"chosen": "done", "reason": "words", "confidence": 1.0}, {}, ("done",)
        )
    )
}


def sending(value: str, nodes: dict[str, Any], **more: Any) -> Player:
    middle = " >> m" if "m" in nodes else ""
    send = {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com", "body": value}}
    return a_run(
        f"start >> w{middle} >> send >> result",
        {"w": "hello", **VERDICTS},
        input={"who": "Ann"},
        w=AGENT,
        send=send,
        **nodes,
        **more,
    ).play()


@pytest.mark.parametrize("way", WAYS)
def test_a_model_s_words_are_known_for_what_they_are_on_every_way(way: str) -> None:
    nodes, value = WAYS[way]

    player = sending(value, nodes)

    (question,) = player.asked()
    assert question["trust"]["/args/body"] in ("model", "tool")
    assert question["trust"]["/args/to"] == "author"
    assert "Parts of it were written by a" in question["why"]


@pytest.mark.parametrize("mode", ["answer", "approve", "edit"])
def test_what_is_shown_to_a_person_says_whose_words_it_is_though_no_action_is_guarded(mode: str) -> None:
    show = {
        "draft": "${steps.w.output}",
        "for": "Ann ${input.who}",
        "a/b": {"said": ["${steps.look.output}"]},
        "ask": "Fine?",
    }
    look = {"kind": "tool", "tool": "shop.look@1", "args": {"thing": "tea"}}
    ask = {"kind": "human", "mode": mode, "show": show}
    player = a_run(
        "start >> w >> look >> ask >> result",
        {"w": "hello", "look": {}},
        input={"who": "Ann"},
        w=AGENT,
        look=look,
        ask=ask,
    ).play()

    known = player.asked()[0]["trust"]
    shown = {"/show/draft": "model", "/show/for": "user", "/show/a~1b/said/0": "tool", "/show/ask": "author"}
    assert shown.items() <= known.items()
    payload = {place.removeprefix("/show"): label for place, label in shown.items()}
    assert (payload.items() <= known.items()) == (mode != "answer")


def test_a_person_s_decision_is_theirs_and_an_unknown_root_is_nobody_s() -> None:
    said = {"kind": "human", "mode": "answer", "not_starter": False}
    send = {"kind": "tool", "tool": "email.send@1", "args": {"a": "${steps.ask.meta.who}", "b": "${steps.ask.output}"}}
    player = a_run("start >> ask >> send >> result", ask=said, send=send).play()
    player.answer("answer", "yes")

    assert player.asked()[0]["trust"] == {"/args/a": "user", "/args/b": "user"}


POLICIES: list[dict[str, Any]] = [
    {},
    {"roles": ["manager"], "min_approvals": 2},
    {
        "roles": ["reviewer", "composer", "admin"],
        "people": ["alice@example.com"],
        "expires": "PT1S",
        "on_expire": "reject",
    },
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cache", [None, {"mode": "workspace"}])
def test_no_policy_lets_untrusted_words_reach_what_cannot_be_undone_without_a_person(
    policy: dict[str, Any], cache: Any
) -> None:
    document = {"approvals": {"irreversible": policy}, "defaults": {"on_error": {"then": "skip"}}}
    send = {"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.w.output}"}, "on_error": {"then": "skip"}}
    player = a_run(
        "start >> w >> send >> result", w=AGENT, send={**send, **({"cache": cache} if cache else {})}, document=document
    ).play()

    assert "send" not in player.paths_started()
    assert "written by a model" in player.asked()[0]["why"]
    player.wait(400_000)  # silence
    assert "send" not in player.paths_started()


def test_an_approval_before_does_not_serve_for_words_that_changed_since() -> None:
    """The guard saw one text; the next round's is another."""
    graph = a_graph(
        "w >> approve >> send",
        w=AGENT,
        approve={"kind": "human", "guards": "send"},
        send={"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.w.output}"}},
    )
    player = a_run(
        "start >> all >> result",
        {"all#1.w": "first", "all#2.w": "second"},
        all={"kind": "repeat", "max_rounds": 2, "graph": graph, "result": "${steps.w.output}"},
    ).play()
    player.answer("approve")
    player.play()

    assert [start.path for start in player.started if start.path.endswith("send")] == ["all#1.send"]
    assert player.asked()[0]["payload"]["args"] == {"body": "second"}


def test_what_a_reviewer_left_as_it_was_is_still_a_model_s() -> None:
    send = {"kind": "tool", "tool": "email.send@1", "args": {"to": "${input.who}", "body": "${steps.w.output}"}}
    player = a_run("start >> w >> send >> result", {"w": "hello"}, input={"who": "Ann"}, w=AGENT, send=send).play()
    edited = {"tool": "email.send@1", "args": {"to": "Bo", "body": "hello", "cc": ["Cy"]}}
    player.answer("approve", edited)

    assert player.started[-1].trust == {"/args/to": "user", "/args/body": "model", "/args/cc/0": "user"}


def test_a_call_that_nobody_could_read_is_refused_before_anybody_is_asked() -> None:
    player = sending(
        "${steps.w.output}",
        {},
    )
    assert player.asked()
    big = a_run(
        "start >> w >> send >> result",
        {"w": "x" * 300_000},
        w=AGENT,
        send={"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.w.output}"}},
    ).play()

    assert big.asked() == []
    assert big.run.error["code"] == "payload_too_large"
