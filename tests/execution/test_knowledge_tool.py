"""knowledge.search against real rows: what a step gets, whose it is, and what the call is named in the trace."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Workspace
from accounts.roles import Role
from pipelines.graph.schemas import findings
from pipelines.knowledge import collections
from pipelines.library.tools import TOOLS
from runs.engine.facts import StepFailed, StepSucceeded
from runs.execution import spans
from runs.execution.steps import carry_out
from tests.execution.contexts import WORKSPACE, MemoryContext, a_tool_step
from tests.people import a_person

pytestmark = pytest.mark.django_db(transaction=True)
SEARCH = "knowledge.search@1"


@pytest.fixture(autouse=True)
def _handbooks() -> None:
    ours = Workspace.objects.create(pk=WORKSPACE, slug="acme", name="Acme")
    theirs = Workspace.objects.create(slug="globex", name="Globex")
    alice = a_person("alice")
    for workspace, slug, text in (
        (ours, "handbook", "Everybody has 28 days of holidays."),
        (theirs, "secrets", "The holidays are cancelled."),
    ):
        actor = Actor(alice, workspace, frozenset({Role.COMPOSER}))
        collections.add(actor, collections.create(actor, slug), "leave.md", text)


def a_search(**args: Any) -> MemoryContext:
    return a_tool_step(SEARCH, {"collection": "handbook", "query": "holidays", **args})


async def test_a_step_gets_passages_with_their_places() -> None:
    step = a_search()
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded), fact
    (passage,) = fact.output["passages"]
    assert passage["text"] == "Everybody has 28 days of holidays."
    assert (passage["document"], passage["place"]) == ("leave.md", "line 1")
    assert findings(TOOLS[SEARCH].result_schema, fact.output) == []
    (outcome,) = step.outcomes
    assert outcome.attributes[spans.OPERATION] == "retrieval"
    assert outcome.attributes[spans.DATA_SOURCE] == "handbook"


async def test_nothing_found_is_no_failure() -> None:
    fact = await carry_out(a_search(query="submarines"))
    assert isinstance(fact, StepSucceeded)
    assert fact.output == {"passages": []}


async def test_another_workspaces_collection_is_unknown_and_those_there_are_are_named() -> None:
    fact = await carry_out(a_search(collection="secrets"))
    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == ("tool_error", "unknown_collection")
    assert fact.error.message == "There is no collection named 'secrets' here. There are: handbook."


@pytest.mark.parametrize("args", [{"limit": 21}, {"limit": 0}, {"query": ""}, {"more": 1}])
async def test_arguments_out_of_range_are_refused_before_anything_is_asked(args: dict[str, Any]) -> None:
    step = a_search(**args)
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "invalid_arguments"
    assert step.intents == []


def test_the_trace_names_where_was_looked() -> None:
    assert spans.tool_name(SEARCH, {"args": {"collection": "handbook"}}) == "retrieval handbook"
    assert spans.tool_name(SEARCH) == "retrieval knowledge.search"
    assert spans.tool_name("notes.append@1", {"args": {"collection": "x"}}) == "execute_tool notes.append"
