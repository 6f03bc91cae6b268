"""What an agent step goes on from: earlier steps of its run by reference, or a session that nobody else may name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.building import a_graph
from tests.engine.playing import Player, a_run

TALKS = {"kind": "agent", "agent": "writer@1", "prompt": "Go on.", "conversation": "run"}


def heard(player: Player, path: str) -> list[str]:
    start = next(start for start in player.started if start.path == path)
    return [entry["path"] for entry in start.input.get("talk", ())]


def test_a_step_hears_the_steps_before_it_and_never_those_beside_it() -> None:
    player = a_run("start >> a >> b, c >> d >> result", **dict.fromkeys("abcd", TALKS)).play()

    assert [heard(player, name) for name in "abcd"] == [[], ["a"], ["a"], ["a", "b", "c"]]


@given(st.integers(0, 2**32 - 1))
def test_what_a_step_hears_does_not_depend_on_who_was_faster(seed: int) -> None:
    player = a_run("start >> a >> b, c >> d >> result", **dict.fromkeys("abcd", TALKS)).in_any_order(seed)

    assert [heard(player, name) for name in "abcd"] == [[], ["a"], ["a"], ["a", "b", "c"]]


def test_only_steps_of_the_same_agent_that_talk_are_heard() -> None:
    silent = {**TALKS, "conversation": "none"}
    player = a_run(
        "start >> a >> b >> c >> d >> result", a=TALKS, b=silent, c={**TALKS, "agent": "frugal@1"}, d=TALKS
    ).play()

    assert heard(player, "d") == ["a"]


def test_a_round_hears_the_rounds_before_and_an_item_hears_no_other_item() -> None:
    inner = a_graph("draft >> edit", draft=TALKS, edit=TALKS)
    rounds = {"kind": "repeat", "max_rounds": 3, "graph": inner}
    player = a_run("start >> a >> write >> result", a=TALKS, write=rounds).play()
    assert heard(player, "write#3.edit") == [
        "a",
        *("write#1.draft", "write#1.edit", "write#2.draft", "write#2.edit"),
        "write#3.draft",
    ]

    items = {"kind": "each", "over": [1, 2], "graph": a_graph("draft", draft=TALKS)}
    player = a_run("start >> a >> all >> z >> result", a=TALKS, all=items, z=TALKS).play()
    assert heard(player, "all[1].draft") == ["a"]
    assert heard(player, "z") == ["a"]


def test_what_was_heard_is_the_same_after_a_crash() -> None:
    inner = a_graph("draft", draft=TALKS)
    player = a_run("start >> write >> result", write={"kind": "repeat", "max_rounds": 4, "graph": inner})
    player.begin()
    player.finish("write#1.draft")
    player.finish("write#2.draft")
    before = player.started[-1].input
    player.crash()

    assert player.started[-1].input == before
    assert heard(player, "write#3.draft") == ["write#1.draft", "write#2.draft"]


def test_each_prompt_heard_says_whose_words_it_was() -> None:
    echo = {**TALKS, "prompt": "More than ${steps.a.output}"}
    asked = {**TALKS, "prompt": "About ${input.topic}"}
    player = a_run("start >> a >> b >> c >> result", input={"topic": "tea"}, a=asked, b=echo, c=TALKS).play()

    assert player.started[-1].input["talk"] == [{"path": "a", "trust": "user"}, {"path": "b", "trust": "model"}]


# Sessions


def in_session(name: str, **more: Any) -> dict[str, Any]:
    return {**TALKS, "conversation": "session", "session": name, **more}


def test_a_session_is_one_of_pipeline_agent_and_name() -> None:
    def key(session: str = "maya", agent: str = "writer@1", pipeline: str = "test") -> str:
        player = a_run("start >> a >> result", a=in_session(session, agent=agent), document={"id": pipeline}).play()
        return str(player.started[0].input["session"]["key"])

    assert key() == key(" maya ")
    assert len({key(), key("max"), key(agent="frugal@1"), key(pipeline="other")}) == 4


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_session_needs_a_name(name: str) -> None:
    player = a_run("start >> a >> result", input={"who": name}, a=in_session("${input.who}")).play()

    assert (player.run.error["class"], player.run.error["code"]) == ("config", "missing_session")


@pytest.mark.parametrize(
    "session",
    [
        "${steps.w.output}",
        "${input.who}-${steps.w.output}",
        "${steps.log.output}",
        "${steps.w.meta.model | default('x')}",
    ],
)
def test_a_model_or_a_tool_cannot_choose_whose_talk_is_read(session: str) -> None:
    player = a_run(
        "start >> w >> log >> a >> result", {"log": "maya"}, input={"who": "maya"}, a=in_session(session)
    ).play()

    assert player.run.error["code"] == "untrusted_session"
    assert "a" not in player.paths_started()
