"""How the built-in models take part in a team: they let everybody speak, hand over once, and then find it done.

They read what a team tells its members (`runs.engine.briefs`). The same talk always gets the same answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import re2

from pipelines.graph.model import Json
from runs.execution.models.samples import Words, chosen, instance
from runs.execution.models.values import ModelRequest

_MEMBERS = re2.compile(r"(?s)\nThe members of the team:\n(.*?)\n\n")
_NAME = re2.compile(r"(?m)^- ([^:\n]+):")
_SPEECH = re2.compile(r"(?m)^Turn \d+, ([^:\n]+):$")
_YOU = re2.compile(r"(?m)^You are ([^.\n]+)\. It is your turn\.$")
_TASK = re2.compile(r"(?s)^The task:\n(.*?)\n\nThe members of the team:\n")
_TOPICS = re2.compile(r"Members listen to: ([^.\n]+)\.")
_POINTS = (
    "the figure to watch is the cost of one finished piece of work",
    "it is worth most where the same small decision comes back every day",
    "the risk is in what nobody looks at once it runs by itself",
    "a short trial with one team answers more than a long comparison",
    "whoever bears the consequences should say when it is good enough",
    "what can be undone may be tried at once, the rest wants a second pair of eyes",
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model was told of a team: its members, who has spoken in which order, and which of them it is itself."""

    names: Sequence[str]
    speakers: Sequence[str]
    me: str
    prompt: str
    subject: str

    @property
    def has_everybody_spoken(self) -> bool:
        return set(self.names) <= {*self.speakers, self.me}

    @property
    def contribution(self) -> str:
        """Return what it says now: another point each time, so that no two are alike."""
        place = self.names.index(self.me) if self.me in self.names else 0
        point = _POINTS[(len(self.speakers) + place) % len(_POINTS)]
        before = f" I take up what {self.speakers[-1]} said." if self.speakers else ""
        return f"On {self.subject}, point {self.speakers.count(self.me) + 1} of {self.me}: {point}.{before}"


def answer(request: ModelRequest, subject: Callable[[str], str]) -> str | None:
    """Return what the model says in a team, as text or as JSON in the wanted shape; None where there is no team."""
    heard = _heard(request, subject)
    if heard is None:
        return None
    if request.schema is None:
        return heard.contribution if heard.me else _result(heard)
    words = Words(heard.subject, _result(heard), (_result(heard),), heard.prompt)
    found = instance(request.schema, words)
    if isinstance(found, dict):
        found |= _decided(request.schema["properties"], heard, words)
    return json.dumps(found, ensure_ascii=False)


def _heard(request: ModelRequest, subject: Callable[[str], str]) -> Heard | None:
    prompt = next((message.text for message in request.messages if message.role == "user"), "")
    members = _MEMBERS.search(prompt)
    if members is None:
        return None
    you, task = _YOU.search(prompt), _TASK.search(prompt)
    return Heard(
        names=[str(name) for name in _NAME.findall(str(members.group(1)) + "\n")],
        speakers=[str(name) for name in _SPEECH.findall(prompt)],
        me=str(you.group(1)) if you else "",
        prompt=prompt,
        subject=subject(str(task.group(1)) if task else prompt),
    )


def _decided(properties: Mapping[str, Json], heard: Heard, words: Words) -> dict[str, Json]:
    """Return the fields by which a team goes on, as far as they are asked for."""
    made: dict[str, Callable[[Json], Json]] = {
        "next": lambda field: min(field["enum"], key=heard.speakers.count),
        "done": lambda _: heard.has_everybody_spoken,
        "progress": lambda _: True,
        "agrees": lambda _: heard.has_everybody_spoken,
        "hand_to": lambda field: _next_hand(field["enum"], heard, words),
        "winner": lambda field: field["enum"][int(words.number("winner") * len(heard.names))],
        "messages": lambda _: _messages(heard),
        "say": lambda _: heard.contribution,
        "instruction": lambda _: f"Give one new point about {heard.subject}, with its reason.",
        "plan": lambda _: f"Hear {' and '.join(heard.names)} on {heard.subject}, one after the other.",
        "reason": lambda _: f"{len(set(heard.speakers))} of {len(heard.names)} members have been heard.",
    }
    return {name: made[name](field) for name, field in properties.items() if name in made}


def _next_hand(options: Sequence[Json], heard: Heard, words: Words) -> Json:
    """Return who should go on: whom the task speaks of most, and nobody once somebody was handed it."""
    others = [option for option in options if option is not None]
    return None if heard.speakers or not others else chosen(others, words)


def _messages(heard: Heard) -> list[Json]:
    if heard.me in heard.speakers:
        return []
    known = _TOPICS.search(heard.prompt)
    topic = str(known.group(1)).split(", ")[0] if known else "task"
    return [{"topic": topic, "text": heard.contribution}]


def _result(heard: Heard) -> str:
    """Return the last word about a talk."""
    spoken = " and ".join(dict.fromkeys(heard.speakers)) or "nobody"
    return (
        f"On {heard.subject}: having heard {spoken}, begin with a small trial, measure it, and decide by the figures."
    )
