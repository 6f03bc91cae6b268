"""What must hold before a model is asked: who merges is named, whose talk a session is, and an answer fits at all."""

from collections.abc import Iterator

from pipelines.graph.freeze import agents_of
from pipelines.graph.kinds import BY_JUDGEMENT
from pipelines.graph.model import Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem


def check_judgement(subject: Subject) -> Iterator[Problem]:
    """Yield an error for a merge without its agent, a session without a name, an agent no call of which could fit."""
    for place in subject.places:
        config = place.node.config
        if place.node.kind is Kind.COMBINE and config["merge"] in BY_JUDGEMENT and not config["agent"]:
            message = f"{named(place)} merges by judgement: choose the agent that does it."
            yield problem(place, "error", "missing_agent", message, "agent")
        if place.node.kind is Kind.AGENT and config["conversation"] == "session" and not config["session"]:
            message = f"Say in session whose talk {named(place)} goes on with, such as ${{input.customer}}."
            yield problem(place, "error", "missing_session", message, "session")
        yield from _too_long(subject, place)


def _too_long(subject: Subject, place: Place) -> Iterator[Problem]:
    """Yield agents that may answer with more than their model takes in all: every call would be refused."""
    own = place.node.config.get("model")
    for where, reference in agents_of(place.node):
        agent = subject.agent(reference)
        model = own if own and where == "agent" else agent.model if agent else None
        window = subject.library.windows.get(model) if model else None
        if agent is not None and window is not None and agent.max_output >= window:
            message = (
                f"{agent.id} may answer with {agent.max_output:,} tokens, but {model} takes {window:,} in all, so no "
                "call fits. Lower the agent's max_output, or choose a model that reads more."
            )
            yield problem(place, "error", "answer_too_long", message, *where.split("/"))
