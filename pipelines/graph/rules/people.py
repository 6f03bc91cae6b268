"""People: who is asked can answer, and what cannot be undone is guarded."""

from collections.abc import Iterator, Sequence

from pipelines.graph import gates
from pipelines.graph.freeze import agents_of, tools_of
from pipelines.graph.kinds import ROLES
from pipelines.graph.lock import resolve
from pipelines.graph.model import Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem
from pipelines.graph.tools import Effect

_POLICY = "/approvals/irreversible"


def check_people(subject: Subject) -> Iterator[Problem]:
    """Yield what is wrong with the steps that ask people and with the pipeline's approval policy."""
    irreversible = subject.document.irreversible
    yield from _unknown_roles(irreversible.roles, _POLICY, None)
    if message := _nobody(irreversible.roles, irreversible.people, irreversible.min_approvals):
        yield Problem("nobody_can_answer", "error", _POLICY, None, message)
    for place in subject.of_kind(Kind.HUMAN):
        config = place.node.config
        yield from _unknown_roles(config["roles"], place.where, place.name)
        if message := _nobody(config["roles"], config["people"], config["min_approvals"]):
            yield problem(place, "error", "nobody_can_answer", message, "roles")
        if config["mode"] != "answer" and not config["not_starter"]:
            message = "Nobody approves what they started themselves. Only an answer may come from the starter."
            yield problem(place, "error", "self_approval", message, "not_starter")
        if config["mode"] == "answer" and config["min_approvals"] > 1:
            message = f"{named(place)} asks for an answer, and the first one counts. Ask for an approval, or want one."
            yield problem(place, "error", "one_answer", message, "min_approvals")
        if config["on_expire"] == "escalate" and not config["escalate_to"]:
            message = f"Say whom {named(place)} is passed on to when nobody answers in time."
            yield problem(place, "error", "nobody_can_answer", message, "escalate_to")
        if config["guards"] is not None:
            yield from _guard(place)


def check_guards(subject: Subject) -> Iterator[Problem]:
    """Yield a warning for each irreversible call that no Person step asks for beforehand."""
    for place in subject.places:
        if place.node.kind is Kind.TOOL:
            tool = subject.tool(place.node.config["tool"])
            # A method that is filled in only at run time is no safe method, so it counts as irreversible here.
            if tool and gates.needs_approval(tool, place.node.config["args"]) and not _is_guarded(place):
                message = (
                    f"{named(place)} cannot be undone and no Person step guards it: the run will stop there and ask "
                    f"{_asked(subject)}."
                )
                yield problem(place, "warning", "unguarded_irreversible", message)
        elif place.node.kind is Kind.SUPERVISOR:
            for name in _irreversible_workers(subject, place):
                message = f"{named(place)} may use {name}, which cannot be undone: each use asks {_asked(subject)}."
                yield problem(place, "warning", "unguarded_irreversible", message, "workers")
        elif place.node.kind in (Kind.AGENT, Kind.TEAM):
            field = "agent" if place.node.kind is Kind.AGENT else "members"
            for name in dict.fromkeys(_irreversible_tools(subject, place)):
                message = f"{named(place)} may use {name}, which cannot be undone: each use asks {_asked(subject)}."
                yield problem(place, "warning", "unguarded_irreversible", message, field)


def _unknown_roles(roles: Sequence[str], where: str, node: str | None) -> Iterator[Problem]:
    for index, role in enumerate(roles):
        if role not in ROLES:
            message = f"There is no role {role!r}. Known are: {', '.join(ROLES)}."
            yield Problem("unknown_role", "error", f"{where}/roles/{index}", node, message)


def _nobody(roles: Sequence[str], people: Sequence[str], wanted: int) -> str:
    if not roles and not people:
        return "Nobody may answer: name a role or a person."
    if not roles and len(set(people)) < wanted:
        return f"{wanted} people must approve, but only {len(set(people))} may answer."
    return ""


def _guard(place: Place) -> Iterator[Problem]:
    config, graph = place.node.config, place.graph
    action = graph.nodes.get(config["guards"])
    if action is None or action.kind is not Kind.TOOL:
        message = f"{named(place)} guards {config['guards']!r}, which is no action beside it."
        yield problem(place, "error", "bad_guard", message, "guards")
    elif config["mode"] == "answer":
        message = f"{named(place)} asks for an answer; only an approval or an edit can guard an action."
        yield problem(place, "error", "bad_guard", message, "mode")
    elif place.node.id not in graph.ancestors(action.id):
        message = f"{named(place)} guards {action.id!r}, which does not come after it. Draw a line between them."
        yield problem(place, "error", "bad_guard", message, "guards")


def _is_guarded(place: Place) -> bool:
    return any(
        node.kind is Kind.HUMAN and node.config["guards"] == place.node.id and node.config["mode"] != "answer"
        for node in place.graph.nodes.values()
    )


def _irreversible_tools(subject: Subject, place: Place) -> Iterator[str]:
    named_tools = place.node.config.get("tools")
    for _, name in agents_of(place.node):
        agent = subject.agent(name)
        for reference in (agent.tools if named_tools is None else named_tools) if agent else ():
            exact = resolve(reference, subject.library.tools)
            if exact and subject.library.tools[exact].effect is Effect.IRREVERSIBLE:
                yield exact


def _irreversible_workers(subject: Subject, place: Place) -> Iterator[str]:
    """Yield what a supervisor's workers, and the agents among them, may do that cannot be undone; each once."""
    agents = [subject.agent(reference) for _, reference in agents_of(place.node)]
    used = [*tools_of(place.node), *(name for agent in agents if agent for name in agent.tools)]
    for exact in dict.fromkeys(resolve(reference, subject.library.tools) for reference in used):
        if exact and subject.library.tools[exact].effect is Effect.IRREVERSIBLE:
            yield exact


def _asked(subject: Subject) -> str:
    policy = subject.document.irreversible
    return " or ".join([f"a {role}" for role in policy.roles] + list(policy.people)) or "nobody"
