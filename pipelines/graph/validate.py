"""What must be mended before a pipeline can be published, and what is worth knowing."""

from collections.abc import Callable, Iterator

from pipelines.graph.lock import Library
from pipelines.graph.model import Document
from pipelines.graph.problems import Problem
from pipelines.graph.rules.caching import check_cache
from pipelines.graph.rules.judgement import check_judgement
from pipelines.graph.rules.names import check_cap, check_names, check_prices, check_values
from pipelines.graph.rules.people import check_guards, check_people
from pipelines.graph.rules.pipelines import check_pipelines
from pipelines.graph.rules.references import check_references
from pipelines.graph.rules.structure import check_structure
from pipelines.graph.rules.subject import Subject
from pipelines.graph.rules.supervising import check_supervisors
from pipelines.graph.rules.teams import check_teams
from pipelines.graph.rules.waiting import check_waiting

__all__ = ["Library", "problems"]
MAX_PROBLEMS = 500
_RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    check_structure,
    check_judgement,
    check_names,
    check_pipelines,
    check_references,
    check_values,
    check_people,
    check_guards,
    check_teams,
    check_prices,
    check_cap,
    check_cache,
    check_supervisors,
    check_waiting,
)


def problems(document: Document, library: Library) -> list[Problem]:
    """Return every problem, errors first, else in the order of the document; at most 500.

    A draft with problems is saved; one with an error cannot be published or run.
    """
    subject = Subject(document, library)
    order = {place.name: index for index, place in enumerate(subject.places)}
    found = dict.fromkeys(problem for rule in _RULES for problem in rule(subject))
    last = len(order)
    ranked = sorted(found, key=lambda one: (one.severity != "error", order.get(one.node or "", last)))
    return ranked[:MAX_PROBLEMS]
