"""Every orchestration system that the design names, in the shapes its users know: each is a document that runs."""

from typing import Any

import pytest

from tests.engine.building import a_document, a_graph
from tests.engine.meeting import Meeting
from tests.engine.playing import Fails, Player, a_run
from tests.engine.teams import a_team, chooses, moderates
from tests.engine.teams import meta as talk
from tests.engine.test_supervisor import FINISH, a_lead, meta, orders, plan, task

AN_AGENT = {"kind": "agent", "agent": "writer@1"}
ALL = {"kind": "combine", "wait_for": "all", "merge": "object"}


def within(**config: Any) -> dict[str, Any]:
    """Return the inner graph of a container: one agent `dig`, and what it is asked."""
    return {"nodes": {"dig": {**AN_AGENT, **config}}, "edges": []}


def speakers(player: Player) -> list[str]:
    return [turn["by"] for turn in talk(player)["transcript"] if turn["part"] == "speak"]


def test_langgraph_conditional_edges_send_a_cycle_and_an_interrupt() -> None:
    route = {"kind": "decide", "routes": [{"port": "many", "when": "size(input.topics) > 1"}], "otherwise": "one"}
    send = {
        "kind": "each",
        "over": "${input.topics}",
        "graph": within(prompt="${item}"),
        "result": "${steps.dig.output}",
    }
    cycle = {
        "kind": "repeat",
        "until": "steps.dig.output == 'good'",
        "graph": within(prompt="Better."),
        "result": "${steps.dig.output}",
    }
    player = a_run(
        "start >> route; route:many >> spread >> cycle >> approve >> send >> result; route:one >> short",
        {"cycle#1.dig": "bad", "cycle#2.dig": "good"},
        input={"topics": ["a", "b"]},
        route=route,
        spread=send,
        cycle=cycle,
    ).play()
    assert [path for path in player.paths_started() if path[0] in "sc"] == [
        *("spread[0].dig", "spread[1].dig", "cycle#1.dig", "cycle#2.dig"),
    ]
    assert (player.state("short"), player.state("approve")) == ("skipped", "waiting")
    player.answer("approve")
    assert player.play().state("send") == "succeeded"


def test_crewai_a_sequential_and_a_hierarchical_crew_and_a_guardrail_that_asks_again() -> None:
    guardrail = {"checks": [{"rule": "contains", "text": "source"}]}
    player = a_run("start >> research >> write >> result", {"write": ["none", "a source"]}, write=guardrail).play()
    assert player.paths_started() == ["research", "write", "write"]
    assert player.row("write")["output"] == "a source"
    crew = a_lead(orders(("writer", "Research."), ("careful", "Write.")), FINISH).play()
    assert [entry["status"] for entry in meta(crew)["delegations"]] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("mode", "config", "script", "who"),
    [
        ("round_robin", {"stop": {"max_turns": 4}}, {}, ["ann", "ben", "cem", "ann"]),
        ("selector", {"agent": "host", "stop": {"max_turns": 2}}, {"choose": chooses("cem", "ann")}, ["cem", "ann"]),
        (
            "handoff",
            {},
            {"speak_1": {"say": "For cem.", "hand_to": "cem"}, "speak_3": {"say": "Done.", "hand_to": None}},
            ["ann", "cem"],
        ),
        ("moderator", {"agent": "host"}, {"choose": moderates(progress=True, done_in=3)}, ["ann", "ben"]),
    ],
    ids=["RoundRobinGroupChat", "SelectorGroupChat", "Swarm", "MagenticOne"],
)
def test_autogen_the_four_group_chats(mode: str, config: Any, script: Any, who: list[str]) -> None:
    player = a_team(script, mode=mode, **config).play()
    assert player.run.state == "succeeded"
    assert speakers(player) == who


def test_semantic_kernel_and_agent_framework_concurrent() -> None:
    player = a_run("start >> law, tax, risk >> join >> result", join=ALL)
    player.begin()
    assert sorted(player.open) == ["law", "risk", "tax"]
    assert set(player.play().row("join")["output"]) == {"law", "tax", "risk"}


def test_openai_swarm_and_agents_sdk_hand_over_behind_a_guardrail() -> None:
    guard = {"kind": "check", "value": "${input.what}", "rules": [{"rule": "injection"}]}
    script = {"speak_1": {"say": "For ben.", "hand_to": "ben"}, "speak_2": {"say": "Solved.", "hand_to": None}}
    player = a_team(script, mode="handoff", nodes={"guard": guard}, drawing="start >> guard >> chat >> result").play()
    assert (player.run.output, speakers(player)) == ("Solved.", ["ann", "ben"])


def test_bedrock_supervisor_and_supervisor_router() -> None:
    player = a_lead(orders(("writer", "Do it.")), FINISH, mode="step").play()
    assert player.run.output == "All is done."
    routed = a_lead({"reason": "It fits.", "worker": "writer"}, mode="route_only").play()
    assert routed.paths_started() == ["lead~1.leader", "lead>1.writer"]
    assert routed.run.output == "lead>1.writer"


def test_bedrock_and_make_an_iterator_and_its_collector() -> None:
    over = {"kind": "each", "over": [1, 2, 3], "graph": within(prompt="${item}"), "result": "${steps.dig.output}"}
    player = a_run("start >> all >> result", all=over).play()
    assert player.row("all")["output"] == ["all[0].dig", "all[1].dig", "all[2].dig"]


def test_dapr_agents_a_durable_step_a_topic_and_a_wait_for_it() -> None:
    tell = {"kind": "board", "op": "publish", "key": "news", "value": "ready"}
    wait = {"kind": "wait", "event": {"name": "go", "topic": "orders/7"}, "timeout": "PT1H"}
    graph = a_graph("start >> tell >> wait; wait:event_go >> after >> result", tell=tell, wait=wait)
    player = Meeting(a_document(graph))
    player.begin()
    player.crash()
    player.send("orders/7", {"n": 1}, name="go")
    assert player.play().state("after") == "succeeded"


def test_agentorchestra_a_supervisor_over_agents_and_tools() -> None:
    player = a_lead(orders(("writer", "Look."), ("crm.log", {"note": "seen"})), FINISH).play()
    assert player.paths_started()[1:3] == ["lead>1.writer", "lead>2.crm_log"]


def test_adaptorch_and_mas_orchestra_a_plan_that_is_a_graph() -> None:
    shape = plan(task("a"), task("b"), task("c", "a", "b"))
    player = a_lead(shape, mode="plan").play()
    assert player.paths_started()[1:] == ["lead>1.a", "lead>2.b", "lead>3.c"]
    assert player.run.state == "succeeded"


def test_evolving_orchestration_a_leader_that_chooses_anew_after_every_answer() -> None:
    player = a_lead(orders(("writer", "First.")), orders(("careful", "Then this.")), FINISH).play()
    assert [path for path in player.paths_started() if ">" in path] == ["lead>1.writer", "lead>2.careful"]


def test_anthropic_research_a_lead_parallel_workers_and_a_check_of_citations() -> None:
    cited = {"kind": "check", "value": "${steps.lead.output}", "mode": "warn"}
    rule = {"rule": "unchanged_from", "source": "All is done."}
    player = a_lead(
        orders(("writer", "One side."), ("careful", "Another.")),
        FINISH,
        drawing="start >> lead >> cited >> result",
        nodes={"cited": {**cited, "rules": [rule]}},
    )
    player.begin()
    player.finish("lead~1.leader")
    assert len(player.open) == 2
    assert player.play().state("cited") == "succeeded"


def test_zapier_and_make_a_router_an_iterator_and_an_error_handler() -> None:
    route = {"kind": "decide", "multi": True, "routes": [{"port": "a", "when": "true"}, {"port": "b", "when": "true"}]}
    player = a_run(
        "start >> route; route:a >> one; route:b >> log >> result; log:error >> mend",
        {"log": Fails()},
        route={**route, "otherwise": "a"},
        log={"on_error": {"then": "route"}},
    ).play()
    assert (player.state("one"), player.state("mend"), player.state("log")) == ("succeeded", "succeeded", "failed")
