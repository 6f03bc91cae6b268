"""What is wrong with steps that wait, use the board or take turns, as publishing says it."""

from typing import Any

import pytest

from tests.graph.documents import a_graph, an_agent
from tests.graph.test_validate import between

EVENT = {"name": "paid", "topic": "orders/${input.topic}"}


def a_wait(**config: Any) -> list[tuple[str, str, str]]:
    """Return the problems of a Wait, each of whose ports leads on."""
    events = config.get("event", [])
    names = [event["name"] for event in (events if isinstance(events, list) else [events])]
    ports = [f"event_{name}" for name in dict.fromkeys(names)]
    ports += ["time"] if {"for", "until"} & config.keys() else []
    ports += ["timeout"] if "timeout" in config else []
    return between({"a": {"kind": "wait", **config}}, "start > a", *(f"a.{port} > result" for port in ports))


def a_step(**step: Any) -> list[tuple[str, str, str]]:
    return between({"a": step}, "start > a", "a > result")


def test_sound_waits_boards_and_locks_have_no_problem() -> None:
    assert a_wait(event={**EVENT, "match": "event.payload.sum > size(input.topic)", "keep": "P1D"}, timeout="P1D") == []
    assert a_wait(event=[EVENT, {**EVENT, "name": "lost"}], **{"for": "PT1H"}) == []
    assert a_wait(until="${input.topic}") == []
    assert a_step(kind="board", op="append", key="log", value="${input.topic}", if_version="${input.topic}") == []
    assert a_step(kind="board", op="publish", key="news", value=1) == []
    assert a_step(**an_agent("About ${board.log}", lock="crm-${input.topic}")) == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, ("error", "empty_wait", "a")),
        ({"timeout": "PT1H"}, ("error", "empty_wait", "a")),
        ({"event": EVENT}, ("warning", "endless_wait", "a/timeout")),
        ({"until": "${input.nothing}"}, ("error", "unknown_input", "a/until")),
        ({"event": {**EVENT, "match": "events.x"}}, ("error", "unknown_reference", "a/event/match")),
        ({"event": [{**EVENT, "topic": "${nobody}"}]}, ("error", "unknown_reference", "a/event/0/topic")),
        ({"event": {**EVENT, "topic": "${event.topic}"}}, ("error", "unknown_reference", "a/event/topic")),
    ],
)
def test_what_is_wrong_with_a_wait(config: dict[str, Any], problem: tuple[str, str, str]) -> None:
    assert problem in a_wait(**config)


def test_a_way_out_of_a_wait_that_leads_nowhere_is_a_warning() -> None:
    step = {"kind": "wait", "event": EVENT, "timeout": "PT1H"}
    assert ("warning", "unwired_port", "a") in between({"a": step}, "start > a", "a.event_paid > result")


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"kind": "board", "op": "write", "key": "k"}, ("error", "no_value", "a/value")),
        ({"kind": "board", "op": "read", "key": "k", "if_version": 1}, ("error", "unused_field", "a/if_version")),
        ({"kind": "board", "op": "read", "key": "${nobody}"}, ("error", "unknown_reference", "a/key")),
        (an_agent("${board}"), ("error", "unknown_reference", "a/prompt")),
        (an_agent(lock="${input.nothing}"), ("error", "unknown_input", "a/lock")),
        (
            {"kind": "each", "over": [1], "lock": "a", "graph": a_graph({"x": an_agent(lock="b")})},
            ("error", "nested_lock", "a/graph/nodes/x/lock"),
        ),
    ],
)
def test_what_is_wrong_with_a_board_or_a_lock(step: dict[str, Any], problem: tuple[str, str, str]) -> None:
    assert problem in a_step(**step)
