import threading

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.roles import Role
from pipelines import drafts, publish, version_pages
from pipelines.editor import history
from pipelines.graph.lock import Lock, Price
from pipelines.library import agents
from pipelines.models import AgentVersion, Pipeline, PipelineVersion
from tests.people import Team, a_member, a_team, acting
from tests.pipelines.builders import a_document, a_pipeline, a_published_pipeline, a_writer, prompting


def test_publishing_numbers_versions_and_moves_the_pointer(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    first = pipeline.published
    assert first is not None
    assert first.number == 1
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), "Anew"), 1)
    second = publish.publish(acting(team.alice), pipeline, "Better prompt")
    pipeline.refresh_from_db()
    assert (second.number, second.note, pipeline.published) == (2, "Better prompt", second)
    assert second.hash.startswith("sha256:")
    assert second.hash != first.hash
    assert first.document == a_document()


def test_a_version_locks_the_exact_agents_and_prices(team: Team) -> None:
    writer = a_writer(acting(team.alice), instructions="As it was")
    pipeline = a_pipeline(acting(team.alice))
    version = publish.publish(acting(team.alice), pipeline)
    agents.new_version(acting(team.alice), writer.agent, agents.AgentFields(model="demo/echo"))
    lock = Lock.from_json(PipelineVersion.objects.get(pk=version.pk).lock)
    assert lock.agents["writer@1"].instructions == "As it was"
    assert lock.prices == {"demo/writer": Price(250_000, 2_000_000)}


def test_moving_a_box_keeps_the_hash(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    drafts.apply_ops(acting(team.alice), pipeline, 1, "m", [{"op": "move", "positions": {"start": [4, 2]}}])
    moved = publish.publish(acting(team.alice), pipeline)
    assert pipeline.published is not None
    assert moved.hash == pipeline.published.hash


def test_a_draft_with_errors_is_not_published(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice))
    for attempt in (publish.publish, publish.freeze_draft):
        with pytest.raises(Invalid) as refusal:
            attempt(acting(team.alice), pipeline)
        assert refusal.value.code == "not_publishable"
        assert ".." not in refusal.value.message
        assert "unknown_agent" in [problem["code"] for problem in refusal.value.extra["problems"]]
    assert not PipelineVersion.objects.exists()
    assert Pipeline.objects.get().published is None


def test_the_editors_of_a_version_are_those_since_the_one_before(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    assert pipeline.published is not None
    assert pipeline.published.editors == [team.alice.pk]
    drafts.save(acting(team.dana), pipeline, prompting(a_document(), "Dana's"), 1)
    assert publish.freeze_draft(acting(team.alice), pipeline).editors == [team.dana.pk]
    assert publish.publish(acting(team.alice), pipeline).editors == [team.dana.pk]
    unchanged = publish.publish(acting(team.alice), pipeline)
    assert unchanged.editors == [team.dana.pk], "publishing again must not free the editors to approve"


def test_running_a_draft_twice_freezes_it_once(team: Team) -> None:
    a_writer(acting(team.alice))
    pipeline = a_pipeline(acting(team.alice))
    first = publish.freeze_draft(acting(team.alice), pipeline)
    assert first.number is None
    assert publish.freeze_draft(acting(team.alice), pipeline) == first
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), "Anew"), 1)
    assert publish.freeze_draft(acting(team.alice), pipeline) != first
    assert Pipeline.objects.get().published is None


def test_a_draft_edited_by_somebody_else_is_frozen_anew_so_that_they_cannot_approve_it(team: Team) -> None:
    a_writer(acting(team.alice))
    pipeline = a_pipeline(acting(team.alice))
    first = publish.freeze_draft(acting(team.alice), pipeline)
    drafts.save(acting(team.dana), pipeline, a_document(), 1)
    second = publish.freeze_draft(acting(team.alice), pipeline)
    assert second != first
    assert set(second.editors) == {team.alice.pk, team.dana.pk}


def test_rolling_back_publishes_the_old_document_as_a_new_version(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), "Worse"), 1)
    publish.publish(acting(team.alice), pipeline)
    again = publish.rollback(acting(team.dana), pipeline, 1)
    pipeline.refresh_from_db()
    assert (again.number, again.document) == (3, a_document())
    assert pipeline.published == again
    assert set(again.editors) == {team.alice.pk, team.dana.pk}
    assert pipeline.draft.document == prompting(a_document(), "Worse"), "the draft stays as it is"


def test_a_rollback_does_not_free_the_editors_of_the_draft_to_approve(team: Team) -> None:
    pipeline, eve = a_published_pipeline(acting(team.alice)), a_member(team.workspace, "eve", Role.COMPOSER)
    drafts.save(acting(eve), pipeline, prompting(a_document(), "Eve's"), 1)
    assert publish.publish(acting(team.alice), pipeline).editors == [eve.pk]
    publish.rollback(acting(team.dana), pipeline, 1)
    assert publish.freeze_draft(acting(team.alice), pipeline).editors == [eve.pk]
    assert publish.publish(acting(team.alice), pipeline).editors == [eve.pk], "what it says is Eve's"


def test_a_rollback_forgets_no_edit_that_was_never_published(team: Team) -> None:
    pipeline, eve = a_published_pipeline(acting(team.alice)), a_member(team.workspace, "eve", Role.COMPOSER)
    drafts.save(acting(eve), pipeline, prompting(a_document(), "Eve's"), 1)
    publish.rollback(acting(team.dana), pipeline, 1)
    publish.rollback(acting(team.dana), pipeline, 2)
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), "Eve's and Alice's"), 2)
    both = {eve.pk, team.alice.pk}
    assert set(publish.freeze_draft(acting(team.alice), pipeline).editors) == both
    assert set(publish.publish(acting(team.alice), pipeline).editors) == both


def test_a_draft_that_says_what_was_rolled_back_to_has_the_editors_of_that(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    publish.rollback(acting(team.dana), pipeline, 1)
    assert set(publish.publish(acting(team.alice), pipeline).editors) >= {team.alice.pk}


def test_a_version_put_into_the_draft_brings_its_editors_along(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    drafts.save(acting(team.dana), pipeline, prompting(a_document(), "Dana's"), 1)
    publish.publish(acting(team.alice), pipeline)
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), "Alice's"), 2)
    publish.publish(acting(team.alice), pipeline)
    eve = a_member(team.workspace, "eve", Role.COMPOSER)
    version_pages.edit_from(acting(eve), pipeline.slug, 2, {"revision": "3"})
    both = {eve.pk, team.dana.pk}
    assert set(publish.freeze_draft(acting(team.alice), pipeline).editors) == both
    assert set(publish.publish(acting(team.alice), pipeline).editors) == both


def test_an_undo_brings_back_whoever_made_what_it_brings_back(team: Team) -> None:
    pipeline, eve = a_published_pipeline(acting(team.alice)), a_member(team.workspace, "eve", Role.COMPOSER)
    drafts.save(acting(eve), pipeline, prompting(a_document(), "Eve's"), 1)
    publish.publish(acting(team.alice), pipeline)
    version_pages.edit_from(acting(team.dana), pipeline.slug, 1, {"revision": "2"})
    assert set(publish.publish(acting(team.alice), pipeline).editors) == {team.alice.pk, team.dana.pk}
    history.undo(acting(team.dana), pipeline, "undo")
    assert set(publish.publish(acting(team.alice), pipeline).editors) == {eve.pk, team.dana.pk}
    history.redo(acting(team.dana), pipeline, "redo")
    assert set(publish.publish(acting(team.alice), pipeline).editors) == {team.alice.pk, team.dana.pk}


@pytest.mark.parametrize("number", [0, 7, -1, 2**40])
def test_rolling_back_to_nothing_is_not_found(team: Team, number: int) -> None:
    with pytest.raises(NotFound):
        publish.rollback(acting(team.alice), a_published_pipeline(acting(team.alice)), number)


def test_an_archived_pipeline_is_not_published(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    drafts.archive(acting(team.alice), pipeline)
    with pytest.raises(Conflict) as refusal:
        publish.publish(acting(team.alice), pipeline)
    assert refusal.value.code == "archived"


def test_only_composers_and_admins_publish(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    for person in (team.bob, team.carol, team.erin):
        with pytest.raises(Forbidden):
            publish.publish(acting(person), pipeline)
        with pytest.raises(Forbidden):
            publish.rollback(acting(person), pipeline, 1)


def test_a_diff_says_what_changed(team: Team) -> None:
    changes = publish.compare(a_document(), prompting(a_document(), "Anew"))
    assert len(changes) == 1
    assert "write" in str(changes[0]).lower()
    assert publish.compare(a_document(), a_document()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pipelines_pipelineversion SET document = '{}'",
        "UPDATE pipelines_pipelineversion SET note = 'other'",
        "UPDATE pipelines_pipelineversion SET published_by_id = %(other)s",
        "DELETE FROM pipelines_pipelineversion",
        "UPDATE pipelines_agentversion SET instructions = 'other'",
        "UPDATE pipelines_agentversion SET created_by_id = %(other)s",
        "DELETE FROM pipelines_agentversion",
    ],
)
def test_the_database_refuses_to_change_a_version(team: Team, statement: str) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        cursor.execute(statement, {"other": team.bob.pk})
    version = PipelineVersion.objects.get()
    assert pipeline.published == version
    assert version.published_by == team.alice
    assert AgentVersion.objects.get().instructions == ""


def test_a_version_survives_the_account_of_its_author(team: Team) -> None:
    a_published_pipeline(acting(team.alice))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pipelines_pipelineversion SET published_by_id = NULL")
        cursor.execute("UPDATE pipelines_agentversion SET created_by_id = NULL")
    assert PipelineVersion.objects.get().published_by is None


@pytest.mark.django_db(transaction=True)
def test_publishing_at_the_same_moment_numbers_without_gap_or_double() -> None:
    team = a_team()
    actor = acting(team.alice)
    pipeline = a_published_pipeline(actor)
    start = threading.Barrier(5)

    def publish_once() -> None:
        try:
            start.wait()
            publish.publish(actor, pipeline)
        finally:
            connection.close()

    threads = [threading.Thread(target=publish_once) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = PipelineVersion.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 5, 6]
    pipeline.refresh_from_db()
    assert pipeline.published is not None
    assert pipeline.published.number == 6
