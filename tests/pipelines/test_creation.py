"""New pipelines from pages: one per form, under a free name."""

import json
from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections

from accounts.errors import Conflict, Forbidden, Refused
from pipelines import bundles, creation, drafts, gallery
from pipelines.graph.hygiene import MAX_IMPORT_BYTES
from pipelines.models import Agent, Pipeline, PipelineVersion
from tests.people import Team, a_team, acting
from tests.pipelines.builders import a_document, a_pipeline


def test_a_form_sent_twice_makes_one_pipeline(team: Team) -> None:
    first, again = (gallery.use(acting(team.alice), "content-pipeline", "f1") for _ in range(2))
    assert first == again
    other = gallery.use(acting(team.alice), "content-pipeline", "f2")
    assert (first.slug, other.slug) == ("content-pipeline", "content-pipeline-2")
    assert other.name == f"{first.name} 2"
    assert Agent.objects.count() == 3


def test_the_same_form_of_another_person_is_another_form(team: Team) -> None:
    made = {gallery.use(acting(who), "debate", "f1").pk for who in (team.alice, team.dana, team.charlie)}
    assert len(made) == 3


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_twice_at_once_makes_one_pipeline() -> None:
    actor = acting(a_team().alice)
    made: list[Any] = []

    def send() -> None:
        try:
            made.append(gallery.use(actor, "support-desk", "f1").pk)
        finally:
            connections.close_all()

    senders = [Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(made) == 2
    assert len(set(made)) == 1
    assert connection.vendor == "postgresql"
    assert Pipeline.objects.count() == 1


def test_what_is_made_from_a_template_is_a_draft_that_can_be_published(team: Team) -> None:
    for template in gallery.templates():
        made = gallery.use(acting(team.alice), template.name, "f1")
        assert made.published is None
        assert drafts.problems(acting(team.alice), made) == []
        assert gallery.template_of(made) == template


def test_a_copy_of_a_copy_still_knows_its_template(team: Team) -> None:
    made = gallery.use(acting(team.alice), "debate", "f1")
    copy = creation.duplicate(acting(team.alice), made, "f2")
    assert (copy.slug, copy.name) == ("copy-of-debate", f"Copy of {made.name}")
    again = creation.duplicate(acting(team.alice), copy, "f3")
    assert gallery.template_of(again) == gallery.template("debate")


def test_duplicates_of_one_pipeline_are_numbered(team: Team) -> None:
    pipeline = a_pipeline(acting(team.alice), "a" * 63, name="N" * 200)
    made = [creation.duplicate(acting(team.alice), pipeline, form) for form in ("f1", "f2", "f1")]
    assert made[0] == made[2]
    assert made[0].slug == f"copy-of-{'a' * 55}"
    assert made[1].slug == f"copy-of-{'a' * 53}-2"
    assert all(len(one.name) == 200 for one in made)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Our first", "our-first"),
        ("Ärzte & Öle", "arzte-ole"),
        ("2026", "pipeline-2026"),
        ("東京", "pipeline"),
        (" ", "new-pipeline"),
    ],
)
def test_an_empty_pipeline_has_nothing_to_complain_about(team: Team, name: str, slug: str) -> None:
    made = creation.blank(acting(team.alice), name, "f1")
    assert made.slug == slug
    assert [one.severity for one in drafts.problems(acting(team.alice), made)] == []


def test_a_trial_uses_the_pipeline_that_still_says_what_the_template_says(team: Team) -> None:
    there = gallery.instantiate(acting(team.alice), "debate")
    assert gallery.for_trial(acting(team.alice), "debate") == there.published
    assert PipelineVersion.objects.count() == 1


def test_a_trial_shows_the_template_whatever_people_made_of_theirs(team: Team) -> None:
    actor = acting(team.alice)
    there = gallery.instantiate(actor, "debate")
    drafts.archive(actor, there)
    tried = gallery.for_trial(actor, "debate")
    assert tried.pipeline.slug == "debate-2"
    assert gallery.for_trial(actor, "debate") == tried


def test_an_import_takes_the_documents_own_id_once(team: Team) -> None:
    text = json.dumps(a_document("brief"))
    made = bundles.imported(acting(team.alice), text, "f1")
    assert bundles.imported(acting(team.alice), text, "f1") == made
    with pytest.raises(Conflict, match="already a pipeline"):
        bundles.imported(acting(team.alice), text, "f2")


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("", "not_json", ""),
        ('{"format": "somebody.else"}', "unknown_format", "/format"),
        (
            json.dumps({**a_document(), "graph": {"nodes": {"a": {"kind": "ghost"}}, "edges": []}}),
            None,
            "/graph/nodes/a/kind",
        ),
        (" " * (MAX_IMPORT_BYTES + 1), "too_large", ""),
    ],
)
def test_a_refused_import_says_where_and_makes_nothing(
    team: Team, text: str, code: str | None, where: str | None
) -> None:
    with pytest.raises(Refused) as refused:
        bundles.imported(acting(team.alice), text, "f1")
    assert code in (None, refused.value.code)
    assert refused.value.where == where
    assert not Pipeline.objects.exists()


def test_a_template_starts_a_published_pipeline_where_its_own_is_still_a_draft(team: Team) -> None:
    actor = acting(team.alice)
    draft = gallery.use(actor, "company-analysis", "f1")
    parent = gallery.use(actor, "portfolio-review", "f1")
    assert drafts.problems(actor, parent) == []
    assert "company-analysis-2@1" in json.dumps(parent.draft.document)
    draft.refresh_from_db()
    assert draft.published is None, "nobody asked for it"


def test_only_editors_make_pipelines(team: Team) -> None:
    bob = acting(team.bob)
    pipeline = a_pipeline(acting(team.alice))
    for make in (
        lambda: gallery.use(bob, "debate", "f1"),
        lambda: creation.blank(bob, "Mine", "f1"),
        lambda: creation.duplicate(bob, pipeline, "f1"),
        lambda: bundles.imported(bob, json.dumps(a_document("other")), "f1"),
    ):
        with pytest.raises(Forbidden):
            make()
    assert Pipeline.objects.count() == 1
