"""Who takes part in a Team or works for a Supervisor: added, moved and removed by commands, each with its inverse."""

from dataclasses import replace
from typing import Any

import pytest

from accounts.errors import Invalid
from pipelines.canvas import picture
from pipelines.editor.commands import ops_of
from pipelines.editor.presets import Offer
from pipelines.graph.crew import crew_of
from pipelines.graph.parse import parse
from tests.graph.documents import RESULT, START, a_document
from tests.pipelines.test_commands import a_desk, after

TEAM = {"kind": "team", "task": "Talk.", "members": ["writer@1", "critic@1", "judge@1"], "stop": {"max_turns": 3}}
LEAD = {
    "kind": "supervisor",
    "task": "Lead.",
    "agent": "boss@1",
    "workers": [
        {"agent": "writer@1"},
        {"tool": "email.send@1"},
        {"supervisor": {"name": "desk", "agent": "chief@1", "workers": [{"agent": "critic@1"}, {"agent": "judge@1"}]}},
    ],
}


def a_draft(**fields: Any) -> dict[str, Any]:
    return a_document(
        {"start": START, "talk": TEAM | fields, "lead": LEAD, "result": RESULT}, "start > talk", "talk > lead"
    )


def members(document: dict[str, Any]) -> list[str]:
    return list(document["graph"]["nodes"]["talk"]["members"])


def workers(document: dict[str, Any]) -> list[Any]:
    return list(document["graph"]["nodes"]["lead"]["workers"])


@pytest.mark.parametrize(
    ("at", "to", "order"),
    [
        ("members/0", 2, "critic judge writer"),
        ("members/2", 0, "judge writer critic"),
        ("members/1", 1, "writer critic judge"),
    ],
)
def test_a_member_goes_to_another_place(at: str, to: int, order: str) -> None:
    changed = after(a_draft(), "move_member", place="talk", at=at, to=to)
    assert [name.partition("@")[0] for name in members(changed)] == order.split()


def test_a_member_is_added_behind_another_or_at_the_end() -> None:
    assert members(after(a_draft(), "add_member", place="talk", list="members", after="members/0"))[1] == "writer@1"
    assert members(after(a_draft(), "add_member", place="talk", list="members"))[-1] == "writer@1"


def test_a_worker_of_each_kind_is_added_to_a_supervisor_and_to_one_under_it() -> None:
    for kind, made in (
        ("agent", {"agent": "writer@1"}),
        ("tool", {"tool": "email.send@1"}),
        ("pipeline", {"pipeline": "child@1"}),
    ):
        assert workers(after(a_draft(), "add_member", place="lead", list="workers", kind=kind))[-1] == made
    nested = "workers/2/supervisor/workers"
    changed = after(a_draft(), "add_member", place="lead", list=nested, kind="supervisor")
    assert workers(changed)[2]["supervisor"]["workers"][-1]["supervisor"]["name"] == "lead"


def test_a_member_that_goes_takes_its_topics_along() -> None:
    draft = a_draft(mode="bus", topics={"critic": ["news"], "judge@1": ["end"]})
    changed = after(draft, "remove_member", place="talk", at="members/1")
    assert members(changed) == ["writer@1", "judge@1"]
    assert changed["graph"]["nodes"]["talk"]["topics"] == {"judge@1": ["end"]}


def test_topics_stay_while_the_same_agent_takes_part_once_more() -> None:
    draft = a_draft(mode="bus", members=["critic@1", "critic@1"], topics={"critic": ["news"]})
    changed = after(draft, "remove_member", place="talk", at="members/0")
    assert changed["graph"]["nodes"]["talk"]["topics"] == {"critic": ["news"]}


def test_a_worker_under_a_worker_is_removed() -> None:
    changed = after(a_draft(), "remove_member", place="lead", at="workers/2/supervisor/workers/0")
    assert workers(changed)[2]["supervisor"]["workers"] == [{"agent": "judge@1"}]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("move_member", {"place": "talk", "at": "members/0", "to": 3}),
        ("move_member", {"place": "talk", "at": "members/9", "to": 0}),
        ("move_member", {"place": "talk", "at": "stop/max_turns", "to": 0}),
        ("remove_member", {"place": "talk", "at": "agent"}),
        ("remove_member", {"place": "nobody", "at": "members/0"}),
        ("add_member", {"place": "talk", "list": "members", "kind": "tool"}),
        ("add_member", {"place": "lead", "list": "workers", "kind": "human"}),
        ("add_member", {"place": "lead", "list": "workers/0/agent"}),
        ("add_member", {"place": "start", "list": "members"}),
    ],
)
def test_what_does_not_fit_is_refused(name: str, args: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        ops_of(name, args, a_desk(a_draft()))
    assert refused.value.code == "bad_command"


def test_the_last_member_of_a_team_stays() -> None:
    with pytest.raises(Invalid, match="Somebody has to take part"):
        ops_of("remove_member", {"place": "talk", "at": "members/0"}, a_desk(a_draft(members=["writer@1"])))


def test_nobody_can_be_added_where_there_is_nobody() -> None:
    with pytest.raises(Invalid, match="no agent to add"):
        ops_of("add_member", {"place": "talk", "list": "members"}, replace(a_desk(a_draft()), offer=Offer()))


def test_inner_cards_say_who_what_and_in_which_order() -> None:
    lock = {
        "agents": {"writer@1": {"model": "demo/writer", "role": "Writes"}, "boss@1": {"model": "demo/large"}},
        "tools": {"email.send@1": {"effect": "irreversible"}},
    }
    drawn = picture(parse(a_draft()), lock, with_crews=True).by_place
    assert [(mate.title, mate.hint, mate.number) for mate in drawn["talk"].crew] == [
        ("Writer", "Writes · demo/writer", 1),
        ("Critic", "Agent", 2),
        ("Judge", "Agent", 3),
    ]
    assert [(mate.title, mate.hint, mate.member.depth) for mate in drawn["lead"].crew] == [
        ("Boss", "Leads · demo/large", 0),
        ("Writer", "Writes · demo/writer", 0),
        ("Email.send", "Cannot be undone", 0),
        ("Desk", "Leads others", 0),
        ("Critic", "Agent", 1),
        ("Judge", "Agent", 1),
    ]
    assert drawn["talk"].order == "In turn, in this order"
    assert not any(placed.crew for placed in picture(parse(a_draft()), lock).nodes), "small pictures show boxes alone"


@pytest.mark.parametrize("mode", ["selector", "moderator", "debate"])
def test_who_chooses_leads_and_judges_is_no_member_that_can_be_moved(mode: str) -> None:
    asked = {"judge": "boss@1"} if mode == "debate" else {"agent": "boss@1"}
    node = parse(a_draft(mode=mode, **asked)).graph.nodes["talk"]
    parts = {member.at: member.is_listed for member in crew_of(node)}
    assert parts == {
        "members/0": True,
        "members/1": True,
        "members/2": True,
        ("judge" if mode == "debate" else "agent"): False,
    }
