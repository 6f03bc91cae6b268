import threading
from typing import Any

import pytest
from django.db import connection

from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import AuditEntry
from pipelines import drafts
from pipelines.models import Draft, DraftEdit, Pipeline
from tests.people import Team, a_team, acting
from tests.pipelines.builders import a_document, a_pipeline, a_writer, prompting

RENAME = [{"op": "set_document", "fields": {"name": "Renamed"}}]


def test_a_document_becomes_a_draft_under_its_own_id(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice), "brief", description="Short")
    assert (pipeline.slug, pipeline.name, pipeline.description) == ("brief", "Brief", "Short")
    assert pipeline.draft.revision == 1
    assert pipeline.draft.document == a_document("brief", description="Short")
    assert AuditEntry.objects.filter(action="pipeline.created", target="brief", actor="alice@example.com").exists()


def test_a_slug_is_taken_once_per_workspace(team: Team) -> None:
    a_pipeline(acting(team.alice))
    with pytest.raises(Conflict) as refusal:
        a_pipeline(acting(team.alice))
    assert refusal.value.code == "slug_taken"
    assert a_pipeline(acting(team.charlie)).workspace == team.elsewhere


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"colour": "red"}, "/colour"),
        ({"id": "Not a slug"}, "/id"),
        ({"graph": {"nodes": {"x": {"kind": "spaceship"}}, "edges": []}}, "/graph/nodes/x/kind"),
        ({"graph": {"nodes": {"x": {"kind": "input"}}, "edges": [{"from": "x", "to": "y"}]}}, "/graph/edges/0"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "a\ud800b"}, "/name"),
    ],
)
def test_a_document_that_is_no_pipeline_is_refused_with_its_path(
    team: Team, change: dict[str, Any], where: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        drafts.create(acting(team.alice), {**a_document(), **change})
    assert (refusal.value.where or "").startswith(where)
    assert not Pipeline.objects.exists()


def test_saving_raises_the_revision_and_follows_the_name(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    draft = drafts.save(acting(team.alice), pipeline, a_document(name="Better"), 1)
    assert draft.revision == 2
    assert Pipeline.objects.get().name == "Better"
    assert Draft.objects.get().document["name"] == "Better"


def test_the_second_of_two_editors_is_told_instead_of_overwriting(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    drafts.save(acting(team.alice), pipeline, a_document(name="Alice's"), 1)
    with pytest.raises(Conflict) as refusal:
        drafts.save(acting(team.dana), pipeline, a_document(name="Dana's"), 1)
    assert refusal.value.code == "stale_revision"
    assert refusal.value.extra["revision"] == 2
    assert Draft.objects.get().document["name"] == "Alice's"


def test_a_draft_keeps_its_id(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    with pytest.raises(Invalid) as refusal:
        drafts.save(acting(team.alice), pipeline, a_document("other"), 1)
    assert (refusal.value.code, refusal.value.where) == ("id_changed", "/id")


def test_the_same_op_id_applies_once(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    for _ in range(3):
        draft = drafts.apply_ops(acting(team.alice), pipeline, 1, "op-1", RENAME)
    assert draft.revision == 2
    assert DraftEdit.objects.filter(pipeline=pipeline, op_id="op-1").count() == 1


def test_an_edit_keeps_what_takes_it_back(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    drafts.apply_ops(acting(team.alice), pipeline, 1, "op-1", RENAME)
    edit = DraftEdit.objects.get(op_id="op-1")
    assert edit.by == team.alice
    drafts.apply_ops(acting(team.alice), pipeline, 2, "op-2", edit.ops["inverse"])
    assert Draft.objects.get().document == a_document()


def test_ops_that_would_make_a_cycle_change_nothing(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    loop = [{"op": "add_edge", "from": "write", "to": "write"}]
    with pytest.raises(Invalid):
        drafts.apply_ops(acting(team.alice), pipeline, 1, "loop", loop)
    assert Draft.objects.get().revision == 1
    assert DraftEdit.objects.count() == 1


def test_moving_boxes_is_not_audited(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    before = AuditEntry.objects.count()
    drafts.apply_ops(acting(team.alice), pipeline, 1, "move", [{"op": "move", "positions": {"start": [0, 0]}}])
    assert AuditEntry.objects.count() == before


def test_problems_are_saved_and_shown(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    found = drafts.problems(acting(team.alice), pipeline)
    assert [(problem.severity, problem.node) for problem in found if problem.code == "unknown_agent"] == [
        ("error", "write")
    ]
    a_writer(acting(team.alice))
    assert not [problem for problem in drafts.problems(acting(team.alice), pipeline) if problem.severity == "error"]


def test_only_editors_edit(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    for person in (team.bob, team.carol, team.erin):
        actor = acting(person)
        for act in (
            lambda actor=actor: drafts.create(actor, a_document("mine")),
            lambda actor=actor: drafts.save(actor, pipeline, a_document(name="Mine"), 1),
            lambda actor=actor: drafts.archive(actor, pipeline),
            lambda actor=actor: drafts.restore(actor, pipeline),
        ):
            with pytest.raises(Forbidden):
                act()


def test_an_archived_pipeline_cannot_be_edited_until_it_is_restored(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    drafts.archive(acting(team.alice), pipeline)
    drafts.archive(acting(team.alice), pipeline)
    assert AuditEntry.objects.filter(action="pipeline.archived").count() == 1
    with pytest.raises(Conflict) as refusal:
        drafts.save(acting(team.alice), pipeline, a_document(), 1)
    assert refusal.value.code == "archived"
    drafts.restore(acting(team.alice), pipeline)
    assert drafts.save(acting(team.alice), pipeline, a_document(), 1).revision == 2


@pytest.mark.django_db(transaction=True)
def test_of_editors_at_the_same_moment_exactly_one_wins() -> None:
    team = a_team()
    pipeline = a_pipeline(acting(team.alice))
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def edit(number: int) -> None:
        try:
            start.wait()
            drafts.save(acting(team.alice), pipeline, prompting(a_document(), f"Version {number}"), 1)
            outcomes.append("saved")
        except Conflict as refusal:
            outcomes.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["saved"] + ["stale_revision"] * 5
    assert Draft.objects.get(pipeline=pipeline).revision == 2
