from typing import Any

import pytest

from accounts.access import Actor
from accounts.errors import Conflict
from pipelines import drafts
from pipelines.editor import history
from pipelines.models import Draft, Pipeline
from tests.people import Team, acting
from tests.pipelines.builders import a_document, a_pipeline


def name_of() -> str:
    return str(Draft.objects.get().document["name"])


def rename(actor: Actor, pipeline: Pipeline, name: str, **fields: Any) -> Draft:
    revision = fields.pop("revision", None) or Draft.objects.get().revision
    ops = [{"op": "set_document", "fields": {"name": name}}]
    return drafts.change(actor, pipeline, drafts.Edit(revision, f"rename-{name}", ops, **fields))


def set_title(node: str, title: str) -> list[dict[str, Any]]:
    value = {**a_document()["graph"]["nodes"][node], "title": title}
    return [{"op": "set_node", "node": node, "value": value}]


def test_a_person_takes_back_step_by_step_and_does_again(team: Team) -> None:
    alice = acting(team.alice)
    pipeline = a_pipeline(alice)
    for name in ("One", "Two"):
        rename(alice, pipeline, name)
    said = []
    for number, act in enumerate([history.undo, history.undo, history.redo, history.redo]):
        act(alice, pipeline, f"step-{number}")
        said.append(name_of())
    assert said == ["One", "Brief", "One", "Two"]


def test_the_creation_of_a_draft_is_not_taken_back(team: Team) -> None:
    alice = acting(team.alice)
    pipeline = a_pipeline(alice)
    with pytest.raises(Conflict) as refusal:
        history.undo(alice, pipeline, "too-far")
    assert refusal.value.code == "nothing_to_undo"


def test_a_new_change_ends_what_could_be_done_again(team: Team) -> None:
    alice = acting(team.alice)
    pipeline = a_pipeline(alice)
    rename(alice, pipeline, "One")
    history.undo(alice, pipeline, "back")
    rename(alice, pipeline, "Other")
    with pytest.raises(Conflict) as refusal:
        history.redo(alice, pipeline, "again")
    assert refusal.value.code == "nothing_to_redo"
    assert name_of() == "Other"


def test_each_takes_back_their_own_and_never_what_somebody_else_has_built_on(team: Team) -> None:
    alice, dana = acting(team.alice), acting(team.dana)
    pipeline = a_pipeline(alice)
    rename(alice, pipeline, "Alice's")
    drafts.change(dana, pipeline, drafts.Edit(2, "dana", set_title("write", "Dana's")))
    history.undo(alice, pipeline, "back")
    assert name_of() == "Brief"
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Dana's"
    history.redo(alice, pipeline, "again")
    rename(dana, pipeline, "Dana's own")
    with pytest.raises(drafts.Collision) as refusal:
        history.undo(alice, pipeline, "back again")
    assert "Dana has changed the pipeline's name since" in refusal.value.message
    assert name_of() == "Dana's own"


def test_two_people_who_change_different_steps_lose_nothing(team: Team) -> None:
    alice, dana = acting(team.alice), acting(team.dana)
    pipeline = a_pipeline(alice)
    drafts.change(alice, pipeline, drafts.Edit(1, "a", set_title("write", "Alice's"), merge=True))
    draft = drafts.change(dana, pipeline, drafts.Edit(1, "d", set_title("result", "Dana's"), merge=True))
    nodes = draft.document["graph"]["nodes"]
    assert (nodes["write"]["title"], nodes["result"]["title"]) == ("Alice's", "Dana's")


def test_the_second_of_two_on_the_same_step_is_told_who_was_first(team: Team) -> None:
    alice, dana = acting(team.alice), acting(team.dana)
    pipeline = a_pipeline(alice)
    drafts.change(alice, pipeline, drafts.Edit(1, "a", set_title("write", "Alice's"), merge=True))
    with pytest.raises(drafts.Collision) as refusal:
        drafts.change(dana, pipeline, drafts.Edit(1, "d", set_title("write", "Dana's"), merge=True))
    assert refusal.value.code == "edited_meanwhile"
    assert "Alice changed the step 'write' meanwhile" in refusal.value.message
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Alice's"


def test_a_step_that_somebody_removed_is_not_brought_back_by_a_late_change_of_it(team: Team) -> None:
    alice, dana = acting(team.alice), acting(team.dana)
    pipeline = a_pipeline(alice)
    drafts.change(alice, pipeline, drafts.Edit(1, "a", [{"op": "remove_node", "node": "write"}], merge=True))
    with pytest.raises(drafts.Collision):
        drafts.change(dana, pipeline, drafts.Edit(1, "d", set_title("write", "Dana's"), merge=True))
    assert "write" not in Draft.objects.get().document["graph"]["nodes"]


def test_an_earlier_draft_is_known_from_its_changes(team: Team) -> None:
    alice = acting(team.alice)
    pipeline = a_pipeline(alice)
    first = Draft.objects.get().document
    rename(alice, pipeline, "One")
    second = Draft.objects.get().document
    drafts.change(alice, pipeline, drafts.Edit(2, "x", [{"op": "remove_node", "node": "write"}]))
    draft = Draft.objects.get()
    assert drafts.document_at(draft, 2) == second
    assert drafts.document_at(draft, 1) == first
    assert drafts.document_at(draft, 3) == draft.document
    assert drafts.document_at(draft, 99) == draft.document


def test_undo_pressed_in_two_windows_at_once_takes_back_one_change(team: Team) -> None:
    """The second finds the first one's inverse applied already; what it may do next is counted right all the same."""
    alice = acting(team.alice)
    pipeline = a_pipeline(alice)
    for name in ("One", "Two"):
        rename(alice, pipeline, name)
    last = history.of(alice, pipeline).undo
    assert last is not None
    for op_id in ("left", "right"):
        newest = Draft.objects.get().revision
        drafts.change(alice, pipeline, drafts.Edit(newest, op_id, last.ops["inverse"], undoes=last.revision))
    assert name_of() == "One"
    history.undo(alice, pipeline, "again")
    assert name_of() == "Brief"
