"""In an evaluation's rehearsal nobody is asked: approvals are taken as given, and silence is as silence is."""

from typing import Any

import pytest

from runs.engine.origin import Origin
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.playing import Fails, Player

EMAIL = {"to": "${input.to}", "body": "${steps.write.output}"}
SEND = {"kind": "tool", "tool": "email.send@1", "args": EMAIL}


def unattended(drawing: str, script: dict[str, Any] | None = None, **nodes: Any) -> Player:
    given = {"to": "bo@example.com"}
    fields = nodes.pop("document", {})
    document = a_document(a_graph(drawing, **nodes), **fields)
    return Player(document, script, given, origin=Origin("018f0000-0000-7000-8000-000000000000", unattended=True))


def decided(player: Player) -> list[tuple[str | None, str]]:
    return [(event.path, event.payload["decision"]) for event in player.events if event.type == "approval_decided"]


def test_a_guarded_action_goes_on_as_if_it_were_approved_and_nobody_is_asked() -> None:
    player = unattended("start >> write >> approve >> send >> result", {"write": "Dear Bo"}, send=SEND).play()
    assert player.asked() == []
    assert decided(player) == [("approve", "approve")]
    assert player.row("approve")["output"]["args"] == {"to": "bo@example.com", "body": "Dear Bo"}
    assert player.paths_started() == ["write", "send"]
    assert player.run.state == "succeeded"


def test_an_unguarded_irreversible_action_does_too() -> None:
    player = unattended("start >> write >> send >> result", {"write": "Dear Bo"}, send=SEND).play()
    assert player.asked() == []
    assert decided(player) == [("send", "approve")]
    assert player.run.state == "succeeded"


def test_a_guarded_call_is_only_pretended_whatever_it_does() -> None:
    drawing = "start >> log >> approve >> second >> result"
    second = {"kind": "tool", "tool": "crm.log@1", "args": {"note": "again"}}
    nodes = {"approve": {"guards": "second"}, "second": second}

    player = unattended(drawing, **nodes).play()
    attended = Player(a_document(a_graph(drawing, **nodes))).play()
    attended.answer("approve")

    assert {start.path: start.unasked for start in player.started} == {"log": False, "second": True}
    assert {start.path: start.unasked for start in attended.started} == {"log": False, "second": False}


def test_so_is_a_second_attempt_which_holds_no_grant() -> None:
    drawing, policy = "start >> approve >> log >> result", {"retry": {"max_attempts": 2}}
    player = unattended(
        drawing, {"log": [Fails("transient"), "ok"]}, approve={"guards": "log"}, log={"on_error": policy}
    )
    player.play()
    assert [start.unasked for start in player.started] == [True, True]


@pytest.mark.parametrize(
    ("config", "decisions", "ran"),
    [
        ({"on_expire": "default", "default": {"size": "M"}}, ["expire"], ["fit"]),
        ({"on_expire": "reject"}, ["expire"], []),
        ({"on_expire": "escalate", "escalate_to": ["manager"]}, ["expire", "expire"], []),
    ],
)
def test_an_answer_is_not_invented(config: dict[str, Any], decisions: list[str], ran: list[str]) -> None:
    ask = {"kind": "human", "mode": "answer", "form": {"type": "object"}, **config}
    player = unattended("start >> ask; ask:approved >> fit >> result", ask=ask).play()
    assert player.asked() == []
    assert [decision for _, decision in decided(player)] == decisions
    assert player.paths_started() == ran


def test_a_failure_that_a_person_would_look_at_ends_the_run() -> None:
    write = {"on_error": {"then": "ask_human"}}
    player = unattended("start >> write >> result", {"write": Fails()}, write=write).play()
    assert player.asked() == []
    assert (player.run.state, decided(player)) == ("failed", [("write", "stop")])


def test_a_child_of_such_a_run_asks_nobody_either() -> None:
    child = a_document(a_graph("start >> send >> result", send={**SEND, "args": {"to": "a@b.example"}}), id="child")
    call = {"kind": "pipeline", "pipeline": "child", "inputs": {}}
    parent = a_document(a_graph("start >> call >> result", call=call))
    for is_unattended in (True, False):
        family = Family(parent, {"child": child})
        root = next(iter(family.members.values()))
        root.run.origin = Origin(root.run.origin.run, unattended=is_unattended)
        family.play(1)
        below = [one for one in family.members.values() if one.document.id == "child"]
        assert [one.run.origin.unattended for one in below] == [is_unattended]
        assert (root.run.state == "succeeded") is is_unattended
