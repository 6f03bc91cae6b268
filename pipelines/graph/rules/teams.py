"""Teams: enough members, somebody to choose or judge where the mode needs it, and answers in one shape at a time."""

from collections.abc import Iterator

from pipelines.graph.freeze import agents_of
from pipelines.graph.model import Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem

_NEEDS_AGENT = {"selector": "Choose the agent that says who speaks next", "moderator": "Choose the agent that leads"}
_NEEDS_OTHERS = frozenset({"selector", "handoff", "debate", "bus"})


def check_teams(subject: Subject) -> Iterator[Problem]:
    """Yield what is wrong with the teams."""
    for place in subject.of_kind(Kind.TEAM):
        yield from _people(place)
        yield from _topics(place)
        yield from _shapes(subject, place)


def _people(place: Place) -> Iterator[Problem]:
    config, members = place.node.config, len(place.node.config["members"])
    mode = config["mode"]
    if mode in _NEEDS_OTHERS and members < 2:
        message = f"{named(place)} works as {mode}, which takes at least two members."
        yield problem(place, "error", "too_few_members", message, "members")
    if mode in _NEEDS_AGENT and not config["agent"]:
        yield problem(place, "error", "missing_agent", f"{_NEEDS_AGENT[mode]} in {named(place)}.", "agent")
    if mode == "debate" and not config["judge"]:
        message = f"Choose the agent that judges the debate {named(place)}."
        yield problem(place, "error", "missing_agent", message, "judge")
    wanted = config["stop"].get("agreed_by")
    if wanted and wanted > members:
        message = f"{named(place)} ends when {wanted} members agree, but it has {members}."
        yield problem(place, "error", "impossible_stop", message, "stop", "agreed_by")


def _topics(place: Place) -> Iterator[Problem]:
    config = place.node.config
    known = {*config["members"], *(member.partition("@")[0] for member in config["members"])}
    for name in config["topics"]:
        if name not in known:
            message = f"{name[:63]!r} is no member of {named(place)}, so it listens to nothing."
            yield problem(place, "error", "unknown_member", message, "topics", name)


def _shapes(subject: Subject, place: Place) -> Iterator[Problem]:
    """Yield the agents that have an output schema of their own where the team needs answers in its shape."""
    config = place.node.config
    asked = {"agent", "stop/judge", *(("judge",) if config["mode"] == "debate" else ())}
    shaped = config["mode"] in ("handoff", "bus") or bool(config["stop"].get("agreed_by"))
    for where, reference in agents_of(place.node):
        agent = subject.agent(reference)
        is_asked = where in asked or (shaped and where.startswith("members/"))
        if agent and agent.output_schema is not None and is_asked:
            message = f"The agent {reference!r} has an output schema, so it cannot answer as {named(place)} asks."
            yield problem(place, "error", "schema_conflict", message, *where.split("/"))
