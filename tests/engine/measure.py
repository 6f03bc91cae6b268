"""What a decision costs: `python -m tests.engine.measure` prints JSON lines. A command, not a timed test."""

import json
import time
from itertools import pairwise

from runs.engine.facts import StepSucceeded
from tests.engine.playing import Player, a_run


def chain_decision_us(steps: int = 200) -> float:
    """Return the microseconds from a step's success to the next step's start, over a chain of agents."""
    names = [f"s{number}" for number in range(steps)]
    prompts = {
        name: {"prompt": f"Go on from ${{steps.{before}.output}} for ${{input.who}}."}
        for before, name in pairwise(names)
    }
    player = a_run("start >> " + " >> ".join(names) + " >> result", input={"who": "Ann"}, **prompts)
    player.begin()
    return _microseconds(player) / steps


def item_us(size: int) -> float:
    """Return the microseconds per item of an `each` whose item is one agent."""
    graph = {"nodes": {"dig": {"kind": "agent", "agent": "writer@1", "prompt": "Dig ${item}."}}, "edges": []}
    each = {"kind": "each", "over": "${input.topics}", "max_items": 5000, "max_parallel": 8, "graph": graph}
    player = a_run("start >> each >> result", input={"topics": list(range(size))}, each=each)
    player.begin()
    return _microseconds(player) / size


def round_us(rounds: int) -> float:
    """Return the microseconds per round of a `repeat` whose round is one agent that reads the round before."""
    prompt = "Go on from ${round.previous.dig.output.text | default('nothing')}."
    graph = {"nodes": {"dig": {"kind": "agent", "agent": "writer@1", "prompt": prompt}}, "edges": []}
    repeat = {
        "kind": "repeat",
        "until": "size(steps.dig.output.text) == 0",
        "no_progress": {"metric": "round.n"},
        "max_rounds": rounds,
        "graph": graph,
    }
    player = a_run("start >> again >> result", again=repeat)
    player.begin()
    return _microseconds(player) / rounds


def _microseconds(player: Player) -> float:
    from runs.engine.decide import decide

    starts = list(player.open.values())
    spent = 0.0
    while starts:
        start = starts.pop(0)
        fact = StepSucceeded(start.path, start.attempt, {"text": "a short answer"})
        began = time.perf_counter()
        decision = decide(player.run, [fact], player.now)
        spent += time.perf_counter() - began
        starts += decision.starts
    assert player.run.state == "succeeded"
    return spent * 1e6


def main() -> None:
    for _ in range(2):
        chain_decision_us(50)
        item_us(50)
    chain = min(chain_decision_us() for _ in range(5))
    small = min(sum(item_us(20) for _ in range(20)) / 20 for _ in range(3))
    large = min(item_us(2000) for _ in range(3))
    print(json.dumps({"what": "chain_decision", "us": round(chain, 1), "target_us": 150}))
    print(json.dumps({"what": "each_item", "us_of_20": round(small, 1), "us_of_2000": round(large, 1)}))
    print(json.dumps({"what": "each_item_ratio", "ratio": round(large / small, 2), "target": 1.3}))
    few = min(sum(round_us(10) for _ in range(20)) / 20 for _ in range(3))
    many = min(sum(round_us(100) for _ in range(2)) / 2 for _ in range(3))
    print(json.dumps({"what": "repeat_round", "us_of_10": round(few, 1), "us_of_100": round(many, 1)}))
    print(json.dumps({"what": "repeat_round_ratio", "ratio": round(many / few, 2), "target": 1.3}))


if __name__ == "__main__":
    main()
