"""Teams to play: ann, ben and cem in every mode, what they say, and how to look at what came of it."""

import random
from collections.abc import Mapping
from typing import Any

from runs.engine.decision import Start
from tests.engine.playing import Player, a_run

MEMBERS = ["ann", "ben", "cem"]
RESULT = {"kind": "output", "value": "${steps.chat.output}"}
MODES = ("round_robin", "selector", "handoff", "moderator", "debate", "bus")


def turn_of(start: Start) -> int:
    return int(start.path.rpartition("~")[2].partition(".")[0])


def said(start: Start) -> Any:
    """Return what anybody says who is asked: in the shape that is wanted, the same for a path in every order."""
    words = f"{start.agent.role if start.agent else ''} in turn {turn_of(start)}"
    schema = start.node.output_schema
    return words if schema is None else filled(schema, words, random.Random(start.path))


def filled(schema: Mapping[str, Any], words: str, rng: random.Random) -> Any:
    match schema:
        case {"enum": options}:
            return rng.choice(options)
        case {"type": "object", "properties": properties}:
            return {name: filled(inner, words, rng) for name, inner in properties.items()}
        case {"type": "array", "items": items}:
            return [filled(items, words, rng) for _ in range(rng.randint(0, 2))]
        case {"type": "boolean"}:
            return rng.random() < 0.4
        case _:
            return words


def a_team(script: Any = None, **config: Any) -> Player:
    """Return a run with a team `chat` of ann, ben and cem. `script` adds to, by node, what everybody says."""
    nodes = config.pop("nodes", {})
    document = config.pop("document", {})
    drawing = config.pop("drawing", "start >> chat >> result")
    node = {"kind": "team", "task": "Plan ${input.what}.", "members": MEMBERS, **config}
    parts = ("choose", "judge", "summary", "close", *(f"speak_{place}" for place in range(1, 8)))
    found = {**dict.fromkeys(parts, said), **(script or {})}
    given = {"what": "a feast"}
    return a_run(drawing, found, chat=node, result=RESULT, document=document, input=given, **nodes)


def chooses(*names: str, **more: Any) -> Any:
    """Return a selector or moderator who calls on these, turn by turn."""
    fields = {"reason": "It is time.", **more}
    return lambda start: {"next": names[min(turn_of(start), len(names)) - 1], **fields}


def moderates(progress: bool, done_in: int = 99, names: tuple[str, ...] = ("ann", "ben")) -> Any:
    def choose(start: Start) -> dict[str, Any]:
        asked = start.node.output_schema["properties"]
        answer = {"done": turn_of(start) >= done_in, "progress": progress, "instruction": "Be brief.", "reason": "So."}
        answer["next"] = next(name for name in names if name in asked["next"]["enum"])
        return {**answer, **({"plan": f"plan of turn {turn_of(start)}"} if "plan" in asked else {})}

    return choose


def prompts(player: Player, node: str) -> list[str]:
    return [start.input["prompt"] for start in player.started if start.node.id == node]


def meta(player: Player) -> Any:
    return player.row("chat")["meta"]
