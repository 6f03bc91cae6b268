"""For whom a pipeline is kept: lists that are followed, changed, given back, and what cannot stand."""

from typing import Any

import pytest

from accounts.errors import Conflict, Forbidden
from accounts.models import AuditEntry, Workspace
from pipelines import creation, gallery, sharing
from pipelines.sharing import Lists
from runs import step_alone
from runs.models import Trigger
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.api.kept import keep
from tests.api.rows import rows
from tests.api.world import World
from tests.people import acting, signed_in_as
from tests.pipelines.builders import a_pipeline


def test_a_copy_is_kept_for_the_same(world: World) -> None:
    keep(world, see=("dana@example.com", "olga@example.com"), edit=("olga@example.com",))
    owner = acting(world.olga, world.team.workspace)
    made = creation.duplicate(owner, world.here.pipeline, "one")
    assert sharing.read(owner, made) == Lists(see=sharing.read(owner, world.here.pipeline).see)


def test_a_form_sent_again_leaves_the_lists_of_what_it_made(world: World) -> None:
    """Whoever made a pipeline knows its form; its lists are for those who may edit it now."""
    workspace = world.team.workspace
    alice = acting(world.team.alice, workspace)
    theirs, source = creation.blank(alice, "Theirs", "one"), a_pipeline(alice, "source")
    lists = Lists(edit=("dana@example.com",), run=("dana@example.com",))
    sharing.put(acting(world.team.dana, workspace), theirs, lists)
    alice = acting(world.team.alice, workspace)
    sharing.put(alice, source, Lists(see=("composer",)))
    answer = signed_in_as(world.team.alice).post("/pipelines/source/duplicate/", {"form": "one"})
    assert answer.headers["Location"] == "/pipelines/theirs/"
    assert sharing.read(acting(world.team.dana, workspace), theirs) == lists


def test_what_is_made_follows_the_lists_of_that_moment(world: World) -> None:
    """Somebody keeps the pipeline for some between the begin of a request and what it makes."""
    owner, pipeline = acting(world.olga, world.team.workspace), world.here.pipeline
    keep(world, see=("dana@example.com", "olga@example.com"))
    made = [creation.duplicate(owner, pipeline, "one")]
    owner.workspace.sharing = {}
    made.append(step_alone.home(owner, pipeline, pipeline.draft.document))
    owner = acting(world.olga, world.team.workspace)
    assert [sharing.read(owner, one) for one in made] == [Lists(see=sharing.read(owner, pipeline).see)] * 2


def test_a_copy_that_cannot_be_kept_is_not_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(world, see=("dana@example.com", "olga@example.com"))
    monkeypatch.setattr(sharing, "MOST_KEPT", 1)
    before = rows()
    answer = signed_in_as(world.olga).post(f"/pipelines/{world.here.pipeline.slug}/duplicate/", {"form": "one"})
    assert answer.status_code == 409
    assert rows() == before


def test_however_many_are_kept_one_is_changed_and_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = acting(world.olga, world.team.workspace)
    other = a_pipeline(owner, "other")
    sharing.put(owner, other, Lists(see=("admin",)))
    keep(world, see=("dana@example.com",))
    monkeypatch.setattr(sharing, "MOST_KEPT", 0)
    assert keep(world, see=("reviewer",)) == Lists(see=("reviewer",))
    assert keep(world) == Lists()
    assert set(Workspace.objects.get(slug="acme").sharing) == {str(other.pk)}
    with pytest.raises(Conflict) as found:
        keep(world, see=("reviewer",))
    assert found.value.code == "too_many_kept"


def test_lists_are_changed_by_those_who_may_edit_at_that_moment(world: World) -> None:
    alice = acting(world.team.alice, world.team.workspace)
    lists = keep(world, edit=("olga@example.com",))
    with pytest.raises(Forbidden) as found:
        sharing.put(alice, world.here.pipeline, Lists())
    assert found.value.code == "not_shared"
    assert sharing.read(acting(world.olga, world.team.workspace), world.here.pipeline) == lists


def test_who_may_not_run_it_decides_nothing_about_its_triggers(world: World) -> None:
    own = a_pipeline(acting(world.team.alice, world.team.workspace), "own")
    keep(world, edit=("olga@example.com",), run=("olga@example.com",))
    alice, slug = acting(world.team.alice, world.team.workspace), world.here.trigger
    before = rows()
    for refused in (
        lambda: definitions.remove(alice, slug),
        lambda: definitions.update(alice, slug, {"enabled": False}),
        lambda: definitions.update(alice, slug, {"pipeline": own.slug}),
        lambda: definitions.change(alice, slug, TriggerFields(slug, "webhook", own.slug, secret="acme-key")),
    ):
        with pytest.raises(Forbidden) as found:
            refused()
        assert found.value.code == "not_shared"
    assert rows() == before
    for person, offered_here in ((world.team.alice, False), (world.olga, True)):
        page = signed_in_as(person).get(f"/settings/triggers/{slug}/")
        assert page.status_code == 200
        assert ("Turn off" in page.content.decode()) is offered_here


def test_the_name_of_its_trigger_is_taken_for_everybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    a_pipeline(acting(world.team.alice, world.team.workspace), "own")
    keep(world, see=("dana@example.com",))
    body: dict[str, Any] = {"slug": world.here.trigger, "kind": "event", "pipeline": "own", "topic": "orders"}
    client = signed_in_as(world.team.alice)
    answer = client.post("/api/v1/triggers", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "trigger_exists")
    monkeypatch.setattr(definitions, "MOST", Trigger.objects.filter(workspace=world.team.workspace).count())
    answer = client.post("/api/v1/triggers", body | {"slug": "another"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_trigger")


def test_what_others_make_has_another_name_than_what_is_kept(world: World) -> None:
    owner = acting(world.olga, world.team.workspace)
    for kept in (creation.blank(owner, "", "one"), gallery.use(owner, "debate", "one")):
        sharing.put(owner, kept, Lists(see=("dana@example.com",)))
    alice = acting(world.team.alice, world.team.workspace)
    assert creation.blank(alice, "", "one").slug == "new-pipeline-2"
    assert gallery.use(alice, "debate", "two").slug == "debate-2"


def test_it_is_written_down_and_given_back(world: World) -> None:
    dana, path = signed_in_as(world.team.dana), f"/api/v1/pipelines/{world.here.pipeline.slug}/sharing"
    for body in ({"see": ["reviewer"], "run": [], "edit": []}, {"see": [], "run": [], "edit": []}):
        assert dana.put(path, body, content_type="application/json").json() == body
        assert dana.get(path).json() == body
    acts = AuditEntry.objects.filter(action="pipeline.shared").order_by("seq").values_list("data", flat=True)
    assert [one["after"]["see"] for one in acts] == [["reviewer"], []]
    assert Workspace.objects.get(slug="acme").sharing == {}


@pytest.mark.parametrize(
    ("who", "body", "code"),
    [
        ("dana", {"see": ["nobody@example.com"]}, "unknown_name"),
        ("dana", {"see": ["charlie@example.com"]}, "unknown_name"),
        ("alice", {"edit": ["bob@example.com"]}, "locks_you_out"),
        ("alice", {"see": ["bob@example.com"]}, "locks_you_out"),
        ("bob", {"see": ["bob@example.com"]}, "forbidden"),
    ],
)
def test_lists_that_cannot_stand_are_refused(world: World, who: str, body: dict[str, list[str]], code: str) -> None:
    path = f"/api/v1/pipelines/{world.here.pipeline.slug}/sharing"
    answer = signed_in_as(world.person(who)).put(path, body, content_type="application/json")
    assert answer.json()["code"] == code
    assert Workspace.objects.get(slug="acme").sharing == {}


def test_the_form_keeps_and_shows_it(world: World) -> None:
    dana, path = signed_in_as(world.team.dana), f"/pipelines/{world.here.pipeline.slug}/sharing/"
    posted = {
        "see-role": ["reviewer", "composer"],
        "see-people": "carol@example.com\nerin@example.com",
        "run-people": "",
    }
    assert dana.post(path, posted).status_code == 302
    page = dana.get(path).content.decode()
    assert 'name="see-role" value="reviewer" checked' in page
    assert "carol@example.com\nerin@example.com" in page
    assert "composer" in dana.get(f"/pipelines/{world.here.pipeline.slug}/run/").content.decode()
    refused = dana.post(path, {"see-people": "who@example.com"})
    assert refused.status_code == 422
    assert "who@example.com" in refused.content.decode()
