"""Supervisors: they have someone to lead, each by a name of its own, and a leader that can be asked."""

from collections.abc import Iterator, Mapping

from pipelines.graph.model import Json, Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem
from pipelines.graph.workers import SUPERVISOR, levels_of, workers_of


def check_supervisors(subject: Subject) -> Iterator[Problem]:
    """Yield what keeps a supervisor, or one under it, from leading."""
    for place in subject.of_kind(Kind.SUPERVISOR):
        config = place.node.config
        if not config["task"].strip():
            yield problem(place, "error", "empty_prompt", f"{named(place)} has no task.", "task")
        most = min(config["max_depth"], subject.document.limits.max_depth)
        if (levels := levels_of(config)) > most:
            message = f"In {named(place)} supervisors stand {levels} deep under each other; at most {most} may."
            yield problem(place, "error", "too_many_levels", message, "workers")
        yield from _leader(subject, place, config, ())
        for index, fallback in enumerate(place.node.on_error.fallback):
            if fallback.kind == "agent":
                yield from _can_lead(subject, place, fallback.ref, ("on_error", "fallback", str(index), "agent"))


def _leader(subject: Subject, place: Place, config: Mapping[str, Json], at: tuple[str, ...]) -> Iterator[Problem]:
    """Yield the problems of one supervisor and of those under it; `at` leads to it from the step."""
    yield from _can_lead(subject, place, config["agent"], (*at, "agent"))
    if config["review_plan"] and config["mode"] != "plan":
        message = f"{named(place)} makes no plan that a person could look at. Choose the mode 'plan'."
        yield problem(place, "warning", "review_unused", message, *at, "review_plan")
    workers = workers_of(config)
    if not workers:
        yield problem(place, "error", "no_workers", f"{named(place)} has nobody to lead. Add a worker.", *at, "workers")
    seen: set[str] = set()
    for index, worker in enumerate(workers):
        where = (*at, "workers", str(index))
        if worker.name in seen:
            message = f"Two workers of {named(place)} are called {worker.name!r}. Keep one."
            yield problem(place, "error", "duplicate_worker", message, *where)
        seen.add(worker.name)
        if worker.config is not None:
            yield from _leader(subject, place, worker.config, (*where, SUPERVISOR))


def _can_lead(subject: Subject, place: Place, reference: str, where: tuple[str, ...]) -> Iterator[Problem]:
    agent = subject.agent(reference)
    if agent is not None and agent.output_schema is not None:
        message = f"The agent {reference!r} answers in a shape of its own, so it cannot lead. Choose another."
        yield problem(place, "error", "leader_has_schema", message, *where)
