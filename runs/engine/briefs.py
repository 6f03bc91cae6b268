"""What the members of a team, and those who choose and judge, are told, and the shape of what they answer.

The words of the task's author stand as they are. What was said stands between marks, each contribution for itself, so
that nobody can speak in another's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.model import Json
from runs.engine import choosers, marks, trust
from runs.engine.talk import CHOOSE, CLOSE, JUDGE, SUMMARY, Said, Team

NOBODY = "nobody"
Schema = Mapping[str, Json]
_TEXT: Schema = {"type": "string"}
_YES_OR_NO: Schema = {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Brief:
    """What one is told. `schema` None: the answer is text, or what the agent itself is made to give."""

    prompt: str
    schema: Json = None
    label: str = trust.MODEL


def to_speak(team: Team, member: int, instruction: str = "") -> Brief:
    """Return what a member is told when it is its turn."""
    name = team.names[member]
    parts = [*_material(team), f"You are {name}. It is your turn.", *_rules(team)]
    if instruction:
        parts.append(f"The moderator asks of you:\n{marks.delimited(instruction, 'moderator')}")
    return Brief("\n\n".join(parts), _speech(team, member), _label(team, said_something=bool(instruction)))


def to_ask(team: Team, part: str) -> Brief:
    """Return what somebody beside the members is told."""
    if part == CHOOSE:
        return _to_moderate(team) if team.config["mode"] == "moderator" else _to_select(team)
    asked = {JUDGE: _to_judge, SUMMARY: _to_summarise, CLOSE: _to_close}
    return asked[part](team)


def agent_for(team: Team, part: str) -> str:
    """Return the reference of the agent that is asked."""
    config = team.config
    if part == JUDGE:
        return str(config["stop"]["judge"])
    if part == CLOSE and config["mode"] == "debate":
        return str(config["judge"])
    return str(config["agent"] or config["members"][0])


def _to_select(team: Team) -> Brief:
    asked = "Choose the member who should speak next. Say in one sentence why."
    schema = _closed({"next": {"type": "string", "enum": team.candidates}, "reason": _TEXT})
    return _brief(team, [*_material(team), asked], schema)


def _to_moderate(team: Team) -> Brief:
    standing, plans = team.standing, [one for one in team.of(CHOOSE) if one.get("plan")]
    needs_plan = not plans or plans[-1].turn <= standing.since
    asked = [
        "You lead the team. Say whether the task is done; whether the newest contributions brought it forward "
        "(`progress`); who should speak next and what exactly about. Say in one sentence why."
    ]
    if needs_plan and standing.resets:
        asked.append("The team has come no further. Begin anew, with another `plan` that avoids what led nowhere.")
    elif needs_plan:
        asked.append("Nothing has been done yet. Begin with a short `plan`.")
    else:
        asked.append(f"Your plan:\n{marks.delimited(str(plans[-1].get('plan')), 'moderator')}")
    schema = {
        **({"plan": _TEXT} if needs_plan else {}),
        "done": _YES_OR_NO,
        "progress": _YES_OR_NO,
        "next": {"type": "string", "enum": team.candidates},
        "instruction": _TEXT,
        "reason": _TEXT,
    }
    return _brief(team, [*_material(team, everything=True), *asked], _closed(schema))


def _to_judge(team: Team) -> Brief:
    asked = "You judge whether the team is done: whether what was said completes the task. Say in one sentence why."
    return _brief(team, [*_material(team), asked], _closed({"done": _YES_OR_NO, "reason": _TEXT}))


def _to_summarise(team: Team) -> Brief:
    asked = (
        "Summarise what was said so far for those who go on: every fact, decision and open question, and who said it. "
        "Add nothing of your own."
    )
    return _brief(team, [*_material(team, names=False), asked], None)


def _to_close(team: Team) -> Brief:
    """Return what is asked for the last word: a judge's verdict, or a moderator's result."""
    if team.config["mode"] == "debate":
        asked = "The debate is over. You are its judge: weigh what was said, name the winner, and give your verdict."
        return _brief(team, [*_material(team, everything=True), asked], _verdict(team))
    asked = "The team is done. Give the result of the task, complete, from what was said."
    return _brief(team, [*_material(team, everything=True), asked], team.shape)


def _verdict(team: Team) -> Json:
    """Return the shape of a verdict: in words, or as the team's output is to be."""
    inner = dict(team.shape) if isinstance(team.shape, dict) else dict(_TEXT)
    definitions = {"$defs": inner.pop("$defs")} if "$defs" in inner else {}
    winner = {"type": "string", "enum": [*team.names, NOBODY]}
    return {**_closed({"winner": winner, "verdict": inner}), **definitions}


def _brief(team: Team, parts: Sequence[str], schema: Json) -> Brief:
    return Brief("\n\n".join(parts), schema, _label(team))


def _label(team: Team, *, said_something: bool = False) -> str:
    """Return whose words a brief has: a model's once anybody has spoken."""
    return trust.MODEL if said_something or team.speeches or team.of(CHOOSE) else team.label


def _material(team: Team, *, everything: bool = False, names: bool = True) -> list[str]:
    """Return the task, the members and what was said: `everything`, or what `history` lets them hear."""
    parts = [f"The task:\n{team.task}"]
    if names:
        lines = (f"- {name}: {about or name}" for name, about in zip(team.names, team.about, strict=True))
        parts.append("The members of the team:\n" + "\n".join(lines))
    speeches = team.speeches if everything and team.config["history"] == "full" else team.heard
    if team.config["history"] == "summary" and team.summary:
        parts.append(f"A summary of what was said before:\n{marks.delimited(team.summary, 'summary')}")
    if not speeches:
        return [*parts, "What was said so far: nothing yet."]
    return [*parts, "What was said so far:", *(_quoted(team, one) for one in speeches)]


def _quoted(team: Team, said: Said) -> str:
    name = team.name_of(said)
    return f"Turn {said.turn}, {name}:\n{marks.delimited(said.text or '(nothing)', name)}"


def _rules(team: Team) -> list[str]:
    """Return how members are to go about it."""
    config = team.config
    rules: list[str] = []
    match config["mode"]:
        case "debate":
            number = len({one.turn for one in team.speeches}) + 1
            rules.append(
                f"This is round {number} of {config['rounds']} of a debate. Argue your own position and answer the "
                "strongest point of the others."
            )
        case "handoff":
            rules.append(
                "Do your part of the task in `say`. Name in `hand_to` the member who should go on, or null when "
                "nothing is left to do."
            )
        case "bus":
            rules.append(
                "Answer with `messages`, each with the topic that it belongs to; with none when you have nothing to "
                f"add.{_known_topics(team)}"
            )
        case _:
            rules.append("Say what brings the task forward, and do not repeat what was said.")
    if config["stop"].get("agreed_by"):
        rules.append("Say in `agrees` whether the task is done as far as you can see.")
    if config["stop"].get("says"):
        rules.append(f"When the task is done, say “{config['stop']['says']}”.")
    return rules


def _known_topics(team: Team) -> str:
    known = sorted({str(topic) for wanted in (team.config.get("topics") or {}).values() for topic in wanted})
    others = [topic for topic in known if topic != choosers.TASK]
    return f" Members listen to: {', '.join(others)}." if others else ""


def shapes_speech(config: Mapping[str, Json]) -> bool:
    """Tell whether members answer in the team's shape, so that they can have none of their own."""
    return config["mode"] in ("handoff", "bus") or bool(config["stop"].get("agreed_by"))


def _speech(team: Team, member: int) -> Json:
    """Return the shape of a contribution: plain text, unless the mode or the way to end needs more."""
    config = team.config
    more: dict[str, Json] = {}
    if not shapes_speech(config):
        return None
    if config["mode"] == "handoff":
        others = [name for index, name in enumerate(team.names) if index != member or not config["no_repeat"]]
        more["hand_to"] = {"type": ["string", "null"], "enum": [*others, None]}
    if config["stop"].get("agreed_by"):
        more["agrees"] = _YES_OR_NO
    if config["mode"] == "bus":
        return _closed({"messages": _messages(), **more})
    return _closed({"say": {"type": "string", "minLength": 1}, **more})


def _messages() -> Json:
    message = _closed({"topic": {"type": "string", "minLength": 1, "maxLength": 80}, "text": _TEXT})
    return {"type": "array", "maxItems": 5, "items": message}


def _closed(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }
