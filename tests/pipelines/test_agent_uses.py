"""Where agents are used, and how a draft takes the newest version: by one op, and never further than the draft."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from accounts.errors import Conflict, Forbidden
from pipelines import agent_uses, drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, DraftEdit, Pipeline
from tests.people import Team, acting
from tests.pipelines.builders import a_document, a_pipeline, a_writer


def two_versions(team: Team) -> Agent:
    a_writer(acting(team.alice))
    agent = Agent.objects.get(slug="writer")
    agents.new_version(acting(team.alice), agent, AgentFields("demo/echo"))
    return agent


def nested(slug: str = "nested") -> dict[str, Any]:
    """Return a pipeline that names the writer in a step, in a container's step, and as what that one falls back to."""
    document = a_document(slug)
    inner = {
        "nodes": {
            "draft": {
                "kind": "agent",
                "agent": "writer@1",
                "prompt": "Again.",
                "on_error": {"fallback": [{"agent": "writer@1"}]},
            }
        },
        "edges": [],
    }
    document["graph"]["nodes"]["again"] = {
        "kind": "repeat",
        "max_rounds": 2,
        "graph": inner,
        "until": "round.n >= 2",
        "result": "${steps.draft.output}",
    }
    document["graph"]["edges"] += [{"from": "write", "to": "again"}]
    return document


def test_a_pipeline_says_which_of_its_steps_name_which_version(team: Team) -> None:
    agent = two_versions(team)
    pipeline = a_pipeline(acting(team.alice))
    publish.publish(acting(team.alice), pipeline)
    newer = copy.deepcopy(pipeline.draft.document)
    newer["graph"]["nodes"]["write"]["agent"] = "writer"
    drafts.save(acting(team.alice), pipeline, newer, 1)

    (use,) = agent_uses.uses_of(acting(team.alice), agent, 2)

    assert (use.pipeline, use.titles, use.drafted, use.published, use.behind) == (pipeline, ["Write"], [None], [1], 0)
    assert agent_uses.uses_by_agent(acting(team.alice)) == {"writer": {"brief"}}


def test_a_draft_takes_the_newest_version_in_one_change(team: Team) -> None:
    agent = two_versions(team)
    pipeline = a_pipeline(acting(team.alice))
    publish.publish(acting(team.alice), pipeline)
    pipeline.refresh_from_db()

    draft = agent_uses.update_draft(acting(team.alice), pipeline, agent, 2)

    assert draft.document["graph"]["nodes"]["write"]["agent"] == "writer@2"
    assert draft.revision == 2
    published = Pipeline.objects.get(pk=pipeline.pk).published
    assert published is not None
    assert published.number == 1
    assert published.document["graph"]["nodes"]["write"]["agent"] == "writer@1"
    edit = DraftEdit.objects.get(pipeline=pipeline, revision=2)
    assert [op["op"] for op in edit.ops["ops"]] == ["set_node"]


def test_steps_inside_containers_follow_too(team: Team) -> None:
    agent = two_versions(team)
    pipeline = drafts.create(acting(team.alice), nested())
    draft = agent_uses.update_draft(acting(team.alice), pipeline, agent, 2)
    assert "writer@1" not in str(draft.document)
    assert str(draft.document).count("writer@2") == 3
    assert agent_uses.uses_of(acting(team.alice), agent, 2)[0].behind == 0


def test_a_draft_that_names_the_newest_is_left_alone(team: Team) -> None:
    a_writer(acting(team.alice))
    pipeline = a_pipeline(acting(team.alice))
    with pytest.raises(Conflict) as refused:
        agent_uses.update_draft(acting(team.alice), pipeline, Agent.objects.get(), 1)
    assert refused.value.code == "already_newest"


def test_a_reader_updates_no_draft(team: Team) -> None:
    agent = two_versions(team)
    pipeline = a_pipeline(acting(team.alice))
    with pytest.raises(Forbidden):
        agent_uses.update_draft(acting(team.bob), pipeline, agent, 2)


def test_an_archived_pipeline_uses_nothing(team: Team) -> None:
    agent = two_versions(team)
    drafts.archive(acting(team.alice), a_pipeline(acting(team.alice)))
    assert agent_uses.uses_of(acting(team.alice), agent, 2) == []


def test_a_document_is_read_once_and_again_when_it_changes(
    team: Team, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    agent = two_versions(team)
    pipeline = a_pipeline(acting(team.alice))
    alice = acting(team.alice)
    publish.publish(alice, pipeline)
    assert agent_uses.uses_of(alice, agent, 2)[0].behind == 1
    with django_assert_num_queries(1):
        assert agent_uses.uses_of(alice, agent, 2)[0].behind == 1
    pipeline.refresh_from_db()
    agent_uses.update_draft(acting(team.alice), pipeline, agent, 2)
    assert agent_uses.uses_of(acting(team.alice), agent, 2)[0].behind == 0
